import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readdirSync, readSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, before, describe, it } from 'node:test';
import { waitFor } from '#fleet/client/fleet-api.ts';
import type { Asset, Site } from '#protocol/http-fleet.ts';
import type { TestBox } from '#test/support/box.ts';
import { mintFor } from '#test/support/minting.ts';
import { rawGet } from '#test/support/raw-http.ts';
import { useSystem } from '#test/support/system.ts';

const MIB = 1024 * 1024;
const CONTENT = randomBytes(3 * MIB + 12_345);
const PATH = '/film.bin';

describe('boxes that fail', () => {
  const get = useSystem({ boxes: 2 });
  let site: Site;
  let asset: Asset;

  before(async () => {
    const system = get();
    site = await system.addSite();
    system.origin.write(PATH, CONTENT);
    const [one] = await system.ingest(site, [PATH]);
    assert.ok(one);
    asset = one;
    await system.assign([asset], system.boxes);
    await system.untilHeld([asset], system.boxes);
  });
  afterEach(async () => {
    for (const box of get().boxes) {
      if (!box.isRunning) await box.start();
      await get().untilRoutable(box);
    }
    await get().untilHeld([asset], get().boxes);
  });

  /** As a player would: tries again when a connection fails; no answer may be an error or a wrong byte. */
  async function fetchPatiently(attempts = 60): Promise<TestBox | undefined> {
    const system = get();
    for (let attempt = 1; ; attempt++) {
      try {
        const fetched = await system.fetch(site, PATH, { maxRedirects: 20 });
        assert.equal(fetched.status, 200, JSON.stringify(fetched.hops));
        assert.ok(
          fetched.hops.every((hop) => hop.status < 400),
          JSON.stringify(fetched.hops),
        );
        assert.ok(fetched.body.equals(CONTENT), 'wrong bytes');
        return system.servedBy(fetched);
      } catch (error) {
        if (error instanceof assert.AssertionError || attempt >= attempts) throw error;
        await new Promise((done) => setTimeout(done, 250));
      }
    }
  }

  it('killed: clients get the right bytes from the other one', async () => {
    const system = get();
    await system.box(0).kill();
    assert.equal(await fetchPatiently(), system.box(1));
    await system.box(1).kill();
    assert.equal(await fetchPatiently(), undefined, 'no box left: the origin');
  });

  it('frozen: passed over after some missed heartbeats', async () => {
    const system = get();
    const box = system.box(0);
    box.signal('SIGSTOP');
    try {
      await waitFor(
        async () =>
          (await system.knownBoxes()).find((one) => one.id === box.id)?.routable === false ? true : null,
        'a frozen box stays routable',
      );
      for (let time = 0; time < 5; time++) assert.equal(await fetchPatiently(), system.box(1));
    } finally {
      box.signal('SIGCONT');
    }
  });

  it('disk gone: sent back through the router at once, served by the other; nothing is written in its place', async () => {
    const system = get();
    const [one, other] = [system.box(0), system.box(1)];
    const link = await waitFor(async () => {
      const url = await system.link(site, PATH);
      return url.startsWith(one.contentUrl) ? url : null;
    }, 'no link to the first box');
    renameSync(one.disk, `${one.disk}-gone`);
    try {
      const answer = await rawGet(one.contentPort, new URL(link).pathname);
      // An open file may still be read for a moment; what is read must be right.
      if (answer?.status === 200) assert.ok(answer.body.equals(CONTENT));
      else assert.equal(answer?.status, 302);
      for (let time = 0; time < 5; time++) await fetchPatiently();
      await waitFor(
        async () =>
          (await system.knownBoxes()).find((box) => box.id === one.id)?.heartbeat?.store.state === 'absent'
            ? true
            : null,
        'the box does not say that its disk is gone',
      );
      assert.equal(await fetchPatiently(), other);
      assert.throws(
        () => statSync(one.disk),
        /ENOENT/,
        'the folder was made again: that would fill the flash',
      );
    } finally {
      renameSync(`${one.disk}-gone`, one.disk);
    }
  });

  it('both disks gone: clients reach the origin, and do not go round in circles', async () => {
    const system = get();
    for (const box of system.boxes) renameSync(box.disk, `${box.disk}-gone`);
    try {
      for (let time = 0; time < 5; time++) await fetchPatiently();
      await waitFor(
        async () => ((await fetchPatiently()) === undefined ? true : null),
        'the origin is not reached',
      );
    } finally {
      for (const box of system.boxes) renameSync(`${box.disk}-gone`, box.disk);
    }
  });

  it('without the asset it was asked for: back to the router, this box left out', async () => {
    const system = get();
    const box = system.box(0);
    const scope = {
      boxId: box.id,
      siteId: site.id,
      prefix: '/',
      maxBytes: 1e9,
      expiresAtMs: Date.now() + 60_000,
    };
    const answer = await rawGet(
      box.contentPort,
      `/c/${mintFor(system, scope)}/${site.id}/never%20assigned.bin`,
    );
    assert.equal(answer?.status, 302);
    assert.equal(
      answer.headers.location,
      `http://127.0.0.1:${system.routerPort}/_site/${site.id}/never%20assigned.bin?hearth-skip=${box.id}`,
    );
  });

  it('object file deleted under it: no error, and the asset is fetched again', async () => {
    const system = get();
    const box = system.box(0);
    await box.stop();
    for (const file of bigFiles(box.disk)) rmSync(file);
    system.origin.requests.length = 0;
    await box.start();
    for (let time = 0; time < 5; time++) await fetchPatiently();
    await waitFor(
      () => (system.origin.requests.some((one) => one.method === 'GET' && one.path === PATH) ? true : null),
      'the box does not fetch it again',
    );
    await system.untilHeld([asset], [box]);
    await system.untilRoutable(box);
    assert.equal(await servedByFirst(), true);
  });

  it('bytes rotten on the disk: found by the check at start, fetched again, not served', async () => {
    const system = get();
    const box = system.box(0);
    await box.stop();
    const [file] = bigFiles(box.disk);
    assert.ok(file);
    const good = byteAt(file, 2 * MIB + 100);
    flipBit(file, 2 * MIB + 100);
    system.origin.requests.length = 0;
    await box.start();
    // From the origin or from the other box that holds it, whichever is nearer.
    await waitFor(
      () => (bigFiles(box.disk).some((one) => byteAt(one, 2 * MIB + 100) === good) ? true : null),
      'the damage is not found and mended',
    );
    const ranges = system.origin.requests.filter((one) => one.method === 'GET').map((one) => one.range);
    assert.ok(
      ranges.every((range) => range?.startsWith(`bytes=${2 * MIB}-`)),
      `only the damaged chunk: ${ranges.join()}`,
    );
    await system.untilHeld([asset], [box]);
    await system.untilRoutable(box);
    assert.equal(await servedByFirst(), true);
  });

  /** Fetches until the first box has served it; every answer on the way must be right. */
  async function servedByFirst(): Promise<boolean> {
    for (let time = 0; time < 50; time++) if ((await fetchPatiently()) === get().box(0)) return true;
    return false;
  }
});

function bigFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => statSync(file).size > MIB);
}

function byteAt(path: string, at: number): number | undefined {
  const file = openSync(path, 'r');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  closeSync(file);
  return byte[0];
}

function flipBit(path: string, at: number): void {
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 1;
  writeSync(file, byte, 0, 1, at);
  closeSync(file);
}
