import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import type { TestContext } from 'node:test';
import { describe, it } from 'node:test';
import { killAgents, spawnAgent, startAgent } from '#agent/agent-fixture.ts';
import { OriginFixture } from '#agent/fetch/origin-fixture.ts';
import { FleetFixture } from '#agent/link/fleet-fixture.ts';
import { MIB, manifestFor, tempFolder, until } from '#agent/store/store-fixture.ts';
import { bundledWorkers } from './workers-fixture.ts';

/** Children of a process that live; those that only wait to be collected do not. */
function livingChildren(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number),
  );
}

function lives(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

async function open(url: string): Promise<http.IncomingMessage> {
  const [response] = (await once(http.get(url, { agent: false }), 'response')) as [http.IncomingMessage];
  return response;
}

async function bodyOf(response: http.IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

const { script } = await bundledWorkers();

describe('workers of the agent as it ships', { skip: process.platform !== 'linux' }, () => {
  const large = randomBytes(16 * MIB);
  /** A paired box with two workers that holds an object. */
  async function box(t: TestContext) {
    t.after(() => killAgents(t));
    const fleet = await FleetFixture.start();
    t.after(() => fleet.close());
    const origin = await OriginFixture.start();
    t.after(() => origin.close());
    const agent = await startAgent(
      t,
      {
        HEARTH_STATE_DIR: await tempFolder(t, 'state'),
        HEARTH_DISK: await tempFolder(t, 'disk'),
        HEARTH_FLEET_URL: fleet.url,
        HEARTH_CLAIM_CODE: fleet.newClaim(),
        HEARTH_WORKERS: '2',
      },
      { node: process.execPath, script },
    );
    const { boxId } = await fleet.waitFor('hello');
    origin.files.set('/large', large);
    const asset = manifestFor(large, origin.url('/large'), { path: '/large' });
    await fleet.command(boxId, { type: 'cache', asset, ttlMs: null });
    await fleet.waitFor('report', ({ assets }) => assets.some(({ state }) => state === 'held'));
    const url = () => `${agent.contentUrl}/c/${fleet.mint(boxId, asset.siteId, '/')}/${asset.siteId}/large`;
    const pid = agent.child.pid ?? 0;
    await until(() => livingChildren(pid).length === 2, 'it has two workers');
    return { agent, fleet, url, pid };
  }

  it('serve, report what they delivered, and end with the agent, which lets them finish', async (t) => {
    const { agent, fleet, url, pid } = await box(t);
    const workers = livingChildren(pid);
    assert.ok((await bodyOf(await open(url()))).equals(large));
    const { length } = large;
    await until(() => fleet.totals().bytes === length, 'the delivery is settled');
    assert.equal(fleet.totals().requests, 1);
    const running = [await open(url()), await open(url())];
    const stopped = agent.stop();
    const bodies = await Promise.all(running.map(bodyOf));
    assert.ok(bodies.every((body) => body.equals(large)));
    assert.equal(await stopped, 0);
    assert.deepEqual(workers.filter(lives), []);
    assert.deepEqual(fleet.totals(), { bytes: 3 * length, requests: 3 });
  });

  it('end at once when the agent is killed: nothing serves on', async (t) => {
    const { agent, url, pid } = await box(t);
    const workers = livingChildren(pid);
    const running = [await open(url()), await open(url())];
    await agent.stop('SIGKILL');
    await until(() => !workers.some(lives), 'no worker is left');
    for (const response of running) await assert.rejects(bodyOf(response));
    await assert.rejects(open(url()));
  });

  it('are not started by a number that cannot be meant', async (t) => {
    const env = { HEARTH_STATE_DIR: await tempFolder(t, 'state'), HEARTH_WORKERS: '0' };
    const { child } = spawnAgent(t, env, { node: process.execPath, script });
    let said = '';
    child.stderr?.on('data', (piece) => {
      said += String(piece);
    });
    const [code] = await once(child, 'close');
    assert.equal(code, 2);
    assert.match(said, /HEARTH_WORKERS: must be a number from 1 to 16, or auto/);
  });
});
