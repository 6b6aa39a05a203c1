import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { DEFAULT_HOUSEHOLD } from '#protocol/household.ts';
import { Household } from './household.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'hearth-household-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const uplink = {
  upBytesPerSecond: 500_000,
  downBytesPerSecond: null,
  schedule: [],
  monthlyBytes: 10_000_000,
};

test('what the household decided is there after a restart, and the rest is as it was', async () => {
  const first = await Household.open(folder, DEFAULT_HOUSEHOLD);
  await first.change({ uplink });
  await first.change({ language: 'zh' });
  const second = await Household.open(folder, DEFAULT_HOUSEHOLD);
  assert.deepEqual(second.now, { ...DEFAULT_HOUSEHOLD, uplink, language: 'zh' });
});

test('changes made at once are all kept, and each is told', async () => {
  const household = await Household.open(folder, DEFAULT_HOUSEHOLD);
  const told: string[] = [];
  household.onChange((now, before) => told.push(`${before.timeZone}>${now.timeZone}`));
  await Promise.all([
    household.change({ timeZone: 'Asia/Shanghai' }),
    household.change({ timeZone: 'Europe/Berlin' }),
    household.change({ uplink }),
  ]);
  assert.deepEqual(told.slice(0, 2), ['UTC>Asia/Shanghai', 'Asia/Shanghai>Europe/Berlin']);
  assert.deepEqual((await Household.open(folder, DEFAULT_HOUSEHOLD)).now.uplink, uplink);
});

test('nonsense is refused by name and changes nothing', async () => {
  const household = await Household.open(folder, DEFAULT_HOUSEHOLD);
  await assert.rejects(household.change({ timeZone: 'Mars/Olympus' }), {
    code: 'bad_request',
    message: /timeZone/,
  });
  await assert.rejects(household.change({ uplink: { ...uplink, upBytesPerSecond: 3 } }), {
    message: /8 KiB a second/,
  });
  assert.equal(household.now, DEFAULT_HOUSEHOLD);
});

test('a damaged file leaves the defaults in force, and the flash is not written when nothing changes', async () => {
  const file = path.join(folder, 'household.json');
  await writeFile(file, '{"v":1,"upl');
  const household = await Household.open(folder, DEFAULT_HOUSEHOLD);
  assert.equal(household.damaged, true);
  assert.deepEqual(household.now, DEFAULT_HOUSEHOLD);
  await household.change({ language: null });
  assert.equal(await readFile(file, 'utf8'), '{"v":1,"upl');
  await household.change({ language: 'en' });
  assert.equal(household.damaged, false);
  assert.equal((await Household.open(folder, DEFAULT_HOUSEHOLD)).now.language, 'en');
});
