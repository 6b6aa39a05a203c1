import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { pino } from 'pino';
import { ORIGIN_DEFAULTS, OriginClient } from '#agent/fetch/origin.ts';
import { tempFolder, until } from '#agent/store/store-fixture.ts';
import { HERE } from './artefact-fixture.ts';
import { UpdateMemory } from './memory.ts';
import { ReleaseFixture } from './release-fixture.ts';
import { Slots } from './slots.ts';
import { BoxTrust } from './trust.ts';
import { Updater } from './updater.ts';

const HOUR_MS = 3_600_000;
const NIGHT = { fromHour: 2, toHour: 4 };

/** A box whose clock the test moves, and that is to go to the version its package brought, at night. */
async function waitingBox(t: TestContext) {
  const folder = await tempFolder(t, 'waiting');
  const releases = await ReleaseFixture.start();
  t.after(() => releases.close());
  const memory = new UpdateMemory(folder);
  await memory.writeTrust({ root: releases.root, timestamp: null, snapshot: null, targets: null });
  const released = async (version: string) => {
    const artefact = { version, sha256: 'a'.repeat(64), sizeBytes: 10, file: '/dev/null' };
    await releases.release({ ...artefact }, { rollbackFrom: ['1.1.0'] });
  };
  const clock = { nowMs: Date.now(), hour: 12, restarts: 0 };
  const client = new OriginClient({ ...ORIGIN_DEFAULTS, connectionsPerHost: 1 });
  const updater = new Updater({
    version: '1.1.0',
    architecture: HERE,
    launched: {
      mode: 'kept',
      trialNote: '',
      keptNote: 'ok',
      launcherPid: 1,
      packagedVersion: '1.2.0',
      runner: [],
    },
    memory,
    trust: new BoxTrust(memory, null),
    slots: new Slots(() => folder),
    client,
    health: {
      diskReadable: () => true,
      diskWritable: () => true,
      accepting: () => true,
      linked: () => true,
      selfTest: () => null,
    },
    roomBytes: () => 0,
    now: () => clock.nowMs,
    hour: () => clock.hour,
    deadlineMs: 1_000,
    pollMs: 10,
    retryMs: 10,
    log: pino({ level: 'silent' }),
    onReport: () => undefined,
    restart: () => clock.restarts++,
  });
  t.after(async () => {
    await updater.close();
    client.close();
  });
  await updater.open();
  await released('1.2.0');
  updater.order(releases.order('u-1', '1.2.0', NIGHT));
  const is = (state: string, code?: string) => () => {
    const { update } = updater.report();
    return update?.state === state && update.reason?.code === code;
  };
  await until(is('waiting', 'window'), 'it waits for the night');
  return { releases, clock, updater, is };
}

test('metadata that ran out while a box waited for its hours: nothing is installed', async (t) => {
  const { releases, clock, is } = await waitingBox(t);
  releases.sign({ expiresMs: clock.nowMs + HOUR_MS });
  Object.assign(clock, { nowMs: clock.nowMs + 14 * HOUR_MS, hour: 2 });
  await until(is('failed', 'release_expired'), 'it is given up');
  assert.equal(clock.restarts, 0);
});

test('metadata that cannot be had after such a wait: nothing is installed until it is', async (t) => {
  const { releases, clock, is } = await waitingBox(t);
  releases.isAway = true;
  Object.assign(clock, { nowMs: clock.nowMs + 14 * HOUR_MS, hour: 2 });
  await until(is('waiting', 'unavailable'), 'it waits for its fleet');
  assert.equal(clock.restarts, 0);
  releases.isAway = false;
  await until(is('trial'), 'it is switched to');
});

test('metadata that was signed anew meanwhile: its hours come, and it goes on', async (t) => {
  const { releases, clock, is } = await waitingBox(t);
  releases.sign({ expiresMs: clock.nowMs + 48 * HOUR_MS });
  Object.assign(clock, { nowMs: clock.nowMs + 14 * HOUR_MS, hour: 2 });
  await until(is('trial'), 'it is switched to');
  assert.equal(clock.restarts, 1);
});
