import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { accountsPage, changedSchema, waitFor } from '#fleet/client/fleet-api.ts';
import { prepareVideo } from '#local/video.ts';
import type { Asset, Site } from '#protocol/http-fleet.ts';
import { overviewSchema } from '#protocol/http-fleet.ts';
import { audit } from '#test/support/money.ts';
import { useSystem } from '#test/support/system.ts';
import { needsTool } from '#test/support/tools.ts';

describe('the main loop on a real video', needsTool('ffmpeg'), () => {
  const get = useSystem({ boxes: 3 });
  const folder = mkdtempSync(join(tmpdir(), 'hearth-e2e-'));
  let paths: string[] = [];
  let site: Site;
  let assets: Asset[];
  /** Bytes of bodies that came from boxes. */
  let deliveredBytes = 0;
  const file = (path: string) => readFileSync(join(folder, path));

  before(async () => {
    const video = await prepareVideo(folder);
    ({ paths } = video);
    const system = get();
    for (const path of paths) system.origin.write(path, file(path));
    site = await system.addSite('video.localhost');
    assets = await system.ingest(site, paths);
    await system.assign(assets, [system.box(0), system.box(1)]);
    await system.untilHeld(assets, [system.box(0), system.box(1)]);
  });
  after(() => rmSync(folder, { recursive: true }));

  it('ingested every asset as it is at the origin', () => {
    for (const asset of assets) {
      assert.deepEqual(
        [asset.path, asset.state, asset.sizeBytes],
        [asset.path, 'ready', file(asset.path).length],
      );
    }
    assert.deepEqual(
      ['/bbb.mp4', '/poster.jpg', '/hls/index.m3u8'].map(
        (path) => assets.find((asset) => asset.path === path)?.headers?.contentType,
      ),
      ['video/mp4', 'image/jpeg', 'application/vnd.apple.mpegurl'],
    );
  });

  it('put it on the two boxes that were chosen, and on no other', async () => {
    const boxes = await get().knownBoxes();
    const held = get().boxes.map((box) => boxes.find((one) => one.id === box.id)?.held);
    assert.deepEqual(held, [paths.length, paths.length, 0]);
  });

  it('serves the whole, ranges and conditional requests from a box', async () => {
    const system = get();
    const video = file('/bbb.mp4');
    const whole = await system.fetch(site, '/bbb.mp4');
    assert.equal(whole.hops[0]?.status, 302);
    assert.ok(system.servedBy(whole), whole.finalUrl);
    assert.ok(whole.body.equals(video), `${whole.status}, ${whole.sizeBytes} bytes`);
    assert.equal(whole.headers['content-type'], 'video/mp4');
    assert.equal(whole.headers['access-control-allow-origin'], '*');
    const tag = String(whole.headers.etag);

    const middle = await system.fetch(site, '/bbb.mp4', { headers: { range: 'bytes=1048000-3145999' } });
    assert.equal(middle.status, 206);
    assert.equal(middle.headers['content-range'], `bytes 1048000-3145999/${video.length}`);
    assert.ok(middle.body.equals(video.subarray(1_048_000, 3_146_000)));
    const tail = await system.fetch(site, '/bbb.mp4', { headers: { range: 'bytes=-1000' } });
    assert.ok(tail.body.equals(video.subarray(-1000)));
    deliveredBytes += whole.sizeBytes + middle.sizeBytes + tail.sizeBytes;

    const known = await system.fetch(site, '/bbb.mp4', { headers: { 'if-none-match': tag } });
    assert.deepEqual([known.status, known.sizeBytes], [304, 0]);
    const head = await system.fetch(site, '/bbb.mp4', { method: 'HEAD' });
    assert.deepEqual(
      [head.status, head.headers['content-length'], head.sizeBytes],
      [200, String(video.length), 0],
    );
    const beyond = await system.fetch(site, '/bbb.mp4', { headers: { range: `bytes=${video.length}-` } });
    assert.deepEqual([beyond.status, beyond.headers['content-range']], [416, `bytes */${video.length}`]);
  });

  it('plays HLS: segments by relative URLs, from where the playlist came', async () => {
    const system = get();
    const playlist = await system.fetch(site, '/hls/index.m3u8');
    const box = system.servedBy(playlist);
    assert.ok(box, playlist.finalUrl);
    assert.ok(playlist.body.equals(file('/hls/index.m3u8')));
    deliveredBytes += playlist.sizeBytes;
    const names = playlist.body
      .toString()
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    assert.equal(names.length, paths.length - 3);
    for (const name of names) {
      const url = new URL(name, playlist.finalUrl).href;
      const fetched = await fetch(url, { redirect: 'error' });
      assert.equal(fetched.headers.get('content-type'), 'video/mp2t');
      const bytes = Buffer.from(await fetched.arrayBuffer());
      assert.ok(bytes.equals(file(`/hls/${name}`)), name);
      deliveredBytes += bytes.length;
    }
  });

  it('sends clients to the origin for what no box holds', async () => {
    const system = get();
    system.origin.write('/only-here.txt', 'only at the origin');
    const fetched = await system.fetch(site, '/only-here.txt');
    assert.equal(fetched.finalUrl, `${system.origin.url}/only-here.txt`);
    assert.equal(fetched.body.toString(), 'only at the origin');
  });

  it('pays for exactly what was delivered', async () => {
    const system = get();
    const overview = await waitFor(
      async () => {
        const now = await system.api.get('/overview', overviewSchema);
        return now.deliveredBytes >= deliveredBytes ? now : null;
      },
      'not everything delivered is settled',
      { timeoutMs: 60_000 },
    );
    assert.equal(overview.deliveredBytes, deliveredBytes);
    const books = await audit(system.database.url);
    assert.equal(books.acceptedBytes, deliveredBytes);
    // What boxes gave each other is nobody's delivery, and paid with nothing.
    const { fill: _, ...cut } = books.cut;
    assert.deepEqual(cut, {});
    const accounts = await system.api.all('/ledger/accounts', accountsPage);
    assert.equal(
      accounts.reduce((total, account) => total + BigInt(account.balance), 0n),
      0n,
    );
    const earned = (await system.knownBoxes()).reduce((total, box) => total + BigInt(box.earned), 0n);
    assert.ok(earned > 0n);
    const owedToBoxes = accounts.filter((account) => account.kind === 'box');
    assert.equal(
      owedToBoxes.reduce((total, account) => total + BigInt(account.balance), 0n),
      earned,
    );
  });

  it('routes to the origin from the moment of a purge, and the boxes let go of it', async () => {
    const system = get();
    await system.api.post('/purge', { assets: { siteId: site.id, prefix: '/hls/' } }, changedSchema);
    const fetched = await waitFor(
      async () => {
        const one = await system.fetch(site, '/hls/index.m3u8');
        return system.servedBy(one) ? null : one;
      },
      'a purged asset is still routed to a box',
      { timeoutMs: 30_000 },
    );
    assert.equal(fetched.finalUrl, `${system.origin.url}/hls/index.m3u8`);
    await waitFor(
      async () => (await system.knownBoxes()).every((box) => box.held <= 2) || null,
      'a box still holds what was purged',
      { timeoutMs: 30_000 },
    );
    const video = await system.fetch(site, '/bbb.mp4');
    assert.ok(system.servedBy(video), 'what was not purged is still there');
  });
});
