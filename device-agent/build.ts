import { rmSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

/** Where `npm run build:agent` puts the agent as it ships: plain JavaScript, no node_modules beside it. */
export const AGENT_BUNDLE = path.resolve(import.meta.dirname, '..', 'dist', 'agent');

/**
 * Bundles the agent for Node 20.11, the oldest it must run on. Parts that are imported when needed stay files of
 * their own, so that an idle box does not hold them in memory.
 * @returns the program's path
 */
export async function buildAgent(folder = AGENT_BUNDLE): Promise<string> {
  rmSync(folder, { recursive: true, force: true });
  await build({
    entryPoints: [path.join(import.meta.dirname, 'main.ts')],
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    minify: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.11',
    logLevel: 'warning',
    // CommonJS libraries within the bundle ask for Node's own modules by require().
    banner: {
      js: "import { createRequire as hearthRequire } from 'node:module'; const require = hearthRequire(import.meta.url);",
    },
  });
  return path.join(folder, 'main.mjs');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const program = await buildAgent();
  process.stdout.write(`${path.relative(process.cwd(), program)}\n`);
}
