import { rmSync } from 'node:fs';
import path from 'node:path';
import type { BuildOptions, Plugin } from 'esbuild';
import { build } from 'esbuild';
import type { Architecture } from '#protocol/release.ts';
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

const ENTRY = path.join(import.meta.dirname, 'main.ts');
const define = (version?: string, architecture?: Architecture): Record<string, string> => ({
  'import.meta.dirname': '__dirname',
  'import.meta.url': '__filename',
  ...(version !== undefined && { HEARTH_VERSION: JSON.stringify(version) }),
  ...(architecture !== undefined && { HEARTH_ARCHITECTURE: JSON.stringify(architecture) }),
});

/**
 * The whole agent as one file, as updates carry it to boxes that bring a Node of their own. It says in its first lines
 * what it is, and to no other processor's box that it could run there.
 * @param version what it calls itself, if not what the sources say
 */
export async function buildAgentFile(
  file: string,
  architecture: Architecture,
  version = AGENT_VERSION,
): Promise<void> {
  await build({
    ...COMMON,
    entryPoints: [ENTRY],
    outfile: file,
    plugins: [leaveOut],
    banner: { js: `// hearth-agent ${version} ${architecture}` },
    define: define(version, architecture),
  });
}

/**
 * Bundles the agent for Node 20.11, the oldest it must run on. Libraries that are imported when needed become files
 * of their own, so that an idle box does not hold them in memory.
 * @param version what it calls itself, if not what the sources say
 * @returns the program's path
 */
export async function buildAgent(
  folder = AGENT_BUNDLE,
  version?: string,
  architecture?: Architecture,
): Promise<string> {
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
    define: define(version, architecture),
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
