import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { test } from 'node:test';
import { OriginFixture } from '#agent/fetch/origin-fixture.ts';
import { FleetFixture } from '#agent/link/fleet-fixture.ts';
import { MIB, manifestFor, tempFolder, until } from '#agent/store/store-fixture.ts';
import { killAgents, startAgent } from './agent-fixture.ts';
import { buildAgent } from './build.ts';

/** This Node, and the system's own where it is another one: mostly the older line that boxes run. */
function nodes(): { node: string; version: string }[] {
  const PATH = (process.env.PATH ?? '')
    .split(path.delimiter)
    .filter((folder) => !folder.includes('node_modules'))
    .join(path.delimiter);
  const asked = spawnSync('node', ['-p', 'process.execPath + " " + process.version'], {
    env: { PATH },
    encoding: 'utf8',
  });
  const [node, version] = (asked.stdout ?? '').trim().split(' ');
  const own = { node: process.execPath, version: process.version };
  const major = Number(/^v(\d+)/.exec(version ?? '')?.[1] ?? 0);
  return node && version && major >= 20 && version !== own.version ? [own, { node, version }] : [own];
}

for (const { node, version } of nodes()) {
  test(`bundle on Node ${version}: it pairs, fetches, serves, tells its hardware, stops`, async (t) => {
    t.after(() => killAgents(t));
    const fleet = await FleetFixture.start();
    t.after(() => fleet.close());
    const origin = await OriginFixture.start();
    t.after(() => origin.close());
    const script = await buildAgent(await tempFolder(t, 'bundle'));
    const env = {
      HEARTH_STATE_DIR: await tempFolder(t, 'state'),
      HEARTH_DISK: await tempFolder(t, 'disk'),
      HEARTH_FLEET_URL: fleet.url,
      HEARTH_CLAIM_CODE: fleet.newClaim(),
    };
    const agent = await startAgent(t, env, { node, script });
    const { boxId } = await fleet.waitFor('hello');
    const bytes = randomBytes(3 * MIB);
    origin.files.set('/a', bytes);
    const asset = manifestFor(bytes, origin.url('/a'), { path: '/a' });
    assert.equal((await fleet.command(boxId, { type: 'cache', asset, ttlMs: null })).ok, true);
    await fleet.waitFor('report', ({ assets }) => assets.some(({ state }) => state === 'held'));
    const url = `${agent.contentUrl}/c/${fleet.mint(boxId, asset.siteId, '/')}/${asset.siteId}/a`;
    assert.ok(Buffer.from(await (await fetch(url)).arrayBuffer()).equals(bytes));
    const { message } = await fleet.waitFor('hardware');
    assert.ok(message.cpu.cores > 0 && message.disks.length > 0);
    assert.equal((await fetch(`${agent.lanUrl}/api/session`)).status, 200);
    assert.equal(await agent.stop(), 0);
    await until(() => fleet.totals().bytes === bytes.length, 'it is settled');
    assert.deepEqual(fleet.refused, []);
  });
}
