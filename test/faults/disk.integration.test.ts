import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { changedSchema, waitFor } from '#fleet/client/fleet-api.ts';
import type { Asset, Placement, Site } from '#protocol/http-fleet.ts';
import type { TestBox } from '#test/support/box.ts';
import { useSystem } from '#test/support/system.ts';

const MIB = 1024 * 1024;
const PATIENCE = { timeoutMs: 60_000 };
const FIRST = randomBytes(9 * MIB + 77);
const SECOND = randomBytes(8 * MIB + 5);

/** Why this cannot be run here; a mount of its own needs root on Linux. */
const unable =
  process.platform !== 'linux' || process.getuid?.() !== 0
    ? 'needs root on Linux, to mount a small disk'
    : false;

describe('a disk in trouble, seen by the fleet and its clients', { skip: unable }, () => {
  let disk = '';
  let mounted = false;
  // Before the system's own end, which removes its folders.
  after(() => {
    if (mounted) unmount();
  });
  const get = useSystem({ boxes: 0 });
  let box: TestBox;
  let site: Site;
  let first: Asset;
  let second: Asset;

  const mount = () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m,mode=0755', 'tmpfs', disk]);
    mounted = true;
  };
  /** The kernel refuses while a file is open for writing: what was delivered must be settled first. */
  const remount = (mode: 'ro' | 'rw') =>
    waitFor(
      () => spawnSync('mount', ['-o', `remount,${mode}`, disk]).status === 0 || null,
      `the disk cannot be made ${mode}`,
      { ...PATIENCE, everyMs: 10 },
    );
  /** Lazily, as a disk that is pulled goes whether or not files on it are open. */
  const unmount = () => {
    execFileSync('umount', ['-l', disk]);
    mounted = false;
  };

  before(async () => {
    const system = get();
    disk = join(system.directory, 'small', 'disk');
    mkdirSync(disk, { recursive: true });
    mount();
    box = await system.addBox('small', {
      HEARTH_DISK_FLOOR_BYTES: String(MIB),
      HEARTH_DISK_PROBE_MS: '200',
      HEARTH_RETRY_MS: '300',
    });
    site = await system.addSite();
    system.origin.write('/first.bin', FIRST);
    system.origin.write('/second.bin', SECOND);
    const [one, two] = await system.ingest(site, ['/first.bin', '/second.bin']);
    assert.ok(one && two);
    [first, second] = [one, two];
  });
  const placementOf = async (asset: Asset): Promise<Placement | undefined> =>
    (await get().placements([asset])).find((one) => one.boxId === box.id);
  const untilState = (state: string) =>
    waitFor(
      async () => (await get().knownBoxes()).find((one) => one.heartbeat?.store.state === state),
      `the fleet does not see the disk ${state}`,
      PATIENCE,
    );
  /** A client gets the right bytes, without an error on the way. */
  async function fetchRight(path: string, bytes: Buffer): Promise<TestBox | undefined> {
    const fetched = await get().fetch(site, path, { maxRedirects: 20 });
    assert.equal(fetched.status, 200, JSON.stringify(fetched.hops));
    assert.ok(
      fetched.hops.every((hop) => hop.status < 400),
      JSON.stringify(fetched.hops),
    );
    assert.ok(fetched.body.equals(bytes), 'wrong bytes');
    return get().servedBy(fetched);
  }

  it('full: what fits is served, what does not fails with its reason, and comes when there is room', async () => {
    const system = get();
    await system.assign([first], [box]);
    await system.untilHeld([first], [box]);
    await system.assign([second], [box]);
    const refused = await waitFor(
      async () => {
        const placement = await placementOf(second);
        return placement?.reported === 'failed' && placement.reason ? placement : null;
      },
      'the box does not say that the second asset does not fit',
      PATIENCE,
    );
    assert.equal(refused.reason?.code, 'disk_full', JSON.stringify(refused));
    assert.equal(await fetchRight('/first.bin', FIRST), box);
    assert.equal(await fetchRight('/second.bin', SECOND), undefined, 'from the origin');

    await system.api.post('/unassign', { assets: { assetIds: [first.id] } }, changedSchema);
    await system.untilHeld([second], [box]);
    assert.equal(await fetchRight('/second.bin', SECOND), box);
  });

  it('read-only: what is held is served, what is new waits until it can be written again', async () => {
    const system = get();
    await remount('ro');
    await untilState('read_only');
    assert.equal(await fetchRight('/second.bin', SECOND), box);
    system.origin.write('/small.bin', 'small');
    const [small] = await system.ingest(site, ['/small.bin']);
    assert.ok(small);
    await system.assign([small], [box]);
    await waitFor(
      async () => (await placementOf(small))?.reason?.code === 'disk_read_only' || null,
      'the box does not say that its disk is read-only',
      PATIENCE,
    );
    await fetchRight('/small.bin', Buffer.from('small'));
    await remount('rw');
    await untilState('ok');
    await system.untilHeld([small], [box], 120_000);
  });

  it('pulled: clients go elsewhere, and nothing is written where the disk was; another empty disk is not taken', async () => {
    unmount();
    await untilState('absent');
    assert.equal(await fetchRight('/second.bin', SECOND), undefined);
    assert.deepEqual(readdirSync(disk), []);
    // Not the disk the box knows: it has no marker.
    mount();
    await new Promise((done) => setTimeout(done, 1500));
    assert.deepEqual(readdirSync(disk), []);
    assert.equal(await fetchRight('/second.bin', SECOND), undefined);
  });
});
