import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { LocalPostgres } from '#local/postgres.ts';
import { isHearthError } from '#protocol/errors.ts';
import type { Asset, Site } from '#protocol/http-fleet.ts';
import { audit } from '#test/support/money.ts';
import { ownPostgres, THROWAWAY } from '#test/support/postgres.ts';
import type { TestSystem } from '#test/support/system.ts';
import { useSystem } from '#test/support/system.ts';

const MIB = 1024 * 1024;

describe('programs killed at random moments', () => {
  let postgres: LocalPostgres;
  const get = useSystem({
    boxes: 2,
    database: async () => {
      const own = await ownPostgres();
      postgres = own.server;
      await postgres.createDatabase('hearth');
      return {
        url: postgres.url('hearth'),
        close: async () => {
          await postgres.destroy();
          rmSync(join(own.directory, '..'), { recursive: true, force: true });
        },
      };
    },
  });
  let site: Site;
  let assets: Asset[];
  const contents = new Map<string, Buffer>();

  before(async () => {
    const system = get();
    site = await system.addSite();
    for (let index = 0; index < 4; index++) newFile(system, 2 * MIB);
    assets = await system.ingest(site, [...contents.keys()]);
    await system.assign(assets, system.boxes);
    await system.untilHeld(assets, system.boxes);
  });
  afterEach(() => healed(get()));

  function newFile(system: TestSystem, sizeBytes: number): string {
    const path = `/killed-${contents.size + 1}.bin`;
    const bytes = randomBytes(sizeBytes);
    contents.set(path, bytes);
    system.origin.write(path, bytes);
    return path;
  }

  async function killDatabase(): Promise<void> {
    process.kill(postgres.pid, 'SIGKILL');
    await postgres.exited;
  }
  async function startDatabase(): Promise<void> {
    const { directory, port } = postgres;
    postgres = await LocalPostgres.start({ directory, preferredPort: port, settings: THROWAWAY });
    assert.equal(postgres.port, port);
  }
  /** As whatever supervises a program would: again and again until it stays up. */
  async function startFleet(system: TestSystem): Promise<void> {
    await waitFor(
      () =>
        system.startFleet().then(
          () => true,
          (error) => {
            if (isHearthError(error, 'unavailable')) return null;
            throw error;
          },
        ),
      'the fleet-server does not come up',
    );
  }

  /** Everything runs, is connected, and holds what it should. */
  async function healed(system: TestSystem): Promise<void> {
    for (const box of system.boxes) {
      if (!box.isRunning) await box.start();
      await system.untilRoutable(box);
    }
    await system.untilHeld(assets, system.boxes);
  }

  /** Clients at work until told to stop; every answer they get is checked. */
  function traffic(system: TestSystem, clients: number) {
    const stop = new AbortController();
    const tally = { completedBytes: 0, brokenBytes: 0, fromBoxes: 0, fromOrigin: 0, failures: 0 };
    const client = async () => {
      const paths = [...contents.keys()].slice(0, 4);
      while (!stop.signal.aborted) {
        const path = paths[randomInt(paths.length)] ?? '';
        const bytes = contents.get(path) ?? Buffer.alloc(0);
        try {
          const fetched = await system.fetch(site, path);
          const way = JSON.stringify(fetched.hops);
          assert.ok(
            fetched.hops.every((hop) => hop.status === 200 || hop.status === 302),
            way,
          );
          assert.ok(fetched.body.equals(bytes), `wrong bytes: ${way}`);
          if (system.servedBy(fetched)) {
            tally.fromBoxes += 1;
            tally.completedBytes += bytes.length;
          } else tally.fromOrigin += 1;
        } catch (error) {
          // A connection to a program that was just killed. Bytes may have been sent that nobody read.
          if (!isHearthError(error, 'unavailable')) throw error;
          tally.failures += 1;
          tally.brokenBytes += bytes.length;
          await sleep(50);
        }
        await sleep(20);
      }
    };
    const running = Promise.all(Array.from({ length: clients }, client));
    running.catch(() => stop.abort());
    return {
      end: async () => {
        stop.abort();
        await running;
        return tally;
      },
    };
  }

  /** Waits until nothing more is settled. */
  async function settled(system: TestSystem): Promise<number> {
    let last = -1;
    let since = Date.now();
    return waitFor(async () => {
      const { acceptedBytes } = await audit(system.database.url);
      if (acceptedBytes !== last) since = Date.now();
      last = acceptedBytes;
      return Date.now() - since > 3_000 ? acceptedBytes : null;
    }, 'settlement does not come to rest');
  }

  it('fleet-server and database: no delivery is lost and none is paid twice', async () => {
    const system = get();
    const paidBefore = await settled(system);
    const clients = traffic(system, 3);
    for (let round = 0; round < 4; round++) {
      await sleep(randomInt(300, 1200));
      if (round % 2 === 0) {
        await system.killFleet();
        await sleep(randomInt(500));
        await startFleet(system);
      } else {
        await killDatabase();
        await sleep(randomInt(500));
        await startDatabase();
      }
    }
    await sleep(1000);
    const tally = await clients.end();
    await healed(system);
    // Boxes were never killed: each byte that a client has read is reported and paid, once.
    let books = await audit(system.database.url);
    await waitFor(
      async () => {
        books = await audit(system.database.url);
        return books.acceptedBytes - paidBefore >= tally.completedBytes ? true : null;
      },
      () => `not all deliveries are settled: ${JSON.stringify({ paidBefore, tally, books })}`,
    );
    assert.equal((await settled(system)) - paidBefore, tally.completedBytes, JSON.stringify(tally));
    assert.ok(tally.fromBoxes > 10, JSON.stringify(tally));
  });

  it('a box in the middle of a download: it goes on from where it was, and holds the right bytes', async () => {
    const system = get();
    const path = newFile(system, 8 * MIB);
    const [asset] = await system.ingest(site, [path]);
    assert.ok(asset);
    system.origin.requests.length = 0;
    system.origin.faults.set(path, { bytesPerSecond: 4 * MIB });
    await system.assign([asset], [system.box(0)]);
    for (let round = 0; round < 3; round++) {
      await sleep(randomInt(200, 900));
      await system.box(0).kill();
      await system.box(0).start();
    }
    await system.untilHeld([asset], [system.box(0)]);
    system.origin.faults.clear();
    const starts = system.origin.requests
      .filter((one) => one.path === path && one.method === 'GET')
      .map((one) => Number(/^bytes=(\d+)-/.exec(one.range ?? '')?.[1] ?? 0));
    assert.ok(starts.length >= 2, `it was killed before it began: ${starts}`);
    assert.ok(Math.max(...starts) >= MIB, `asked from ${starts.join(', ')}: nothing was kept`);
    await system.untilRoutable(system.box(0));
    const fetched = await waitFor(async () => {
      const one = await system.fetch(site, path);
      return system.servedBy(one) ? one : null;
    }, 'the box does not serve it');
    assert.ok(fetched.body.equals(contents.get(path) ?? Buffer.alloc(0)));
  });

  it('all of them under traffic while assignments change: the wanted state is reached, nothing is paid twice', async () => {
    const system = get();
    const paidBefore = await settled(system);
    const clients = traffic(system, 3);
    const added: string[] = [];
    const killings: string[] = [];
    for (let round = 0; round < 8; round++) {
      // Something new is wanted each round, at whatever moment; the operator tries again when nobody answers.
      const path = newFile(system, MIB + round);
      added.push(path);
      const wanting = waitFor(
        () =>
          want(system, path).then(
            () => true,
            (error) => {
              if (isHearthError(error)) return null;
              throw error;
            },
          ),
        `nobody takes the assignment of ${path}`,
      );
      await sleep(randomInt(400));
      const victim = ['fleet', 'database', 'box 1', 'box 2'][randomInt(4)] ?? 'fleet';
      killings.push(victim);
      if (victim === 'fleet') {
        await system.killFleet();
        await sleep(randomInt(400));
        await startFleet(system);
      } else if (victim === 'database') {
        await killDatabase();
        await sleep(randomInt(400));
        await startDatabase();
      } else {
        const box = system.box(victim === 'box 1' ? 0 : 1);
        await box.kill();
        await sleep(randomInt(400));
        await box.start();
      }
      await wanting;
    }
    const tally = await clients.end();
    const what = `${killings.join(', ')}: ${JSON.stringify(tally)}`;
    assets = (await system.assetsOf(site)).filter(
      (asset) => added.includes(asset.path) || assets.some((one) => one.id === asset.id),
    );
    assert.equal(assets.filter((asset) => added.includes(asset.path)).length, added.length, what);
    await healed(system);
    const paid = (await settled(system)) - paidBefore;
    // What a killed box had not yet written down is lost to it; more than was sent is never paid.
    assert.ok(paid <= tally.completedBytes + tally.brokenBytes, `${paid} paid; ${what}`);
    assert.ok(tally.fromBoxes > 10, what);
    for (const path of added) {
      const fetched = await system.fetch(site, path);
      assert.ok(fetched.body.equals(contents.get(path) ?? Buffer.alloc(0)), path);
    }
  });

  async function want(system: TestSystem, path: string): Promise<void> {
    const known = (await system.assetsOf(site)).find((asset) => asset.path === path);
    const [asset] = known?.state === 'ready' ? [known] : await system.ingest(site, [path]);
    assert.equal(asset?.state, 'ready', asset?.error?.message);
    if (asset && (await system.placements([asset])).length === 0) await system.assign([asset], system.boxes);
  }
});
