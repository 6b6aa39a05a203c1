import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { type Built, buildWebui } from './build.ts';

/** First load of a dashboard, gzip: a phone on a slow LAN shows it at once. */
const GZIP_BYTES_MAX = 100_000;

let out = '';
let built: Built[] = [];

before(async () => {
  out = await mkdtemp(join(tmpdir(), 'hearth-webui-'));
  built = await buildWebui(out);
});

after(async () => {
  await rm(out, { recursive: true, force: true });
});

for (const app of ['box', 'fleet']) {
  test(`${app}: the first load is under 100 kB gzip`, () => {
    const size = built.find(({ name }) => name === app);
    assert.ok(size && size.gzipBytes > 10_000 && size.gzipBytes < GZIP_BYTES_MAX, JSON.stringify(size));
  });

  test(`${app}: charts and what is rarely looked at are not in the first load`, async () => {
    const size = built.find(({ name }) => name === app);
    assert.ok(size && size.allGzipBytes > size.gzipBytes + 15_000, JSON.stringify(size));
    for (const name of size.first) {
      const text = await readFile(join(out, app, name), 'utf8');
      assert.ok(name.endsWith('.css') || !/u-under|uplot/i.test(text), `${name} holds uPlot`);
    }
  });

  test(`${app}: every file stands compressed beside itself`, async () => {
    const names = (await readdir(join(out, app))).filter((name) => /\.(js|css)$/.test(name));
    assert.ok(names.length >= 3);
    for (const name of names) {
      const zipped = gunzipSync(await readFile(join(out, app, `${name}.gz`)));
      assert.ok(zipped.equals(await readFile(join(out, app, name))), name);
    }
  });

  test(`${app}: the page runs under default-src 'self': nothing inline, nothing from elsewhere`, async () => {
    const page = await readFile(join(out, app, 'index.html'), 'utf8');
    assert.doesNotMatch(page, /<style|style=|\son\w+=|<script(?![^>]*\ssrc=)/);
    assert.doesNotMatch(page, /https?:/);
    const names = await readdir(join(out, app));
    const wanted = [...page.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map((match) => match[1] ?? '');
    assert.ok(wanted.length >= 3);
    for (const name of wanted) {
      assert.ok(names.includes(name), name);
      assert.match(name, /-[0-9a-zA-Z]{8}\.(js|css|svg)$/, 'named by its content');
    }
    const css = await readFile(join(out, app, names.find((name) => name.endsWith('.css')) ?? ''), 'utf8');
    assert.doesNotMatch(css, /url\(|@import/);
  });

  test(`${app}: the wire's schemas stay out of the bundle`, async () => {
    for (const name of await readdir(join(out, app))) {
      if (!name.endsWith('.js')) continue;
      assert.doesNotMatch(await readFile(join(out, app, name), 'utf8'), /ZodError|safeParse/, name);
    }
  });
}
