import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { join } from 'node:path';
import type { IntervalHistogram } from 'node:perf_hooks';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { UplinkTest } from '#agent/uplink/uplink-test.ts';
import { waitFor } from '#fleet/client/fleet-api.ts';
import type { Asset, Site } from '#protocol/http-fleet.ts';
import { Shaper } from '#shaping/shaper.ts';
import { useSystem } from '#test/support/system.ts';

const MIB = 1024 * 1024;
const WINDOW_MS = 10_000;
const UP = 600_000;
const DOWN = 1_000_000;
/** What the cap may be missed by over any ten seconds. */
const WITHIN = 0.05;

interface Receipt {
  atMs: number;
  bytes: number;
}

/** The most and, once it has got going, the least bytes in any window of ten seconds. */
function windows(receipts: Receipt[], fromMs: number, toMs: number): { most: number; least: number } {
  const sums = [0];
  for (const { bytes } of receipts) sums.push((sums.at(-1) ?? 0) + bytes);
  /** How many came before then. */
  const before = (ms: number) => {
    const index = receipts.findIndex(({ atMs }) => atMs >= ms);
    return index < 0 ? receipts.length : index;
  };
  const within = (from: number) => (sums[before(from + WINDOW_MS)] ?? 0) - (sums[before(from)] ?? 0);
  let most = 0;
  let least = Number.POSITIVE_INFINITY;
  const first = receipts[0]?.atMs ?? 0;
  for (let from = first; from < toMs; from += 50) most = Math.max(most, within(from));
  for (let from = fromMs; from + WINDOW_MS <= toMs; from += 50) least = Math.min(least, within(from));
  return { most, least };
}

/** What this process itself may have seen late, since it was not given the CPU: not the box's doing. */
function lateness(delay: IntervalHistogram, rate: number): number {
  delay.disable();
  return (delay.max / 1e9) * rate;
}

function assertCap({ most, least }: { most: number; least: number }, rate: number, late: number): void {
  const said = `${least} to ${most} bytes in ten seconds, ${rate * 10} allowed, ${Math.round(late)} seen late`;
  assert.ok(most <= rate * 10 * (1 + WITHIN) + late, said);
  assert.ok(least >= rate * 10 * (1 - WITHIN) - late, said);
}

describe("the household's line", () => {
  const get = useSystem({ boxes: 1 });
  let site: Site;
  let asset: Asset;

  before(async () => {
    site = await get().addSite();
    get().origin.write('/film.bin', randomBytes(40 * MIB));
    const [found] = await get().ingest(site, ['/film.bin']);
    assert.ok(found);
    asset = found;
    await get().assign([asset], [get().box(0)]);
    await get().untilHeld([asset], [get().box(0)]);
  });

  it('what goes out keeps to the cap within 5 % over any ten seconds, and clients have equal parts', async () => {
    const system = get();
    await system.box(0).stop();
    await system.box(0).start(undefined, { HEARTH_UP_BYTES_PER_SECOND: String(UP) });
    await system.untilRoutable(system.box(0));
    const receipts: Receipt[] = [];
    const perClient = new Map<string, number>();
    const stop = new AbortController();
    // One client asks on one connection, another on eight; addresses of loopback stand for two households.
    const clients = [
      { address: '127.0.0.1', connections: 1 },
      { address: '127.0.0.2', connections: 8 },
    ];
    const fetching = clients.flatMap(({ address, connections }) =>
      Array.from({ length: connections }, async () => {
        // A link entitles to the asset once, and this one lasts longer than the test.
        const link = await system.link(site, asset.path);
        await read(link, address, stop.signal, (bytes) => {
          receipts.push({ atMs: performance.now(), bytes });
          perClient.set(address, (perClient.get(address) ?? 0) + bytes);
        });
      }),
    );
    const beganMs = performance.now();
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    await sleep(22_000);
    const endedMs = performance.now();
    stop.abort();
    const late = lateness(delay, UP);
    await Promise.all(fetching);
    const { most, least } = windows(receipts, beganMs + 1_000, endedMs);
    assertCap({ most, least }, UP, late);
    const [one = 0, many = 0] = clients.map(({ address }) => perClient.get(address));
    assert.ok(Math.abs(one - many) <= 0.1 * (one + many), `${one} for one connection, ${many} for eight`);
  });

  it('what comes in keeps to the cap, over few connections to the origin', async () => {
    const system = get();
    await system.box(0).stop();
    await system.box(0).start(undefined, {
      HEARTH_DOWN_BYTES_PER_SECOND: String(DOWN),
      HEARTH_ORIGIN_CONNECTIONS: '3',
    });
    await system.untilRoutable(system.box(0));
    // Two downloads at once: both together keep to it.
    system.origin.write('/a.bin', randomBytes(8 * MIB));
    system.origin.write('/b.bin', randomBytes(8 * MIB));
    const assets = await system.ingest(site, ['/a.bin', '/b.bin']);
    system.origin.requests.length = 0;
    system.origin.mostFromBoxes = 0;
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    await system.assign(assets, [system.box(0)]);
    await system.untilHeld(assets, [system.box(0)]);
    const receipts = system.origin.requests.map(({ range, atMs }) => {
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
      return { atMs, bytes: Number(last) - Number(first) + 1 };
    });
    const beganMs = receipts[0]?.atMs ?? 0;
    const { most, least } = windows(receipts, beganMs, (receipts.at(-1)?.atMs ?? 0) - 1_000);
    assertCap({ most, least }, DOWN, lateness(delay, DOWN));
    const connections = system.origin.mostFromBoxes;
    assert.ok(connections > 1 && connections <= 3, `${connections} connections to the origin`);
  });

  it('the month is used to its last byte and no further, whatever kills the box', async () => {
    const system = get();
    const box = system.box(0);
    await box.stop();
    const counted = async () => {
      const file = JSON.parse(await readFile(join(box.disk, 'hearth', 'uplink.json'), 'utf8'));
      const { up, down, unsure } = file.months[file.current];
      return up + down + unsure + file.reserve;
    };
    const used = await counted();
    assert.ok(used > 40 * MIB, 'what was fetched and served before is counted');
    const quota = { HEARTH_MONTHLY_BYTES: String(used + 5 * MIB) };
    await box.start(undefined, quota);
    await system.untilRoutable(box);
    const link = await system.link(site, asset.path);
    let bytes = 0;
    await read(link, '127.0.0.1', AbortSignal.timeout(60_000), (more) => {
      bytes += more;
    });
    assert.ok(bytes <= 5 * MIB && bytes > 4.9 * MIB, `${bytes} bytes`);
    const status = async () => (await fetch(link, { redirect: 'manual' })).status;
    assert.equal(await status(), 302);
    await box.kill();
    assert.ok((await counted()) >= used + bytes);
    await box.start(undefined, quota);
    assert.equal(await status(), 302);
    await box.stop();
    await box.start();
    await waitFor(async () => (await status()) === 200 || null, 'not served without a quota');
  });

  it('paused: what is under way is cut, new requests go back to the router, nothing is fetched; also after a kill', async () => {
    const system = get();
    const box = system.box(0);
    await box.stop();
    await box.start(undefined, { HEARTH_UP_BYTES_PER_SECOND: String(UP) });
    await system.untilRoutable(box);
    const call = await household(box.lanUrl);
    const link = await system.link(site, asset.path);
    let bytes = 0;
    const reading = read(link, '127.0.0.1', AbortSignal.timeout(60_000), (more) => {
      bytes += more;
    });
    await waitFor(async () => bytes > 100_000 || null, 'nothing is served');
    await call('POST', '/api/pause', { minutes: 60 });
    await reading;
    assert.ok(bytes < 40 * MIB, 'it was cut');
    const status = async () => (await fetch(link, { redirect: 'manual' })).status;
    assert.equal(await status(), 302);
    system.origin.write('/later.bin', randomBytes(MIB));
    const later = await system.ingest(site, ['/later.bin']);
    system.origin.requests.length = 0;
    await system.assign(later, [box]);
    await box.kill();
    await box.start();
    await waitFor(
      async () => (await system.placements(later))[0]?.reported === 'queued' || null,
      'not queued',
    );
    assert.equal(await status(), 302);
    assert.equal(system.origin.requests.length, 0);
    const again = await household(box.lanUrl, false);
    await again('DELETE', '/api/pause');
    await system.untilHeld(later, [box]);
    assert.equal(await status(), 200);
  });

  it('at SIGTERM new requests go back to the router, a running response ends whole, a client that hangs holds up nobody', async () => {
    const system = get();
    const box = system.box(0);
    await box.stop();
    await box.start(undefined, { HEARTH_UP_BYTES_PER_SECOND: '400000', HEARTH_DRAIN_MS: '8000' });
    await system.untilRoutable(box);
    system.origin.write('/short.bin', randomBytes(MIB));
    const [short] = await system.ingest(site, ['/short.bin']);
    assert.ok(short);
    await system.assign([short], [box]);
    await system.untilHeld([short], [box]);
    const stop = new AbortController();
    const hanging = http.get(await system.link(site, asset.path), { agent: false, signal: stop.signal });
    hanging.on('error', () => undefined);
    hanging.on('response', (response) => response.pause());
    const link = await system.link(site, short.path);
    let bytes = 0;
    const reading = read(link, '127.0.0.2', stop.signal, (more) => {
      bytes += more;
    });
    await waitFor(async () => bytes > 100_000 || null, 'nothing is served');
    const beganMs = performance.now();
    const stopping = box.stop();
    const answer = await fetch(link, { redirect: 'manual', headers: { connection: 'close' } }).catch(
      () => null,
    );
    // Refused is as good: the router's next look takes the box out.
    if (answer) assert.equal(answer.status, 302);
    await reading;
    assert.ok(bytes >= MIB, `${bytes} of ${MIB} bytes`);
    await stopping;
    stop.abort();
    assert.ok(performance.now() - beganMs < 30_000);
    await box.start();
    await system.untilRoutable(box);
  });

  it('is measured against the fleet without being paired, and the fleet bounds that', async () => {
    const system = get();
    const uplink = { up: new Shaper(), down: new Shaper() };
    const line = new UplinkTest({ fleetUrl: () => system.api.url, uplink, measureMs: 500 });
    const running = line.run(AbortSignal.timeout(60_000));
    await assert.rejects(line.run(AbortSignal.timeout(60_000)), { code: 'conflict' });
    const found = await running;
    assert.ok(found.upBytesPerSecond !== null && found.upBytesPerSecond > 100_000);
    assert.ok(found.downBytesPerSecond !== null && found.downBytesPerSecond > 100_000);
    const { upBytesPerSecond, downBytesPerSecond } = found.proposed;
    assert.ok(upBytesPerSecond !== null && upBytesPerSecond <= found.upBytesPerSecond / 2);
    assert.ok(downBytesPerSecond !== null && downBytesPerSecond <= found.downBytesPerSecond * 0.8);
    // What it used counts.
    assert.ok(uplink.up.takenBytes > 0 && uplink.down.takenBytes > 0);
    const url = `${system.api.url}/api/v1/uplink-test`;
    assert.equal((await fetch(`${url}?bytes=100000000`)).status, 400);
    const octets = { 'content-type': 'application/octet-stream' };
    const large = await fetch(url, { method: 'POST', headers: octets, body: Buffer.alloc(9 * MIB) }).then(
      (response) => response.status,
      () => 413,
    );
    assert.equal(large, 413);
    const none = new UplinkTest({ fleetUrl: () => 'http://127.0.0.1:1', uplink });
    await assert.rejects(none.run(AbortSignal.timeout(60_000)), { code: 'unavailable' });
    // Who takes all there is for one network, without ever reading it, has it alone for that long.
    const hold = new AbortController();
    const held = await Promise.all(
      Array.from({ length: 24 }, () => fetch(`${url}?bytes=${8 * MIB}`, { signal: hold.signal })),
    );
    assert.equal(held.filter(({ status }) => status === 429).length, 8);
    await assert.rejects(line.run(AbortSignal.timeout(60_000)), { code: 'rate_limited' });
    hold.abort();
  });
});

function read(
  url: string,
  localAddress: string,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<void> {
  return new Promise((resolve) => {
    const request = http.get(url, { localAddress, agent: false, signal });
    request.on('error', () => resolve());
    request.on('response', (response) => {
      onBytes(response.rawHeaders.join('').length);
      response.on('data', (piece: Buffer) => onBytes(piece.length));
      response.on('error', () => undefined);
      response.on('close', () => resolve());
    });
  });
}

/** The household at its dashboard. */
async function household(lanUrl: string, isFirst = true) {
  const password = 'correct horse battery staple';
  const json = { 'content-type': 'application/json', 'x-hearth-csrf': '1' };
  const answer = await fetch(`${lanUrl}/api/${isFirst ? 'setup' : 'login'}`, {
    method: 'POST',
    headers: json,
    body: JSON.stringify({ password }),
  });
  assert.ok(answer.ok, await answer.text());
  const cookie = answer.headers.get('set-cookie')?.split(';')[0] ?? '';
  return async (method: string, path: string, body?: unknown) => {
    const response = await fetch(lanUrl + path, {
      method,
      headers: { ...json, cookie },
      body: body === undefined ? null : JSON.stringify(body),
    });
    assert.ok(response.ok, await response.text());
  };
}
