import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { waitFor } from '#fleet/client/fleet-api.ts';
import type { Program } from '#local/program.ts';
import { startFleet } from '#local/programs.ts';
import { overviewSchema } from '#protocol/http-fleet.ts';
import { useSystem } from '#test/support/system.ts';

const CONTENT = randomBytes(3 * 1024 * 1024 + 1);

describe('each role of the fleet-server in a process of its own', () => {
  // The system's own process is the API; it has no broker for a box to come to yet.
  const get = useSystem({ boxes: 0, fleetEnv: { HEARTH_ROLES: 'api' } });
  const others: Program[] = [];

  before(async () => {
    const { database, directory, ports } = get();
    for (const role of ['broker', 'worker', 'router']) {
      others.push(
        await startFleet({
          name: role,
          databaseUrl: database.url,
          keysDir: join(directory, 'keys'),
          ports,
          adminToken: randomBytes(24).toString('hex'),
          adminPassword: randomBytes(24).toString('hex'),
          heartbeatMs: 500,
          env: { HEARTH_ROLES: role },
        }),
      );
    }
  });
  after(async () => {
    for (const program of others) await program.stop();
  });

  it('runs the main loop: enrol, ingest, assign, cache, serve, settle', async () => {
    const system = get();
    const box = await system.addBox('box');
    const site = await system.addSite();
    const path = '/film.bin';
    system.origin.write(path, CONTENT);
    const assets = await system.ingest(site, [path]);
    assert.equal(assets[0]?.state, 'ready');
    await system.assign(assets, [box]);
    await system.untilHeld(assets, [box]);
    await system.link(site, path);
    const fetched = await system.fetch(site, path);
    assert.ok(fetched.body.equals(CONTENT));
    assert.equal(system.servedBy(fetched), box);
    const overview = await waitFor(
      async () => {
        const seen = await system.api.get('/overview', overviewSchema);
        return seen.deliveredBytes === CONTENT.length && seen.redirects.toBoxes > 0 ? seen : null;
      },
      'the delivery is not settled, or the redirect not counted',
      { timeoutMs: 60_000 },
    );
    assert.equal(overview.boxes.online, 1);
    assert.ok(BigInt(overview.credited) > 0n);
  });
});
