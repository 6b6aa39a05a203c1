import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { waitFor } from '#fleet/client/fleet-api.ts';
import type { Asset, Site } from '#protocol/http-fleet.ts';
import type { TestBox } from '#test/support/box.ts';
import { audit } from '#test/support/money.ts';
import { useSystem } from '#test/support/system.ts';

const MIB = 1024 * 1024;

describe('boxes that fill themselves from each other', () => {
  // The lines of those that give are narrow, so that a fill lasts long enough for something to happen to it.
  const get = useSystem({ boxes: 3, agentEnv: { HEARTH_UP_BYTES_PER_SECOND: '4000000' } });
  let site: Site;
  let serial = 0;

  before(async () => {
    site = await get().addSite();
  });

  /** An asset that the first two boxes hold. */
  async function heldByTwo(sizeBytes: number): Promise<{ asset: Asset; bytes: Buffer }> {
    const system = get();
    const path = `/peer-${++serial}.bin`;
    const bytes = randomBytes(sizeBytes);
    system.origin.write(path, bytes);
    const [asset] = await system.ingest(site, [path]);
    assert.ok(asset);
    await system.assign([asset], [system.box(0), system.box(1)]);
    await system.untilHeld([asset], [system.box(0), system.box(1)]);
    return { asset, bytes };
  }

  /** The third box is to hold it, while the origin is down. */
  async function fillThird(
    asset: Asset,
    meanwhile: () => Promise<void> = async () => undefined,
  ): Promise<void> {
    const system = get();
    await system.origin.down();
    try {
      await system.assign([asset], [system.box(2)]);
      await meanwhile();
      await system.untilHeld([asset], [system.box(2)]);
    } finally {
      await system.origin.up();
    }
  }

  async function assertServes(box: TestBox, asset: Asset, bytes: Buffer): Promise<void> {
    const link = await waitFor(async () => {
      const found = await get().link(site, asset.path);
      return found.startsWith(box.contentUrl) ? found : null;
    }, 'the router does not choose the box');
    const answer = await fetch(link);
    assert.ok(Buffer.from(await answer.arrayBuffer()).equals(bytes));
  }

  const begun = (asset: Asset, bytes: number) => async () => {
    await waitFor(async () => {
      const all = await get().placements([asset]);
      return all.some((one) => one.boxId === get().box(2).id && one.bytesDone >= bytes) || null;
    }, 'the fill does not begin');
  };

  it('an asset is fetched though its origin is down; what boxes gave each other is reported and paid nothing', async () => {
    const { asset, bytes } = await heldByTwo(6 * MIB + 17);
    const before = await audit(get().database.url);
    await fillThird(asset);
    await assertServes(get().box(2), asset, bytes);
    const after = await waitFor(async () => {
      const books = await audit(get().database.url);
      return (books.cut.fill ?? 0) > 0 ? books : null;
    }, 'the fill is not reported');
    // Clients were sent the asset once since; nothing else was paid.
    assert.ok(after.acceptedBytes - before.acceptedBytes <= bytes.length);
    assert.ok(after.claimedBytes - before.claimedBytes >= bytes.length);
  });

  it('a box whose disk gives wrong bytes is left, and not one of them is kept', async () => {
    const { asset, bytes } = await heldByTwo(6 * MIB);
    const sha256 = asset.sha256 ?? '';
    const file = await open(join(get().box(0).disk, 'hearth', 'objects', sha256.slice(0, 2), sha256), 'r+');
    await file.write(randomBytes(5 * MIB), 0, 5 * MIB, 0);
    await file.close();
    await fillThird(asset);
    await assertServes(get().box(2), asset, bytes);
  });

  it('a box that is killed in the middle does not keep the fill from its end', async () => {
    const { asset, bytes } = await heldByTwo(24 * MIB);
    await fillThird(asset, async () => {
      await begun(asset, 2 * MIB)();
      await get().box(0).kill();
    });
    await assertServes(get().box(2), asset, bytes);
    await get().box(0).start();
    await get().untilRoutable(get().box(0));
  });

  it('a box that stalls does not keep the fill from its end', async () => {
    const { asset, bytes } = await heldByTwo(24 * MIB);
    await fillThird(asset, async () => {
      await begun(asset, 2 * MIB)();
      get().box(0).signal('SIGSTOP');
    });
    get().box(0).signal('SIGCONT');
    await assertServes(get().box(2), asset, bytes);
  });
});
