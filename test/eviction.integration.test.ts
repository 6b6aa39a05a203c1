import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { assignmentsCreated, waitFor } from '#fleet/client/fleet-api.ts';
import type { DiskSettings } from '#protocol/household.ts';
import { boxContentSchema } from '#protocol/http-box.ts';
import type { Asset, Placement, Site } from '#protocol/http-fleet.ts';
import type { TestBox } from '#test/support/box.ts';
import { TestHousehold } from '#test/support/household.ts';
import { useSystem } from '#test/support/system.ts';

const MIB = 1024 * 1024;
const SIZE = 13 * MIB;
const PATIENCE = { timeoutMs: 90_000 };
/** How much of each is asked for at the first box; of `only` and `pinned` nothing. */
const USES = { only: 0, pinned: 0, s1: 0.1, s2: 0.25, s3: 0.45, s4: 0.7 };
type Name = keyof typeof USES;
const NAMES = Object.keys(USES) as Name[];
const SHARED: Name[] = ['s1', 's2', 's3', 's4'];
const KILLS = 2;

describe('a box above what its household allows', () => {
  const get = useSystem({ boxes: 2 });
  const bytes = new Map<Name, Buffer>();
  const assets = new Map<Name, Asset>();
  let site: Site;
  let household: TestHousehold;

  const asset = (name: Name): Asset => {
    const found = assets.get(name);
    assert.ok(found, name);
    return found;
  };
  const bytesOf = (name: Name) => bytes.get(name) ?? Buffer.alloc(0);
  const tight = () => get().box(0);
  const twin = () => get().box(1);
  const roomy = () => get().box(2);
  const quota = (mib: number | null): Partial<DiskSettings> => ({
    quota: mib === null ? null : { unit: 'bytes', value: mib * MIB },
  });
  const onDisk = (box: TestBox): string[] =>
    readdirSync(join(box.disk, 'hearth', 'objects'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .filter((entry) => statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false }))
      .map((entry) => entry.name);
  const hasOnDisk = (box: TestBox, name: Name) => onDisk(box).includes(asset(name).sha256 ?? '');
  const placementsOf = (name: Name): Promise<Placement[]> => get().placements([asset(name)]);
  /** Boxes that are to hold it and say that they do. */
  const holdersOf = async (name: Name): Promise<TestBox[]> => {
    const holding = (await placementsOf(name)).filter(
      (one) => one.desired === 'held' && one.reported === 'held',
    );
    return get().boxes.filter((box) => holding.some((one) => one.boxId === box.id));
  };
  const untilHolders = (name: Name, ...expected: TestBox[]) => {
    let seen = '';
    return waitFor(
      async () => {
        const found = await holdersOf(name);
        seen = JSON.stringify(
          (await placementsOf(name)).map(({ boxLabel, desired, reported }) => ({
            boxLabel,
            desired,
            reported,
          })),
        );
        return (found.length === expected.length && expected.every((box) => found.includes(box))) || null;
      },
      () => `${name} is not where it should be: ${seen}`,
      PATIENCE,
    );
  };
  const untilRoom = (mib: number) =>
    waitFor(() => onDisk(tight()).length * SIZE <= mib * MIB || null, 'the box does not make room', PATIENCE);
  /** Nobody is sent to the box for it any more. */
  const untilRoutedElsewhere = (name: Name) =>
    waitFor(
      async () => {
        for (let n = 0; n < 12; n++) {
          if ((await get().link(site, asset(name).path)).startsWith(tight().contentUrl)) return null;
        }
        return true;
      },
      `clients are still sent to the box for ${name}`,
      PATIENCE,
    );
  async function useAt(box: TestBox, name: Name): Promise<void> {
    const link = await waitFor(
      async () => {
        const one = await get().link(site, asset(name).path);
        return one.startsWith(box.contentUrl) ? one : null;
      },
      `the router never sends anybody to ${box.label}`,
      PATIENCE,
    );
    const part = Math.floor(SIZE * USES[name]);
    const response = await fetch(link, { redirect: 'error', headers: { range: `bytes=0-${part - 1}` } });
    const body = Buffer.from(await response.arrayBuffer());
    assert.ok(body.equals(bytesOf(name).subarray(0, part)), name);
  }
  const evictionsOf = async (box: TestBox): Promise<string[]> => {
    const client = new pg.Client(get().database.url);
    await client.connect();
    try {
      const { rows } = await client.query('SELECT asset_id FROM evictions WHERE box_id = $1', [box.id]);
      return rows.map((row) => String(row.asset_id));
    } finally {
      await client.end();
    }
  };
  /** What is wanted of the box and what lies on its disk is the same, and everything can be had from some box. */
  const untilSettled = () => {
    let why = '';
    return waitFor(
      async () => {
        for (const name of NAMES) {
          const own = (await placementsOf(name)).find((one) => one.boxId === tight().id);
          const isWanted = own?.desired === 'held';
          const isHeld = own?.reported === 'held';
          why = `${name} is ${isWanted ? '' : 'not '}wanted and ${isHeld ? '' : 'not '}reported`;
          if (isWanted !== hasOnDisk(tight(), name) || (own && isWanted !== isHeld)) return null;
          why = `nobody holds ${name}`;
          if ((await holdersOf(name)).length === 0) return null;
        }
        return true;
      },
      () => `the box and its fleet do not come to agree: ${why}`,
      PATIENCE,
    );
  };

  before(async () => {
    const system = get();
    site = await system.addSite();
    for (const name of NAMES) {
      bytes.set(name, randomBytes(SIZE));
      system.origin.write(`/${name}.bin`, bytesOf(name));
    }
    const found = await system.ingest(
      site,
      NAMES.map((name) => `/${name}.bin`),
    );
    for (const name of NAMES) {
      const one = found.find(({ path }) => path === `/${name}.bin`);
      assert.ok(one);
      assets.set(name, one);
    }
    const assign = (names: Name[], boxes: unknown, pinned = false) =>
      system.api.post(
        '/assignments',
        { assets: { assetIds: names.map((name) => asset(name).id) }, boxes, ttlMs: null, pinned },
        assignmentsCreated,
      );
    await assign(['only'], { boxIds: [tight().id] });
    await assign(['pinned'], { boxIds: [tight().id, twin().id] }, true);
    await assign(SHARED, { count: 2 });
    await system.untilHeld(
      NAMES.map((name) => asset(name)),
      [tight()],
    );
    await system.untilHeld(
      SHARED.map((name) => asset(name)),
      [twin()],
    );
    await system.addBox('roomy');
    for (const name of SHARED) await useAt(tight(), name);
    household = new TestHousehold(tight());
    // A use counts when its response has ended, which the client may see first.
    await waitFor(
      async () => {
        const { items } = boxContentSchema.parse(await household.ask('/api/content'));
        return (
          SHARED.every((name) =>
            items.some(({ path, hits }) => path === asset(name).path && (hits ?? 0) > 0),
          ) || null
        );
      },
      'the box does not count its deliveries',
      PATIENCE,
    );
  });

  it('asks its fleet, which keeps the only copy, and makes another of what may go; clients notice nothing', async () => {
    const stop = new AbortController();
    const client = (async () => {
      // A small part each time, or it would be much asked for.
      for (let at = 0; !stop.signal.aborted; at = (at + 1000) % (SIZE - 1000)) {
        const fetched = await get().fetch(site, asset('s1').path, {
          maxRedirects: 20,
          headers: { range: `bytes=${at}-${at + 999}` },
        });
        assert.equal(fetched.status, 206, JSON.stringify(fetched.hops));
        assert.ok(
          fetched.hops.every((hop) => hop.status < 400),
          JSON.stringify(fetched.hops),
        );
        assert.ok(fetched.body.equals(bytesOf('s1').subarray(at, at + 1000)), `at ${at}`);
        await sleep(20);
      }
    })();
    try {
      await household.decide({ disk: quota(76) });
      await untilRoom(76);
      await untilRoutedElsewhere('s1');
      await untilHolders('s1', twin(), roomy());
    } finally {
      stop.abort();
    }
    await client;
    // Less asked for than what went, and yet there.
    assert.ok(hasOnDisk(tight(), 'only') && hasOnDisk(tight(), 'pinned'));
    assert.ok(!hasOnDisk(tight(), 's1'));
    assert.equal(onDisk(tight()).length, 5, 'no more than need be');
    assert.deepEqual(await evictionsOf(tight()), [asset('s1').id]);
    await untilHolders('only', tight());
    await untilSettled();
  });

  it('goes by itself while its fleet is away, and is believed when both are back, killed in between', async () => {
    const system = get();
    await system.killFleet();
    await household.decide({ disk: quota(64) });
    await untilRoom(64);
    assert.ok(!hasOnDisk(tight(), 's2'), 'what is least asked for and was not kept by the fleet before');
    await tight().kill();
    await tight().start();
    await system.startFleet();
    await system.untilRoutable(tight());
    await waitFor(
      async () => (await evictionsOf(tight())).includes(asset('s2').id) || null,
      'the fleet is not told',
      PATIENCE,
    );
    await untilHolders('s2', twin(), roomy());
    await untilSettled();
    assert.ok(!hasOnDisk(tight(), 's2'));
    assert.ok(hasOnDisk(tight(), 'only') && hasOnDisk(tight(), 'pinned'));
  });

  /** The household gives the room back, and the operator what went. */
  async function refill(): Promise<void> {
    await household.decide({ disk: quota(null) });
    await get().assign(
      SHARED.map((name) => asset(name)),
      [tight()],
    );
    await get().untilHeld(
      NAMES.map((name) => asset(name)),
      [tight()],
      PATIENCE.timeoutMs,
    );
  }

  it('killed after it has asked, before it is answered: what the fleet decided is done', async () => {
    const system = get();
    await refill();
    process.kill(system.fleetPid, 'SIGSTOP');
    try {
      await household.decide({ disk: quota(64) });
      await sleep(2_000);
      await tight().kill();
    } finally {
      process.kill(system.fleetPid, 'SIGCONT');
    }
    await tight().start();
    await system.untilRoutable(tight());
    await untilRoom(64);
    await untilSettled();
    assert.ok(hasOnDisk(tight(), 'pinned'));
  });

  it('killed at any moment of it: box and fleet agree in the end, nothing is lost, pinned never goes', async () => {
    const system = get();
    for (let kill = 0; kill < KILLS; kill++) {
      await refill();
      await household.decide({ disk: quota(64) });
      await sleep(Math.random() * 250 * kill);
      await tight().kill();
      await tight().start();
      await system.untilRoutable(tight());
      await untilRoom(64);
      await untilSettled();
      assert.ok(hasOnDisk(tight(), 'pinned'));
    }
    for (const name of NAMES) {
      const fetched = await system.fetch(site, asset(name).path, { maxRedirects: 20 });
      assert.ok(fetched.body.equals(bytesOf(name)), name);
    }
  });
});
