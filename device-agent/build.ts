import { readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import type { BuildOptions, Plugin } from 'esbuild';
import { build } from 'esbuild';
import type { Architecture } from '#protocol/release.ts';
import type { CarriedFiles } from './lan/static-files.ts';
import { AGENT_VERSION } from './version.ts';

/** Where `npm run build:agent` puts the agent as it ships: plain JavaScript, no node_modules beside it. */
export const AGENT_BUNDLE = path.resolve(import.meta.dirname, '..', 'dist', 'agent');

/**
 * The environment the bundle is to be started with on a small board. Small spaces for young objects cost a little CPU
 * and save 5 MB; glibc without this keeps an arena for each thread of Node's pool, half empty. What each saves is
 * printed by `npm run bench memory`.
 */
export const AGENT_ENVIRONMENT = {
  NODE_OPTIONS: '--max-semi-space-size=1',
  MALLOC_ARENA_MAX: '1',
  // Said aloud, it stays: glibc else raises it with the largest buffer that was ever freed. With less, what TLS
  // encrypts for one client is given back to the kernel, and asked for again, for each slice.
  MALLOC_TRIM_THRESHOLD_: '1048576',
};

/**
 * Parts of libraries that a box never reaches, and what stands in for them. The link is MQTT over TLS, so mqtt's
 * WebSocket and SOCKS transports go, and with them its copy of Node's streams; logs go to standard output, so pino
 * needs no worker thread; node-disk-info decodes code pages on Windows only.
 */
const UNREACHED: Record<string, string> = {
  ws: 'module.exports = class WebSocket {};',
  // Of TUF delegations, which releases have none of.
  minimatch: 'exports.minimatch = () => { throw new Error("delegated"); };',
  socks: 'module.exports = {};',
  'worker-timers': 'module.exports = { setInterval, clearInterval, setTimeout, clearTimeout };',
  'thread-stream': 'module.exports = class ThreadStream {};',
  'readable-stream': 'module.exports = require("node:stream");',
  'iconv-lite': 'module.exports = {};',
};

/** What a box asks of systeminformation is in the other files. */
const UNASKED =
  /^\.\/(audio|battery|bluetooth|docker|graphics|internet|printer|processes|usb|users|virtualbox|wifi)$/;

const leaveOut: Plugin = {
  name: 'leave-out',
  setup(pluginBuild) {
    const names = new RegExp(`^(${Object.keys(UNREACHED).join('|')})$`);
    pluginBuild.onResolve({ filter: names }, ({ path: name }) => ({ path: name, namespace: 'unreached' }));
    pluginBuild.onResolve({ filter: UNASKED }, ({ path: name, importer }) =>
      /[\\/]systeminformation[\\/]lib[\\/]index\.js$/.test(importer)
        ? { path: name, namespace: 'unreached' }
        : null,
    );
    pluginBuild.onLoad({ filter: /.*/, namespace: 'unreached' }, ({ path: name }) => ({
      contents: UNREACHED[name] ?? 'module.exports = {};',
      loader: 'js',
    }));
  },
};

const COMMON: BuildOptions = {
  bundle: true,
  minify: true,
  platform: 'node',
  // Node's loader of ES modules alone takes 10 MB of an idle box's memory.
  format: 'cjs',
  target: 'node20.11',
  // An import() becomes a require(), for the same reason.
  supported: { 'dynamic-import': false },
  logLevel: 'warning',
};

/** What a build is told of itself. */
export interface BuildFacts {
  /** What it calls itself, if not what the sources say. */
  version?: string;
  /** The one processor it is for: it says to no other's box that it could run there. */
  architecture?: Architecture;
  /** A folder with the dashboard to carry within itself; else it serves the one beside it. */
  webui?: string;
}

const ENTRY = path.join(import.meta.dirname, 'main.ts');

function define({ version, architecture, webui }: BuildFacts): Record<string, string> {
  return {
    'import.meta.dirname': '__dirname',
    'import.meta.url': '__filename',
    ...(version !== undefined && { HEARTH_VERSION: JSON.stringify(version) }),
    ...(architecture !== undefined && { HEARTH_ARCHITECTURE: JSON.stringify(architecture) }),
    ...(webui !== undefined && { HEARTH_WEBUI: JSON.stringify(carry(webui)) }),
  };
}

/** The files of a folder as one file can hold them. */
function carry(folder: string): CarriedFiles {
  const names = readdirSync(folder).filter((name) => !name.endsWith('.gz'));
  const packed = (name: string) => gzipSync(readFileSync(path.join(folder, name)), { level: 9 });
  return Object.fromEntries(names.sort().map((name) => [name, packed(name).toString('base64')]));
}

/**
 * The whole agent as one file, as updates carry it to boxes that bring a Node of their own. It says in its first lines
 * what it is.
 */
export async function buildAgentFile(
  file: string,
  facts: BuildFacts & { architecture: Architecture },
): Promise<void> {
  const { version = AGENT_VERSION, architecture } = facts;
  await build({
    ...COMMON,
    entryPoints: [ENTRY],
    outfile: file,
    plugins: [leaveOut],
    banner: { js: `// hearth-agent ${version} ${architecture}` },
    define: define({ ...facts, version }),
  });
}

/**
 * Bundles the agent for Node 20.11, the oldest it must run on. Libraries that are imported when needed become files
 * of their own, so that an idle box does not hold them in memory.
 * @returns the program's path
 */
export async function buildAgent(folder = AGENT_BUNDLE, facts: BuildFacts = {}): Promise<string> {
  rmSync(folder, { recursive: true, force: true });
  const later = new Set<string>();
  const setApart: Plugin = {
    name: 'set-apart',
    setup(pluginBuild) {
      // Our own parts stay in one file: two copies of a class would not know each other's instances.
      pluginBuild.onResolve({ filter: /^@?[a-z]/ }, ({ kind, path: name }) => {
        if (kind !== 'dynamic-import' || name.startsWith('node:')) return null;
        later.add(name);
        return { path: `./${fileOf(name)}`, external: true };
      });
    },
  };
  await build({
    ...COMMON,
    entryPoints: [ENTRY],
    outfile: path.join(folder, 'main.cjs'),
    plugins: [leaveOut, setApart],
    define: define(facts),
  });
  for (const name of later) {
    const contents = `module.exports = require(${JSON.stringify(name)});`;
    await build({
      ...COMMON,
      stdin: { contents, resolveDir: import.meta.dirname },
      outfile: path.join(folder, fileOf(name)),
      plugins: [leaveOut],
    });
  }
  return path.join(folder, 'main.cjs');
}

function fileOf(name: string): string {
  return `${name.replace(/^@/, '').replaceAll('/', '-')}.cjs`;
}
