import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { imageBoard } from '../boards/board.ts';
import { checkImageBuilder, downloadImageBuilder } from './imagebuilder.ts';
import { writeImageBuilder } from './imagebuilder-fixture.ts';
import { releaseNamed } from './release.ts';
import { usignSign } from './usign.ts';

const NAME = 'openwrt-imagebuilder-24.10.5-sunxi-cortexa7.Linux-x86_64.tar.zst';
const PATH = '/releases/24.10.5/targets/sunxi/cortexa7';

/** A mirror of OpenWrt's downloads on loopback, with keys of its own, and a cache of its own. */
async function mirror(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-test-mirror-'));
  const cache = process.env.XDG_CACHE_HOME;
  process.env.XDG_CACHE_HOME = join(folder, 'cache');
  const keys = { public: join(folder, 'a.pub'), secret: join(folder, 'a.sec') };
  const made = spawnSync('signify-openbsd', ['-G', '-n', '-c', 'test', '-p', keys.public, '-s', keys.secret]);
  assert.equal(made.status, 0, String(made.stderr));
  const board = imageBoard('orangepi-pc');
  const release = { ...releaseNamed('24.10.5'), publicKey: readFileSync(keys.public, 'utf8') };
  const built = join(folder, 'openwrt-imagebuilder');
  mkdirSync(built);
  writeImageBuilder(built, board, release);
  const tarball = join(folder, NAME);
  const packed = spawnSync('tar', ['--zstd', '-cf', tarball, '-C', folder, 'openwrt-imagebuilder']);
  assert.equal(packed.status, 0, String(packed.stderr));
  const files = new Map<string, Buffer>([[`${PATH}/${NAME}`, readFileSync(tarball)]]);
  const secret = readFileSync(keys.secret, 'utf8');
  const list = (text: string, signWith = secret) => {
    files.set(`${PATH}/sha256sums`, Buffer.from(text));
    files.set(`${PATH}/sha256sums.sig`, Buffer.from(usignSign(Buffer.from(text), signWith, 'test')));
  };
  const sha256 = createHash('sha256').update(readFileSync(tarball)).digest('hex');
  list(`${'0'.repeat(64)} *other.tar.zst\n${sha256} *${NAME}\n`);
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    const bytes = files.get(request.url ?? '');
    response.writeHead(bytes ? 200 : 404).end(bytes);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => {
    server.closeAllConnections();
    server.close();
    if (cache === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = cache;
    rmSync(folder, { recursive: true });
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const download = (from = release) =>
    downloadImageBuilder({ board, release: from, mirror: url, log: () => undefined });
  return { board, release, files, list, download, sha256, asked };
}

test('the ImageBuilder is downloaded by the hash OpenWrt signed, unpacked, and kept', async (t) => {
  const { download, board, release, asked } = await mirror(t);
  const folder = await download();
  await checkImageBuilder(folder, board, release);
  assert.equal(await download(), folder);
  assert.equal(asked.filter((path) => path.endsWith('.zst')).length, 1, 'once');
});

test('a list that OpenWrt did not sign, another tarball, one that is not there: refused, with what to do', async (t) => {
  const { download, files, list, sha256, release } = await mirror(t);
  const refused = (reason: RegExp, from = release) =>
    assert.rejects(download(from), (error: Error) => {
      assert.match(error.message, reason);
      assert.match(error.message, /give --imagebuilder FOLDER$/);
      return true;
    });
  await refused(/not signed by OpenWrt's key d310c6f2833e97f7/, releaseNamed('24.10.5'));
  files.set(`${PATH}/sha256sums`, Buffer.from(`${'1'.repeat(64)} *${NAME}\n`));
  await refused(/not signed by OpenWrt's key/);
  list(`${sha256} *else\n`);
  await refused(/does not name openwrt-imagebuilder/);
  list(`${'1'.repeat(64)} *${NAME}\n`);
  await refused(new RegExp(`it has SHA-256 ${sha256} where OpenWrt's list says 1111`));
  files.delete(`${PATH}/sha256sums.sig`);
  await refused(/sha256sums\.sig answers 404/);
});
