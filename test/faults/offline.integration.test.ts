import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { changedSchema, waitFor } from '#fleet/client/fleet-api.ts';
import type { Asset, Site } from '#protocol/http-fleet.ts';
import { boxDetailSchema } from '#protocol/http-fleet.ts';
import { useSystem } from '#test/support/system.ts';

const MIB = 1024 * 1024;

describe('what is wanted reaches a box that was away, and ends when its time is over', () => {
  const get = useSystem({ boxes: 1 });
  let site: Site;
  let serial = 0;

  before(async () => {
    site = await get().addSite();
  });

  async function newAsset(): Promise<{ asset: Asset; bytes: Buffer }> {
    const path = `/offline-${++serial}.bin`;
    const bytes = randomBytes(MIB + 777);
    get().origin.write(path, bytes);
    const [asset] = await get().ingest(site, [path]);
    assert.ok(asset);
    return { asset, bytes };
  }
  const reported = async (asset: Asset) => (await get().placements([asset]))[0]?.reported;
  const untilOffline = () =>
    waitFor(
      async () => ((await get().knownBoxes())[0]?.state === 'offline' ? true : null),
      'the box is not seen to be gone',
    );
  const contentBytesOnDisk = () =>
    readdirSync(get().box(0).disk, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => statSync(join(entry.parentPath, entry.name)).size)
      .filter((size) => size >= MIB)
      .reduce((total, size) => total + size, 0);
  const untilServedByOrigin = (asset: Asset) =>
    waitFor(async () => {
      const fetched = await get().fetch(site, asset.path);
      return get().servedBy(fetched) ? null : true;
    }, 'a box still serves it');

  it('an assignment made while it was off', async () => {
    const system = get();
    const { asset, bytes } = await newAsset();
    await system.box(0).kill();
    await untilOffline();
    await system.assign([asset], system.boxes);
    assert.notEqual(await reported(asset), 'held');
    assert.ok((await system.fetch(site, asset.path)).body.equals(bytes), 'from the origin meanwhile');
    await system.box(0).start();
    await system.untilHeld([asset], system.boxes);
    await system.untilRoutable(system.box(0));
    const fetched = await waitFor(async () => {
      const one = await system.fetch(site, asset.path);
      return system.servedBy(one) ? one : null;
    }, 'the box does not serve it');
    assert.ok(fetched.body.equals(bytes));
  });

  it('an unassignment made while it was off, and the disk space is free again', async () => {
    const system = get();
    const { asset } = await newAsset();
    const before = contentBytesOnDisk();
    await system.assign([asset], system.boxes);
    await system.untilHeld([asset], system.boxes);
    assert.ok(contentBytesOnDisk() > before);
    await system.box(0).kill();
    await untilOffline();
    await system.api.post('/unassign', { assets: { assetIds: [asset.id] } }, changedSchema);
    await system.box(0).start();
    await waitFor(() => (contentBytesOnDisk() === before ? true : null), 'the object is still on the disk');
    await waitFor(async () => ((await reported(asset)) !== 'held' ? true : null), 'still reported as held');
  });

  it('assigned and unassigned and assigned again in a breath: held in the end', async () => {
    const system = get();
    const { asset, bytes } = await newAsset();
    for (let time = 0; time < 5; time++) {
      await system.assign([asset], system.boxes);
      await system.api.post('/unassign', { assets: { assetIds: [asset.id] } }, changedSchema);
    }
    await system.assign([asset], system.boxes);
    await system.untilHeld([asset], system.boxes);
    // Held for good, and not on its way out because of an old order.
    await new Promise((done) => setTimeout(done, 1500));
    assert.equal(await reported(asset), 'held');
    assert.ok((await system.fetch(site, asset.path)).body.equals(bytes));
  });

  it('a time to live: served until then, not after, and gone from the disk', async () => {
    const system = get();
    const { asset, bytes } = await newAsset();
    const before = contentBytesOnDisk();
    await system.assign([asset], system.boxes, 20_000);
    await system.untilHeld([asset], system.boxes);
    const link = await system.link(site, asset.path);
    assert.ok((await system.fetch(site, asset.path)).body.equals(bytes));
    await untilServedByOrigin(asset);
    await waitFor(() => (contentBytesOnDisk() === before ? true : null), 'the object is still on the disk');
    // A link that a client kept leads back.
    const kept = await fetch(link);
    assert.equal(new URL(kept.url).origin, system.origin.url);
    assert.ok(Buffer.from(await kept.arrayBuffer()).equals(bytes));
  });

  it('a time to live that ran out while it was off', async () => {
    const system = get();
    const { asset, bytes } = await newAsset();
    // Long enough to be held first on a machine that is slow.
    const ttlMs = 15_000;
    await system.assign([asset], system.boxes, ttlMs);
    await system.untilHeld([asset], system.boxes);
    const heldAt = Date.now();
    const link = await system.link(site, asset.path);
    await system.box(0).kill();
    await new Promise((done) => setTimeout(done, Math.max(0, heldAt + ttlMs + 500 - Date.now())));
    await system.box(0).start();
    await system.untilRoutable(system.box(0));
    const kept = await fetch(link);
    assert.equal(new URL(kept.url).origin, system.origin.url);
    assert.ok(Buffer.from(await kept.arrayBuffer()).equals(bytes));
    await untilServedByOrigin(asset);
  });

  it('a spot check is answered from the disk, and the answer checked', async () => {
    const system = get();
    const { asset } = await newAsset();
    await system.assign([asset], system.boxes);
    await system.untilHeld([asset], system.boxes);
    const path = `/boxes/${system.box(0).id}`;
    const { status, text } = await system.api.raw('POST', `${path}/commands`, {
      type: 'spot-check',
      sha256: asset.sha256,
    });
    assert.ok(status < 300, text);
    const check = await waitFor(
      async () =>
        (await system.api.get(path, boxDetailSchema)).spotChecks.find(
          (one) => one.sha256 === asset.sha256 && one.outcome !== 'waiting',
        ),
      'the spot check has no outcome',
    );
    assert.equal(check.outcome, 'passed');
  });
});
