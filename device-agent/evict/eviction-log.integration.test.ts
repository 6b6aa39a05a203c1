import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readFile, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { DiskLayout } from '#agent/store/layout.ts';
import { tempFolder } from '#agent/store/store-fixture.ts';
import { newId } from '#protocol/ids.ts';
import { EvictionLog } from './eviction-log.ts';

interface Gone {
  sha256: string;
  heat: number;
  assetIds: string[];
}
const gone = (name: string, heat: number): Gone => ({
  sha256: createHash('sha256').update(name).digest('hex'),
  heat,
  assetIds: [newId('asset')],
});

async function disk(t: TestContext): Promise<{ layout: DiskLayout; file: string }> {
  const layout = new DiskLayout(await tempFolder(t, 'evicted'));
  await mkdir(layout.home, { recursive: true });
  return { layout, file: path.join(layout.home, 'evicted.log') };
}
async function opened(layout: DiskLayout): Promise<EvictionLog> {
  const log = new EvictionLog(layout);
  await log.open();
  return log;
}
const idsOf = (log: EvictionLog) => log.untold.map((one) => one.assetId);

test('what was put out, and whether the fleet knows, is there after a stop without notice', async (t) => {
  const { layout } = await disk(t);
  const log = await opened(layout);
  const [agreed, alone, later] = [gone('agreed', 3.25), gone('alone', 7.5), gone('later', 1)];
  await log.note([agreed], true, 1000);
  await log.note([alone], false, 2000);
  const again = await opened(layout);
  assert.deepEqual(again.untold, [{ assetId: alone.assetIds[0], sha256: alone.sha256, atMs: 2000 }]);
  assert.deepEqual([again.heatOf(agreed.sha256), again.heatOf(alone.sha256)], [3.25, 7.5]);
  assert.equal(again.heatOf(later.sha256), 0);
  await again.note([later], false, 3000);
  await again.told(again.untold.slice(0, 1));
  assert.deepEqual(idsOf(again), later.assetIds);
  await again.told(again.untold);
  const last = await opened(layout);
  assert.deepEqual(idsOf(last), []);
  assert.equal(last.heatOf(later.sha256), 1);
});

test('cut off at any byte it says what was said whole, and takes what comes after', async (t) => {
  const { layout, file } = await disk(t);
  const log = await opened(layout);
  const all = ['a', 'b', 'c'].map((name) => gone(name, 5));
  for (const one of all) await log.note([one], false, 1000);
  const whole = await readFile(file);
  const ids = all.flatMap((one) => one.assetIds);
  for (let length = 0; length <= whole.length; length += 7) {
    await writeFile(file, whole);
    await truncate(file, length);
    const cut = await opened(layout);
    const known = idsOf(cut);
    assert.deepEqual(known, ids.slice(0, known.length));
    const next = gone('next', 2);
    await cut.note([next], false, 2000);
    assert.deepEqual(idsOf(await opened(layout)), [...known, ...next.assetIds]);
  }
});

test('however much is put out, the file and what is remembered stay bounded', async (t) => {
  const { layout, file } = await disk(t);
  const log = await opened(layout);
  let last: Gone[] = [];
  let largest = 0;
  for (let round = 0; round < 60; round++) {
    last = Array.from({ length: 1000 }, (_, n) => gone(`${round} ${n}`, 1 + round));
    await log.note(last, false, round);
    largest = Math.max(largest, (await stat(file)).size);
  }
  assert.ok(largest < 8 * 1024 * 1024, String(largest));
  assert.equal(log.untold.length, 5000);
  const again = await opened(layout);
  assert.deepEqual(again.untold, log.untold);
  assert.deepEqual(
    idsOf(again).slice(-1000),
    last.flatMap((one) => one.assetIds),
  );
  const remembered = last.filter((one) => again.heatOf(one.sha256) === 60).length;
  assert.ok(remembered > 900, String(remembered));
});

test('what the fleet wants kept is there after a stop, with the newest word, and is bounded', async (t) => {
  const { layout, file } = await disk(t);
  const log = await opened(layout);
  const [first, second] = [newId('asset'), newId('asset')];
  await log.veto([first, second], 1000);
  await log.veto([first], 2000.5);
  await log.veto([], 3000);
  assert.deepEqual(
    [...(await opened(layout)).vetoes],
    [
      [second, 1000],
      [first, 2000],
    ],
  );
  // Cut off in the middle of its line, a word says nothing.
  await truncate(file, (await stat(file)).size - 3);
  assert.deepEqual(
    [...(await opened(layout)).vetoes],
    [
      [first, 1000],
      [second, 1000],
    ],
  );
  let largest = 0;
  let last: string[] = [];
  for (let round = 0; round < 60; round++) {
    last = Array.from({ length: 1000 }, () => newId('asset'));
    await log.veto(last, 10_000 + round);
    largest = Math.max(largest, (await stat(file)).size);
  }
  assert.ok(largest < 8 * 1024 * 1024, String(largest));
  const again = await opened(layout);
  assert.equal(again.vetoes.size, 10_000);
  assert.deepEqual([...again.vetoes.keys()].slice(-1000), last);
});

test('something else under its name says nothing, and nothing is written through a link', async (t) => {
  const { layout, file } = await disk(t);
  const one = gone('one', 4);
  const elsewhere = path.join(await tempFolder(t, 'elsewhere'), 'file');
  await writeFile(elsewhere, 'e nonsense\n\u0000\n');
  await symlink(elsewhere, file);
  const log = await opened(layout);
  assert.deepEqual(idsOf(log), []);
  await assert.rejects(log.note([one], false, 1));
  assert.equal(await readFile(elsewhere, 'utf8'), 'e nonsense\n\u0000\n');
  // In memory it is remembered all the same.
  assert.deepEqual(idsOf(log), one.assetIds);
  assert.equal(log.heatOf(one.sha256), 4);
});
