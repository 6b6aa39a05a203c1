import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { OriginFixture } from '#agent/fetch/origin-fixture.ts';
import { FleetFixture } from '#agent/link/fleet-fixture.ts';
import { DiskLayout } from '#agent/store/layout.ts';
import { MIB, manifestFor, tempFolder, until } from '#agent/store/store-fixture.ts';
import type { BoxScrub, BoxStatus } from '#protocol/http-box.ts';
import { TestHousehold } from '#test/support/household.ts';
import { killAgents, startAgent } from './agent-fixture.ts';

/** Of a busy machine, ms. */
const PATIENCE_MS = 45_000;

/** A paired agent that holds two objects, on the folder that HEARTH_DISK names. */
async function holding(t: TestContext) {
  // Hooks run in this order.
  t.after(() => killAgents(t));
  const fleet = await FleetFixture.start();
  t.after(() => fleet.close());
  const origin = await OriginFixture.start();
  t.after(() => origin.close());
  const [disk, stateDir] = [await tempFolder(t, 'disk'), await tempFolder(t, 'state')];
  const env = {
    HEARTH_STATE_DIR: stateDir,
    HEARTH_DISK: disk,
    HEARTH_FLEET_URL: fleet.url,
    HEARTH_CLAIM_CODE: fleet.newClaim(),
  };
  const agent = await startAgent(t, env);
  const { boxId } = await fleet.waitFor('hello', () => true);
  const assets = ['/a', '/b'].map((path) => {
    const bytes = randomBytes(MIB + 7);
    origin.files.set(path, bytes);
    return { bytes, ...manifestFor(bytes, origin.url(path), { path }) };
  });
  for (const { bytes: _, ...asset } of assets) {
    await fleet.command(boxId, { type: 'cache', asset, ttlMs: null });
    await fleet.waitFor('report', ({ assets: told }) =>
      told.some((one) => one.assetId === asset.assetId && one.state === 'held'),
    );
  }
  const layout = new DiskLayout(disk);
  // Until then a start would verify them before anything else.
  await until(
    async () => (await readdir(layout.partial)).length === 0,
    'what was written is settled',
    PATIENCE_MS,
  );
  const household = new TestHousehold(agent);
  const status = async () => ((await household.ask('/api/status')) as BoxStatus).disk;
  const fetchAsset = async ({ path, siteId }: { path: string; siteId: string }) => {
    const url = `${agent.contentUrl}/c/${fleet.mint(boxId, siteId, '/')}/${siteId}${path}`;
    const response = await fetch(url, { redirect: 'manual' });
    const body = Buffer.from(await response.arrayBuffer());
    return response.status === 200 ? body : null;
  };
  return { agent, env, assets, household, status, fetchAsset, disk, layout };
}

test('agent: a marker deleted while it runs: the household says that it is the disk, and all on it is found and checked', async (t) => {
  const { assets, household, status, fetchAsset, disk, layout } = await holding(t);
  const [good, damaged] = assets;
  assert.ok(good && damaged);
  const { id } = await status();
  await rm(layout.marker);
  await until(async () => (await status()).reason === 'unmarked', 'it is said');
  assert.equal((await status()).state, 'absent');
  // Meanwhile somebody has had it in another computer.
  const bytes = Buffer.from(damaged.bytes);
  bytes[MIB] = (bytes[MIB] ?? 0) ^ 1;
  await writeFile(layout.object(damaged.sha256), bytes);
  assert.equal(await fetchAsset(good), null, 'nothing is served from it');
  assert.ok(!(await readdir(disk)).includes('.hearth-disk.json'));
  await assert.rejects(household.send('POST', '/api/disk', { mount: disk }), /409.*disk_unmarked/);
  await assert.rejects(
    household.send('POST', '/api/disk', { mount: '/elsewhere', adopt: true }),
    /409.*HEARTH_DISK/,
  );
  await household.send('POST', '/api/disk', { mount: disk, adopt: true });
  await until(async () => (await status()).state === 'ok', 'it is used again');
  assert.equal((await status()).id, id);
  await until(
    async () => ((await household.ask('/api/scrub')) as BoxScrub).repairedObjects === 1,
    'the check finds what was changed, and makes it whole',
    PATIENCE_MS,
  );
  for (const asset of assets) {
    await until(
      async () => (await fetchAsset(asset))?.equals(asset.bytes) ?? false,
      `${asset.path} is served`,
    );
  }
  await assert.rejects(household.send('POST', '/api/disk', { mount: disk, adopt: true }), /409.*HEARTH_DISK/);
});

test('agent: a marker deleted between two runs, on a disk of before there were copies: what lies there is verified first', async (t) => {
  const { agent, env, assets, disk, layout } = await holding(t);
  await agent.stop();
  await rm(layout.marker);
  await rm(layout.markerCopy);
  const again = await startAgent(t, env);
  const household = new TestHousehold(again);
  const status = async () => ((await household.ask('/api/status')) as BoxStatus).disk;
  await until(async () => (await status()).reason === 'unmarked', 'it is said');
  await household.send('POST', '/api/disk', { mount: disk, adopt: true });
  await until(async () => (await status()).state === 'ok', 'it is used');
  for (const { sha256, bytes } of assets) {
    assert.ok((await readFile(layout.adoptedObject(sha256))).equals(bytes), 'it waits to be wanted');
  }
});
