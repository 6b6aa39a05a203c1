import { createHash } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build, type Metafile } from 'esbuild';

/**
 * Builds both dashboards into dist/webui/<app>/: index.html and files whose names hold their content's hash,
 * so that they may be cached for ever. Nothing inline: the pages run under `default-src 'self'`.
 */

const ROOT = join(import.meta.dirname, '..');
const APPS = [
  { name: 'box', title: 'Hearth box' },
  { name: 'fleet', title: 'Hearth fleet' },
] as const;

/** The mark, as a browser tab shows it. */
const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><path d="M6 60V28a26 26 0 0 1 52 0v32z" fill="#2b322d"/><path d="M14 60V29a18 18 0 0 1 36 0v31z" fill="#0f1210"/><path d="M32 21c2 7 11 11 11 22a11 11 0 0 1-22 0c0-5 3-8 5-10 0 3 1 5 3 6 1-6 1-12 3-18z" fill="#f26a2e"/><path d="M32.5 36c1 4 5 6 5 11a5.5 5.5 0 0 1-11 0c0-3 1.5-4 2.5-5.5.5 1.5 1 2 2 2.5 0-3 .5-5 1.5-8z" fill="#ffc46b"/></svg>`;

/** What one dashboard costs, bytes: on its first load, and with everything that is loaded when it is looked at. */
export interface Built {
  name: string;
  bytes: number;
  gzipBytes: number;
  allGzipBytes: number;
  /** The files of the first load. */
  first: string[];
}

/** Builds into `outDir` (each app in its own folder, replaced as a whole so that a reader never sees half). */
export async function buildWebui(outDir: string): Promise<Built[]> {
  const built: Built[] = [];
  for (const app of APPS) {
    const target = join(outDir, app.name);
    const fresh = `${target}.new-${process.pid}`;
    await rm(fresh, { recursive: true, force: true });
    await mkdir(fresh, { recursive: true });
    const result = await build({
      entryPoints: { app: join(ROOT, 'webui', app.name, 'main.tsx') },
      bundle: true,
      minify: true,
      format: 'esm',
      target: ['es2022', 'chrome105', 'firefox115', 'safari16'],
      jsx: 'automatic',
      jsxImportSource: 'preact',
      splitting: true,
      metafile: true,
      entryNames: '[name]-[hash]',
      chunkNames: 'part-[hash]',
      outdir: fresh,
      write: false,
      legalComments: 'none',
      logLevel: 'warning',
    });
    const first = firstLoad(result.metafile.outputs);
    let bytes = 0;
    let gzipBytes = 0;
    let allGzipBytes = 0;
    for (const file of result.outputFiles) {
      const zipped = gzipSync(file.contents, { level: 9 });
      await writeFile(file.path, file.contents);
      // Beside it as it is sent: a box has better things to do than to compress it anew each time.
      await writeFile(`${file.path}.gz`, zipped);
      allGzipBytes += zipped.length;
      if (!first.includes(basename(file.path))) continue;
      bytes += file.contents.length;
      gzipBytes += zipped.length;
    }
    const icon = `icon-${createHash('sha256').update(ICON).digest('hex').slice(0, 8)}.svg`;
    await writeFile(join(fresh, icon), ICON);
    const js = first.find((name) => /^app-.*\.js$/.test(name));
    const css = first.find((name) => name.endsWith('.css'));
    const parts = first.filter((name) => name !== js && name.endsWith('.js'));
    if (!js || !css) throw new Error(`the bundle of ${app.name} has no script or no style`);
    await writeFile(join(fresh, 'index.html'), page({ title: app.title, js, css, icon, parts }));
    await rm(target, { recursive: true, force: true });
    await rename(fresh, target);
    built.push({ name: app.name, bytes, gzipBytes, allGzipBytes, first });
  }
  return built;
}

/** The entry, its styles, and every part it imports at once. */
function firstLoad(outputs: Metafile['outputs']): string[] {
  const entry = Object.entries(outputs).find(([, output]) => output.entryPoint?.endsWith('main.tsx'));
  const found = new Set<string>(entry ? [entry[0]] : []);
  if (entry?.[1].cssBundle) found.add(entry[1].cssBundle);
  for (const name of found) {
    for (const { path, kind } of outputs[name]?.imports ?? []) {
      if (kind === 'import-statement') found.add(path);
    }
  }
  return [...found].map((name) => basename(name));
}

function page(parts: { title: string; js: string; css: string; icon: string; parts: string[] }): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="color-scheme" content="light dark">
<meta name="theme-color" content="#f2f3f0" media="(prefers-color-scheme: light)">
<meta name="theme-color" content="#121513" media="(prefers-color-scheme: dark)">
<meta name="robots" content="noindex">
<title>${parts.title}</title>
<link rel="icon" type="image/svg+xml" href="./${parts.icon}">
<link rel="stylesheet" href="./${parts.css}">
${parts.parts.map((name) => `<link rel="modulepreload" href="./${name}">\n`).join('')}<script type="module" src="./${parts.js}"></script>
</head>
<body>
<div id="app"></div>
<noscript><p class="noscript">This page needs JavaScript. 此页面需要 JavaScript。</p></noscript>
</body>
</html>
`;
}

if (process.argv[1] === import.meta.filename) {
  for (const { name, bytes, gzipBytes, allGzipBytes } of await buildWebui(join(ROOT, 'dist', 'webui'))) {
    process.stdout.write(
      `webui/${name}: first load ${kB(bytes)}, ${kB(gzipBytes)} gzip; with every page ${kB(allGzipBytes)} gzip\n`,
    );
  }
}

function kB(bytes: number): string {
  return `${(bytes / 1000).toFixed(1)} kB`;
}
