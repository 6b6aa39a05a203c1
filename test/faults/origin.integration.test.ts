import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, beforeEach, describe, it } from 'node:test';
import { assetSchema, waitFor } from '#fleet/client/fleet-api.ts';
import type { Asset, Site } from '#protocol/http-fleet.ts';
import type { Fault } from '#test/support/faulty-origin.ts';
import { useSystem } from '#test/support/system.ts';

const MIB = 1024 * 1024;

describe('an origin that misbehaves', () => {
  const get = useSystem({ boxes: 1 });
  let site: Site;
  let serial = 0;

  before(async () => {
    site = await get().addSite();
  });
  beforeEach(() => get().origin.faults.clear());

  function newFile(sizeBytes: number): { path: string; bytes: Buffer } {
    const path = `/file-${++serial}.bin`;
    const bytes = randomBytes(sizeBytes);
    get().origin.write(path, bytes);
    return { path, bytes };
  }
  async function ingestOne(path: string): Promise<Asset> {
    const [asset] = await get().ingest(site, [path]);
    assert.ok(asset);
    return asset;
  }
  const placement = async (asset: Asset) => (await get().placements([asset]))[0];
  /** Until the box has said that the download does not go well, with its reason. */
  const untilTrouble = (asset: Asset) =>
    waitFor(async () => (await placement(asset))?.reason ?? null, `no trouble reported with ${asset.path}`);

  describe('while it is read', () => {
    const cases: [string, Fault, string][] = [
      ['is missing', { status: 404 }, 'origin_status'],
      ['is in trouble', { status: 503 }, 'origin_status'],
      ['hangs up', 'down', 'origin_unreachable'],
      ['breaks off', { truncateAt: 700_000 }, 'origin_truncated'],
    ];
    for (const [what, fault, code] of cases) {
      it(`is not ingested when it ${what}, and is when it is well again`, async () => {
        const { path, bytes } = newFile(2 * MIB);
        get().origin.faults.set(path, fault);
        const asset = await ingestOne(path);
        assert.deepEqual([asset.state, asset.error?.code], ['failed', code], asset.error?.message);
        assert.ok(asset.error?.message.includes(path), asset.error?.message);
        // Clients are sent to the origin meanwhile, as if there were no fleet.
        get().origin.faults.clear();
        const direct = await get().fetch(site, path);
        assert.ok(direct.body.equals(bytes));
        await get().api.post(`/assets/${asset.id}/ingest`, {}, assetSchema);
        await waitFor(
          async () =>
            (await get().assetsOf(site)).find((one) => one.id === asset.id && one.state === 'ready'),
          'not ready',
        );
      });
    }

    it('is not ingested when it does not listen at all', async () => {
      const { path } = newFile(1000);
      await get().origin.down();
      try {
        const asset = await ingestOne(path);
        assert.deepEqual([asset.state, asset.error?.code], ['failed', 'origin_unreachable']);
      } finally {
        await get().origin.up();
      }
    });

    it('is not ingested when it changes meanwhile', async () => {
      const { path, bytes } = newFile(3 * MIB);
      get().origin.faults.set(path, { bytesPerSecond: 2 * MIB });
      const system = get();
      const ingested = ingestOne(path);
      await waitFor(
        () => (system.origin.requests.some((one) => one.path === path) ? true : null),
        'not read',
      );
      system.origin.write(path, Buffer.concat([bytes, randomBytes(10)]));
      const asset = await ingested;
      assert.deepEqual([asset.state, asset.error?.code], ['failed', 'origin_changed'], asset.error?.message);
    });
  });

  it('that changes after ingest is noticed by the box, and no client gets bytes of both', async () => {
    const system = get();
    const { path, bytes } = newFile(3 * MIB);
    const asset = await ingestOne(path);
    // One chunk stays as it was.
    const changed = Buffer.concat([bytes.subarray(0, MIB), randomBytes(2 * MIB)]);
    system.origin.write(path, changed);
    await system.assign([asset], system.boxes);
    const reason = await untilTrouble(asset);
    assert.match(reason.code, /^(chunk_mismatch|origin_changed)$/, JSON.stringify(reason));
    assert.notEqual((await placement(asset))?.reported, 'held');
    const fetched = await system.fetch(site, path);
    assert.equal(system.servedBy(fetched), undefined);
    assert.ok(fetched.body.equals(changed), 'what the origin has now');

    // Read again, the new bytes are what boxes hold and serve.
    await system.api.post(`/assets/${asset.id}/ingest`, {}, assetSchema);
    await system.untilHeld([asset], system.boxes);
    const served = await waitFor(async () => {
      const one = await system.fetch(site, path);
      return system.servedBy(one) ? one : null;
    }, 'no box serves the new bytes');
    assert.ok(served.body.equals(changed));
  });

  it('that spoils bytes in the middle of a download leaves none of them on the box', async () => {
    const system = get();
    const { path, bytes } = newFile(6 * MIB);
    const asset = await ingestOne(path);
    system.origin.faults.set(path, { bytesPerSecond: 3 * MIB });
    await system.assign([asset], system.boxes);
    await waitFor(async () => ((await placement(asset))?.bytesDone ?? 0) >= MIB || null, 'no progress');
    system.origin.faults.set(path, 'changed');
    // The response under way is still good; whatever is asked for now is spoiled.
    await new Promise((done) => setTimeout(done, 3000));
    system.origin.faults.clear();
    await system.untilHeld([asset], system.boxes);
    const fetched = await system.fetch(site, path);
    assert.ok(fetched.body.equals(bytes));
  });

  it('that breaks off is asked for the rest, not for all of it again', async () => {
    const system = get();
    const { path, bytes } = newFile(6 * MIB);
    const asset = await ingestOne(path);
    system.origin.requests.length = 0;
    system.origin.faults.set(path, { truncateAt: 3 * MIB + 500_000 });
    await system.assign([asset], system.boxes);
    await untilTrouble(asset);
    system.origin.faults.clear();
    await system.untilHeld([asset], system.boxes);
    const ranges = system.origin.requests
      .filter((one) => one.path === path && one.method === 'GET')
      .map((one) => one.range);
    assert.ok(
      ranges.some((range) => Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0) >= 3 * MIB),
      `asked for ${ranges.join(' ')}`,
    );
    assert.ok((await system.fetch(site, path)).body.equals(bytes));
  });

  for (const [what, fault] of [
    ['is missing', { status: 404 }],
    ['hangs up', 'down'],
  ] as [string, Fault][]) {
    it(`that ${what} is tried again until it is back`, async () => {
      const system = get();
      const { path, bytes } = newFile(2 * MIB);
      const asset = await ingestOne(path);
      system.origin.faults.set(path, fault);
      await system.assign([asset], system.boxes);
      const reason = await untilTrouble(asset);
      assert.match(reason.code, /^origin_/, JSON.stringify(reason));
      system.origin.faults.clear();
      await system.untilHeld([asset], system.boxes);
      assert.ok((await system.fetch(site, path)).body.equals(bytes));
    });
  }

  it('that ignores ranges still gets its content held', async () => {
    const system = get();
    const { path, bytes } = newFile(3 * MIB);
    const asset = await ingestOne(path);
    system.origin.faults.set(path, 'ignores-range');
    await system.assign([asset], system.boxes);
    await system.untilHeld([asset], system.boxes);
    system.origin.faults.clear();
    const fetched = await system.fetch(site, path);
    assert.ok(system.servedBy(fetched));
    assert.ok(fetched.body.equals(bytes));
  });
});
