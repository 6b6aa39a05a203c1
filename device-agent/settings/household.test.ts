import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { DEFAULT_HOUSEHOLD, householdSettingsSchema } from '#protocol/household.ts';
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
  await household.change({ language: null, pausedUntil: null });
  await household.change({});
  assert.equal(await readFile(file, 'utf8'), '{"v":1,"upl');
  await household.change({ language: 'en' });
  const { mtimeNs } = await stat(file, { bigint: true });
  await household.change({ language: 'en' });
  assert.equal((await stat(file, { bigint: true })).mtimeNs, mtimeNs);
  assert.equal(household.damaged, false);
  assert.equal((await Household.open(folder, DEFAULT_HOUSEHOLD)).now.language, 'en');
});

/** The same box with other options. */
const OTHER_DEFAULTS = {
  ...DEFAULT_HOUSEHOLD,
  uplink: { ...DEFAULT_HOUSEHOLD.uplink, upBytesPerSecond: 9_000_000, monthlyBytes: null },
};

test('what the household never spoke of follows the options of the box, whatever else was saved', async () => {
  const household = await Household.open(folder, DEFAULT_HOUSEHOLD);
  await household.change({ wizardDone: true, disk: { mount: '/mnt/usb' }, uplink: { monthlyBytes: 7_000 } });
  const later = await Household.open(folder, OTHER_DEFAULTS);
  assert.deepEqual(later.now, {
    ...OTHER_DEFAULTS,
    wizardDone: true,
    disk: { ...DEFAULT_HOUSEHOLD.disk, mount: '/mnt/usb' },
    uplink: { ...OTHER_DEFAULTS.uplink, monthlyBytes: 7_000 },
  });
  // Also after another save, and for good.
  await later.change({ language: 'en' });
  assert.equal((await Household.open(folder, DEFAULT_HOUSEHOLD)).now.uplink.upBytesPerSecond, 1_250_000);
});

test('a limit that the household left as proposed, and confirmed, stays though the options change', async () => {
  const household = await Household.open(folder, DEFAULT_HOUSEHOLD);
  const { upBytesPerSecond } = household.now.uplink;
  await household.change({ uplink: { upBytesPerSecond } });
  assert.equal((await Household.open(folder, OTHER_DEFAULTS)).now.uplink.upBytesPerSecond, upBytesPerSecond);
});

test('a file of before: what is unlike the carton was chosen, all else follows the options; old programs read ours', async () => {
  const file = path.join(folder, 'household.json');
  const old = {
    ...DEFAULT_HOUSEHOLD,
    language: 'zh',
    uplink: { ...DEFAULT_HOUSEHOLD.uplink, downBytesPerSecond: null },
  };
  await writeFile(file, JSON.stringify(old));
  const household = await Household.open(folder, OTHER_DEFAULTS);
  assert.equal(household.damaged, false);
  assert.deepEqual(household.now, {
    ...OTHER_DEFAULTS,
    language: 'zh',
    uplink: { ...OTHER_DEFAULTS.uplink, downBytesPerSecond: null },
  });
  await household.change({ wizardDone: true });
  const written = JSON.parse(await readFile(file, 'utf8'));
  assert.deepEqual(householdSettingsSchema.parse(written), household.now);
});

test('names in the file that mean nothing here are passed over', async () => {
  const file = path.join(folder, 'household.json');
  const chosen = ['language', '__proto__', 'uplink.constructor', 'later.thing', 'v'];
  await writeFile(
    file,
    JSON.stringify({ ...DEFAULT_HOUSEHOLD, language: 'en', later: { thing: 1 }, chosen }),
  );
  const household = await Household.open(folder, DEFAULT_HOUSEHOLD);
  assert.deepEqual(household.now, { ...DEFAULT_HOUSEHOLD, language: 'en' });
});
