import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { pino } from 'pino';
import { ActivityLog } from '#agent/activity/activity.ts';
import { tempFolder } from '#agent/store/store-fixture.ts';
import { Away } from './away.ts';

/** A box's dashboard from away, at a time of its own. */
async function rig(t: TestContext) {
  const folder = await tempFolder(t, 'away');
  const time = { ms: 1_000 };
  const stamp = () => new Date(time.ms).toISOString();
  const activity = new ActivityLog(stamp);
  const away = new Away(folder, {
    activity,
    monotonic: () => time.ms,
    stamp,
    hasPassword: () => true,
    boxId: () => null,
    relays: () => [],
    serve: (connection) => void connection.destroy(),
    end: async () => false,
    isLinked: () => false,
    log: pino({ level: 'silent' }),
  });
  const visit = (address: string) => away.serve(new PassThrough(), { address, host: 'relay.example.org' });
  const told = () => activity.list().filter(({ kind }) => kind === 'away_used').length;
  return { away, folder, time, visit, told };
}

test('visits from ever new addresses are told of, and written to the flash now and then', async (t) => {
  const { away, folder, time, visit, told } = await rig(t);
  await away.turnOn();
  const file = path.join(folder, 'away.json');
  const writtenAt = async () => (await stat(file, { bigint: true })).mtimeNs;
  let [writes, lastNs] = [0, await writtenAt()];
  for (let minute = 0; minute < 60; minute++) {
    for (let n = 0; n < 20; n++) {
      visit(`2001:db8:${minute}:${n}::1`);
      const nowNs = await writtenAt();
      if (nowNs !== lastNs) writes++;
      lastNs = nowNs;
    }
    time.ms += 60_000;
  }
  assert.ok(writes > 0 && writes <= 7, `${writes} writes for 1200 visits in an hour`);
  assert.ok(told() > 100, `${told()} told of`);
  // With the next thing that is written the last of them is.
  await away.turnOn();
  const kept = JSON.parse(await readFile(file, 'utf8'));
  assert.equal(kept.lastFrom, '2001:db8:59:19::1');
});

test('another address of the same network is no other visit', async (t) => {
  const { visit, told } = await rig(t);
  for (let n = 1; n < 10; n++) visit(`2001:db8::${n}`);
  assert.equal(told(), 1);
});
