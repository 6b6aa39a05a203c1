import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { OriginFixture, ordinary } from '#agent/fetch/origin-fixture.ts';
import { FleetFixture } from '#agent/link/fleet-fixture.ts';
import { MIB, manifestFor, tempFolder, until } from '#agent/store/store-fixture.ts';
import type { AssetManifest } from '#protocol/asset.ts';
import { encodePath } from '#protocol/content-url.ts';
import type { BoxStatus } from '#protocol/http-box.ts';
import type { AssetState } from '#protocol/messages.ts';
import { TestHousehold } from '#test/support/household.ts';
import type { AgentProcess } from './agent-fixture.ts';
import { killAgents, spawnAgent, startAgent } from './agent-fixture.ts';

interface World {
  fleet: FleetFixture;
  origin: OriginFixture;
  env: Record<string, string>;
  disk: string;
  stateDir: string;
}

async function world(t: TestContext): Promise<World> {
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
  return { fleet, origin, env, disk, stateDir };
}

async function boxIdOf(fleet: FleetFixture, from = 0): Promise<string> {
  return (await fleet.waitFor('hello', () => true, from)).boxId;
}

function publishAsset(origin: OriginFixture, name: string, bytes: Buffer): AssetManifest {
  origin.files.set(encodePath(name), bytes);
  return manifestFor(bytes, origin.url(encodePath(name)), { path: name });
}

const reported = (fleet: FleetFixture, assetId: string, state: AssetState, from = 0) =>
  fleet.waitFor(
    'report',
    ({ assets }) => assets.some((asset) => asset.assetId === assetId && asset.state === state),
    from,
  );

async function get(agent: AgentProcess, fleet: FleetFixture, boxId: string, asset: AssetManifest) {
  const token = fleet.mint(boxId, asset.siteId, '/');
  const url = `${agent.contentUrl}/c/${token}/${asset.siteId}${encodePath(asset.path)}`;
  const response = await fetch(url, { redirect: 'manual' });
  return { status: response.status, body: Buffer.from(await response.arrayBuffer()) };
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

test('agent: bad options end it with 2 and a line for each', () => {
  const main = path.join(import.meta.dirname, 'main.ts');
  const run = spawnSync(process.execPath, [main], {
    env: { HEARTH_LAN_PORT: 'x' },
    encoding: 'utf8',
  });
  assert.equal(run.status, 2);
  assert.match(run.stderr, /HEARTH_STATE_DIR must be set/);
  assert.match(run.stderr, /HEARTH_LAN_PORT: /);
  assert.doesNotMatch(run.stderr, / at /);
});

test('agent: the main loop: pair, cache, serve, be paid, spot check, get, delete, stop', async (t) => {
  const { fleet, origin, env, disk, stateDir } = await world(t);
  const agent = await startAgent(t, env);
  const boxId = await boxIdOf(fleet);
  const bytes = randomBytes(5 * MIB + 99);
  const asset = publishAsset(origin, '/video/a b.mp4', bytes);

  assert.deepEqual(await fleet.command(boxId, { type: 'cache', asset, ttlMs: null }), {
    ok: true,
    result: null,
  });
  await reported(fleet, asset.assetId, 'held');
  const got = await get(agent, fleet, boxId, asset);
  assert.equal(got.status, 200);
  assert.equal(sha256(got.body), asset.sha256);
  await until(() => fleet.totals().bytes === bytes.length, 'the delivery is settled');
  assert.equal(fleet.totals().requests, 1);
  const household = new TestHousehold(agent);
  await until(async () => {
    const { serving } = (await household.ask('/api/status')) as BoxStatus;
    return serving.requestsToday === 1 && serving.bytesToday >= bytes.length;
  }, 'the dashboard has counted it');
  await until(
    async () => (await readdir(path.join(disk, 'hearth/deliveries'))).length === 0,
    'settled batches are gone',
  );

  const nonce = randomBytes(16).toString('hex');
  const proof = sha256(Buffer.concat([Buffer.from(nonce, 'hex'), bytes.subarray(5 * MIB)]));
  const check = await fleet.command(boxId, {
    type: 'spot-check',
    sha256: asset.sha256,
    chunkIndex: 5,
    nonce,
  });
  assert.deepEqual(check, {
    ok: true,
    result: { type: 'spot-check', sha256: asset.sha256, chunkIndex: 5, proof },
  });
  const found = await fleet.command(boxId, { type: 'get', sha256: asset.sha256 });
  assert.ok(found.ok && found.result?.type === 'get' && found.result.state === 'held');
  const hardware = await fleet.waitFor('hardware');
  assert.ok(hardware.message.memoryBytes > 0);
  const heartbeat = await fleet.waitFor('heartbeat');
  assert.equal(heartbeat.message.contentUrl, agent.contentUrl);
  assert.equal(heartbeat.message.store.state, 'ok');

  // A deleted asset is gone from the disk, and the client is sent back.
  const gone = await fleet.command(boxId, {
    type: 'delete',
    sha256: asset.sha256,
    assetIds: [asset.assetId],
  });
  assert.equal(gone.ok, true);
  await reported(fleet, asset.assetId, 'deleted');
  assert.equal((await get(agent, fleet, boxId, asset)).status, 302);
  const objects = path.join(disk, 'hearth/objects', asset.sha256.slice(0, 2));
  await until(async () => (await readdir(objects)).length === 0, 'the object is removed');

  for (const name of await readdir(stateDir)) {
    assert.equal((await stat(path.join(stateDir, name))).mode & 0o077, 0, `${name} is private`);
  }
  assert.equal(await agent.stop(), 0);
  await fleet.waitFor('offline');
  assert.deepEqual(fleet.refused, []);
  assert.ok(!agent.log.some((line) => line.includes('PRIVATE KEY')));
});

test('agent: TTL by the fleet clock, and a repeated command is answered each time', async (t) => {
  const { fleet, origin, env } = await world(t);
  await startAgent(t, env);
  const boxId = await boxIdOf(fleet);
  const asset = publishAsset(origin, '/a', randomBytes(1000));
  const payload = fleet.sign(boxId, { type: 'cache', asset, ttlMs: 600_000 }, { id: 'cmd-0123456789abcdef' });
  for (let n = 0; n < 3; n++) fleet.publish(boxId, payload);
  await until(
    () =>
      fleet.received.filter((entry) => entry.kind === 'reply' && entry.raw.includes('cmd-0123456789abcdef'))
        .length === 1,
    'a reply',
  );
  fleet.publish(boxId, payload);
  await until(
    () =>
      fleet.received.filter((entry) => entry.kind === 'reply' && entry.raw.includes('cmd-0123456789abcdef'))
        .length === 2,
    'the same reply again',
  );
  await reported(fleet, asset.assetId, 'held');
  // Only now: on a slow machine a short TTL would have run out before it was held.
  await fleet.command(boxId, { type: 'cache', asset, ttlMs: 300 });
  await reported(fleet, asset.assetId, 'expired');
});

test('agent: forged, foreign, malformed and expired messages are refused, counted, and harm nothing', async (t) => {
  const { fleet, env } = await world(t);
  fleet.heartbeatIntervalMs = 200;
  await startAgent(t, env);
  const boxId = await boxIdOf(fleet);
  await fleet.command(boxId, { type: 'index' });
  const forged = await FleetFixture.start();
  t.after(() => forged.close());
  fleet.publish(boxId, forged.sign(boxId, { type: 'index' }));
  fleet.publish(boxId, fleet.sign('box-aaaaaaaaaaaaaaaa', { type: 'index' }));
  fleet.publish(boxId, fleet.sign(boxId, { type: 'index' }, { issuedAtMs: Date.now() - 900_000 }));
  fleet.publish(boxId, Buffer.from('not json'));
  fleet.publish(boxId, Buffer.from('{"v":2}'));
  fleet.publish(boxId, randomBytes(1000));
  fleet.publish(boxId, Buffer.alloc(300_000, 0x20));
  fleet.publish(boxId, Buffer.from('{}'), 'deliveries-ack');
  fleet.publish(boxId, Buffer.from('{}'), 'earnings');
  await fleet.waitFor('heartbeat', (heartbeat) => heartbeat.refusedMessages === 9);
  assert.equal((await fleet.command(boxId, { type: 'get', sha256: 'a'.repeat(64) })).ok, false);
});

test('agent: the broker dies and comes back; what was served meanwhile is settled once', async (t) => {
  const { fleet, origin, env } = await world(t);
  const agent = await startAgent(t, env);
  const boxId = await boxIdOf(fleet);
  const bytes = randomBytes(MIB);
  const asset = publishAsset(origin, '/a', bytes);
  await fleet.command(boxId, { type: 'cache', asset, ttlMs: null });
  await reported(fleet, asset.assetId, 'held');
  await fleet.stopBroker();
  const before = fleet.received.length;
  for (let n = 0; n < 5; n++) assert.equal((await get(agent, fleet, boxId, asset)).status, 200);
  fleet.acknowledges = false;
  await fleet.startBroker();
  await fleet.waitFor('deliveries', () => true, before);
  const index = await fleet.waitFor('index', () => true, before);
  assert.equal(index.message.assets[0]?.state, 'held');
  // Unanswered, then the link breaks again: the very same batches come again.
  await fleet.stopBroker();
  fleet.acknowledges = true;
  await fleet.startBroker();
  await until(() => fleet.totals().bytes === 5 * MIB, 'all is settled');
  assert.equal(fleet.totals().requests, 5);
  assert.deepEqual(fleet.refused, []);
});

test('agent: killed at any moment of a download, it resumes, and every byte it serves is right', async (t) => {
  const { fleet, origin, env, disk } = await world(t);
  // Slow enough to be killed in the middle.
  origin.handler = (request, response, all) => {
    setTimeout(() => ordinary(request, response, all), 15 + Math.random() * 30);
  };
  const bytes = randomBytes(40 * MIB + 4321);
  const asset = publishAsset(origin, '/big', bytes);
  let agent = await startAgent(t, env);
  const boxId = await boxIdOf(fleet);
  await fleet.command(boxId, { type: 'cache', asset, ttlMs: null });
  let kills = 0;
  for (; kills < 8; kills++) {
    await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 150));
    await agent.stop('SIGKILL');
    agent = await startAgent(t, env);
    const got = await get(agent, fleet, boxId, asset);
    if (got.status === 200) assert.equal(sha256(got.body), asset.sha256);
    else assert.equal(got.status, 302);
  }
  await until(async () => (await get(agent, fleet, boxId, asset)).status === 200, 'it is held at last');
  assert.equal(sha256((await get(agent, fleet, boxId, asset)).body), asset.sha256);
  await until(
    async () => (await readdir(path.join(disk, 'hearth/partial'))).length === 0,
    'the workshop is empty',
  );
  // Nothing is fetched over and over: at most the chunks in flight at each kill.
  assert.ok(origin.asked.length <= 41 + kills * 4 + 4, `${origin.asked.length} requests`);
});

test('agent: killed while serving, nothing is counted twice and nearly nothing is lost', async (t) => {
  const { fleet, origin, env } = await world(t);
  const bytes = randomBytes(MIB / 2);
  const asset = publishAsset(origin, '/a', bytes);
  let agent = await startAgent(t, env);
  const boxId = await boxIdOf(fleet);
  await fleet.command(boxId, { type: 'cache', asset, ttlMs: null });
  await reported(fleet, asset.assetId, 'held');
  let received = 0;
  // What ended so long before a kill, ms, was appended by then: five times the distance of two appends.
  const safeMs = 1_000;
  let safe = 0;
  for (let round = 0; round < 5; round++) {
    const ended: { atMs: number; bytes: number }[] = [];
    const stopAt = performance.now() + 2 * safeMs + Math.random() * 400;
    let running = true;
    const client = async () => {
      while (running) {
        try {
          const got = await get(agent, fleet, boxId, asset);
          if (got.status !== 200) continue;
          ended.push({ atMs: performance.now(), bytes: got.body.length });
        } catch {
          return;
        }
      }
    };
    const clients = [client(), client()];
    await until(() => performance.now() >= stopAt && ended.length > 3, 'some responses have ended');
    const killedAtMs = performance.now();
    await agent.stop('SIGKILL');
    running = false;
    await Promise.all(clients);
    for (const { atMs, bytes: length } of ended) {
      received += length;
      if (atMs < killedAtMs - safeMs) safe += length;
    }
    agent = await startAgent(t, env);
  }
  assert.equal((await agent.stop()) ?? 0, 0);
  const { bytes: settled } = fleet.totals();
  // What the kernel took of a response that was cut may be settled though the client never saw its end.
  assert.ok(settled <= received + 5 * 2 * bytes.length, `settled ${settled} of ${received}`);
  assert.ok(safe > 0);
  assert.ok(settled >= safe, `settled ${settled}, and ${safe} had been appended`);
  assert.deepEqual(fleet.refused, []);
});

test('agent: a damaged chunk is found by the check at the start, fetched again and reported', async (t) => {
  const { fleet, origin, env, disk } = await world(t);
  const bytes = randomBytes(4 * MIB);
  const asset = publishAsset(origin, '/a', bytes);
  const first = await startAgent(t, env);
  const boxId = await boxIdOf(fleet);
  await fleet.command(boxId, { type: 'cache', asset, ttlMs: null });
  await reported(fleet, asset.assetId, 'held');
  await first.stop();
  const file = await open(path.join(disk, 'hearth/objects', asset.sha256.slice(0, 2), asset.sha256), 'r+');
  await file.write(Buffer.from('damage'), 0, 6, 2 * MIB + 7);
  await file.close();
  const before = fleet.received.length;
  origin.asked.length = 0;
  // The check is over before there is a link: its findings must not be lost for that.
  await fleet.stopBroker();
  const agent = await startAgent(t, env);
  const isWhole = async () => {
    // A response that runs when the damage is found is cut.
    const answer = await get(agent, fleet, boxId, asset).catch(() => null);
    return answer?.body.equals(bytes) ?? false;
  };
  await until(isWhole, 'it is whole again');
  assert.deepEqual(
    origin.asked.map((ask) => ask.range),
    [`bytes=${2 * MIB}-${3 * MIB - 1}`],
  );
  await fleet.startBroker();
  const finding = await fleet.waitFor('integrity', ({ damaged }) => damaged.length > 0, before);
  assert.deepEqual(finding.message.damaged, [{ sha256: asset.sha256, chunkIndex: 2 }]);
  await fleet.waitFor('integrity', ({ finished }) => finished, before);
});

test('agent: the disk is pulled and put back, and it serves again without a restart', async (t) => {
  const { fleet, origin, env, disk } = await world(t);
  fleet.heartbeatIntervalMs = 200;
  const asset = publishAsset(origin, '/a', randomBytes(2 * MIB));
  const agent = await startAgent(t, env);
  const boxId = await boxIdOf(fleet);
  await fleet.command(boxId, { type: 'cache', asset, ttlMs: null });
  await reported(fleet, asset.assetId, 'held');
  const elsewhere = `${disk}-pulled`;
  t.after(() => rm(elsewhere, { recursive: true, force: true }));
  await rename(disk, elsewhere);
  await mkdir(disk);
  const pulled = fleet.received.length;
  await fleet.waitFor('heartbeat', (heartbeat) => heartbeat.store.state === 'absent', pulled);
  assert.equal((await get(agent, fleet, boxId, asset)).status, 302);
  const index = await fleet.waitFor('index', () => true, pulled);
  assert.equal(index.message.assets[0]?.reason?.code, 'disk_absent');
  const other = publishAsset(origin, '/b', randomBytes(10));
  const refused = await fleet.command(boxId, { type: 'cache', asset: other, ttlMs: null });
  assert.ok(!refused.ok && refused.error.code === 'disk_absent');
  assert.deepEqual(await readdir(disk), []);
  await rm(disk, { recursive: true });
  await rename(elsewhere, disk);
  await until(async () => (await get(agent, fleet, boxId, asset)).status === 200, 'it serves again');
  assert.equal(sha256((await get(agent, fleet, boxId, asset)).body), asset.sha256);
});

test('agent: without its fleet a restarted box still serves', async (t) => {
  const { fleet, origin, env, stateDir } = await world(t);
  const asset = publishAsset(origin, '/a', randomBytes(2000));
  const first = await startAgent(t, env);
  const boxId = await boxIdOf(fleet);
  await fleet.command(boxId, { type: 'cache', asset, ttlMs: null });
  await reported(fleet, asset.assetId, 'held');
  await first.stop('SIGKILL');
  // Its last will speaks for it.
  await fleet.waitFor('offline');
  await fleet.stopBroker();
  const again = await startAgent(t, env);
  // Killed right after it was complete, the object is verified once more before it is served.
  await until(async () => (await get(again, fleet, boxId, asset)).status === 200, 'it serves again');
  await fleet.startBroker();
  const settings = JSON.parse(await readFile(path.join(stateDir, 'settings.json'), 'utf8'));
  assert.equal(settings.boxId, boxId);
});

test('agent: killed at each write of its enrolment, it ends paired, as one box', async (t) => {
  const { fleet, env } = await world(t);
  for (const name of [
    'enrolment.json.tmp',
    'enrolment.json',
    'identity.json.tmp',
    'identity.json',
    '.hearth-disk.json.tmp',
    '.hearth-disk.json',
    'agent.json.tmp',
    'agent.json',
    'disk.json.tmp',
    'settings.json.tmp',
    'settings.json',
  ]) {
    const [disk, stateDir] = [await tempFolder(t, 'disk'), await tempFolder(t, 'state')];
    const own = {
      ...env,
      HEARTH_STATE_DIR: stateDir,
      HEARTH_DISK: disk,
      HEARTH_CLAIM_CODE: fleet.newClaim(),
    };
    const first = spawnAgent(t, own);
    const watchers = [disk, stateDir].map((folder) =>
      watch(folder, (_event, file) => {
        if (file === name) first.child.kill('SIGKILL');
      }),
    );
    await once(first.child, 'exit');
    for (const watcher of watchers) watcher.close();
    const begun = fleet.received.length;
    const second = await startAgent(t, own);
    const boxId = await boxIdOf(fleet, begun);
    await until(async () => (await readdir(stateDir)).includes('settings.json'), 'it is configured');
    await second.stop('SIGKILL');
    const identity = JSON.parse(await readFile(path.join(stateDir, 'identity.json'), 'utf8'));
    assert.equal(identity.boxId, boxId, name);
    assert.equal(JSON.parse(await readFile(path.join(disk, '.hearth-disk.json'), 'utf8')).boxId, boxId, name);
    const boxes = new Set(fleet.received.slice(begun).map((entry) => entry.boxId));
    assert.deepEqual([...boxes], [boxId], name);
  }
});

test('agent: killed at random while it enrols, again and again, it ends paired', async (t) => {
  const { fleet, env, stateDir } = await world(t);
  for (let n = 0; n < 8; n++) {
    const { child, stop } = spawnAgent(t, env);
    await Promise.race([
      new Promise((resolve) => setTimeout(resolve, 250 + Math.random() * 600)),
      once(child, 'exit'),
    ]);
    assert.equal(child.exitCode, null, 'it does not stumble over what the last kill left');
    await stop('SIGKILL');
  }
  await startAgent(t, env);
  const boxId = await boxIdOf(fleet);
  assert.equal(JSON.parse(await readFile(path.join(stateDir, 'identity.json'), 'utf8')).boxId, boxId);
  assert.equal(new Set(fleet.received.map((entry) => entry.boxId)).size, 1);
});

test('agent: at SIGTERM a running response ends whole, and all of it is settled', async (t) => {
  const { fleet, origin, env } = await world(t);
  const agent = await startAgent(t, env);
  const boxId = await boxIdOf(fleet);
  const bytes = randomBytes(48 * MIB);
  const asset = publishAsset(origin, '/a', bytes);
  await fleet.command(boxId, { type: 'cache', asset, ttlMs: null });
  await reported(fleet, asset.assetId, 'held');
  const url = `${agent.contentUrl}/c/${fleet.mint(boxId, asset.siteId, '/')}/${asset.siteId}/a`;
  const [response] = (await once(http.get(url, { agent: false }), 'response')) as [http.IncomingMessage];
  response.pause();
  const stopped = agent.stop('SIGTERM');
  await fleet.waitFor('offline');
  assert.equal((await get(agent, fleet, boxId, asset)).status, 302, 'a new client is sent back');
  await until(
    async () =>
      get(agent, fleet, boxId, asset).then(
        () => false,
        () => true,
      ),
    'no more clients are taken',
  );
  const hash = createHash('sha256');
  for await (const piece of response) hash.update(piece as Buffer);
  assert.equal(hash.digest('hex'), asset.sha256);
  assert.equal(await stopped, 0);
  assert.deepEqual(fleet.totals(), { bytes: bytes.length, requests: 1 });
});
