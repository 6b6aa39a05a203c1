import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { silent, tempFolder, until } from '#agent/store/store-fixture.ts';
import { newId } from '#protocol/ids.ts';
import type { Deliveries, Delivery } from '#protocol/messages.ts';
import { parseUp } from '#protocol/messages.ts';
import { Account } from './account.ts';
import { makeBatches } from './batch.ts';
import { readSegment, segmentText } from './tally.ts';

const delivery = (n: number, bytes = 100): Delivery => ({
  token: `token-${n}`.padEnd(76, 'x'),
  siteId: 'site-0123456789abcdef',
  prefix: '/',
  assetId: 'asset-0123456789abcdef',
  bytes,
  requests: 1,
});

async function open(
  t: TestContext,
  folder: string | null,
  more: { maxBatches?: number; flushMs?: number } = {},
) {
  const troubles: unknown[] = [];
  const account = new Account({
    flushMs: more.flushMs ?? 3_600_000,
    maxBatches: more.maxBatches ?? 100,
    stamp: () => '2026-01-01T00:00:00.000Z',
    log: silent,
    onReady: () => undefined,
    onTrouble: (error) => troubles.push(error),
  });
  await account.useFolder(folder);
  t.after(() => account.close());
  return { account, troubles };
}

async function batchesOf(account: Account): Promise<Deliveries[]> {
  const batches: Deliveries[] = [];
  for (const batchId of account.sendable(1000)) {
    const payload = await account.payloadOf(batchId);
    if (payload !== null) batches.push(parseUp('deliveries', Buffer.from(payload)));
  }
  return batches;
}

const bytesOf = (batches: Deliveries[]) =>
  batches.flatMap((batch) => batch.lines).reduce((sum, line) => sum + line.bytes, 0);

test('account: counts become a batch, sent as it was written, until it is settled', async (t) => {
  const folder = await tempFolder(t, 'account');
  const { account } = await open(t, folder);
  for (let n = 0; n < 10; n++) account.record(delivery(n % 2));
  assert.equal(account.unsettledBytes, 1000, 'also while it is in no batch');
  await account.roll();
  const [batch, ...others] = await batchesOf(account);
  assert.ok(batch && others.length === 0);
  assert.equal(batch.lines.length, 2);
  assert.deepEqual(
    batch.lines.map((line) => [line.bytes, line.requests]),
    [
      [500, 5],
      [500, 5],
    ],
  );
  const payload = await account.payloadOf(batch.batchId);
  // A kill and a restart change no byte of it.
  const again = (await open(t, folder)).account;
  assert.equal(await again.payloadOf(batch.batchId), payload);
  again.record(delivery(5));
  assert.equal(again.unsettledBytes, 1100);
  assert.equal(await again.settled(batch.batchId), true);
  assert.equal(await again.settled(batch.batchId), false);
  assert.equal(again.unsettled, 0);
  assert.equal(again.unsettledBytes, 100);
});

test('account: what was appended survives a kill, a torn line does not count', async (t) => {
  const folder = await tempFolder(t, 'account');
  const { account } = await open(t, folder);
  account.record(delivery(1));
  await until(async () => (await readdir(folder)).length === 1, 'it is appended');
  const [segment = ''] = await readdir(folder);
  await until(async () => (await readFile(path.join(folder, segment), 'utf8')).endsWith('\n'), 'whole');
  await writeFile(path.join(folder, segment), segmentText([delivery(2)]).slice(0, -20), { flag: 'a' });
  const again = (await open(t, folder)).account;
  const batches = await batchesOf(again);
  assert.equal(bytesOf(batches), 100);
  assert.equal(batches[0]?.lines[0]?.token, delivery(1).token);
});

test('account: killed between writing batches and removing their segment, nothing counts twice', async (t) => {
  const folder = await tempFolder(t, 'account');
  const [batch] = makeBatches([delivery(1)], '2026-01-01T00:00:00.000Z');
  await writeFile(path.join(folder, 'segment-000000000007.log'), segmentText([delivery(1)]));
  await writeFile(path.join(folder, 'batches-000000000007.json'), JSON.stringify({ v: 1, batches: [batch] }));
  const { account } = await open(t, folder);
  assert.deepEqual(account.sendable(10), [batch?.batchId]);
  assert.equal(bytesOf(await batchesOf(account)), 100);
  assert.deepEqual(await readdir(folder), ['batches-000000000007.json']);
});

test('account: while the disk is away counts wait in memory, and old ones on the disk are kept', async (t) => {
  const folder = await tempFolder(t, 'account');
  const [old] = makeBatches([delivery(9, 7)], '2026-01-01T00:00:00.000Z');
  await writeFile(path.join(folder, 'batches-000000000001.json'), JSON.stringify({ v: 1, batches: [old] }));
  const { account } = await open(t, null);
  account.record(delivery(1));
  await account.roll();
  assert.equal(bytesOf(await batchesOf(account)), 100, 'sent from memory');
  account.record(delivery(2));
  await account.useFolder(folder);
  const batches = await batchesOf(account);
  assert.equal(bytesOf(batches), 207);
  assert.equal(new Set(batches.map((batch) => batch.batchId)).size, 3);
  // All of it is on the disk now.
  assert.equal(bytesOf(await batchesOf((await open(t, folder)).account)), 207);
});

test('account: a segment the disk took in part is not sent under an id it could lose', async (t) => {
  const parent = await tempFolder(t, 'account');
  const folder = path.join(parent, 'deliveries');
  await mkdir(folder);
  const { account, troubles } = await open(t, folder);
  account.record(delivery(1));
  await until(async () => (await readdir(folder)).length === 1, 'it is appended');
  await rm(folder, { recursive: true });
  account.record(delivery(1));
  await account.roll();
  assert.ok(troubles.length > 0);
  assert.deepEqual(account.sendable(10), []);
  assert.equal(account.unsettled, 1);
  await mkdir(folder);
  await account.useFolder(folder);
  assert.equal(bytesOf(await batchesOf(account)), 200);
});

test('account: batches are bounded; what comes on top is gathered, not lost', async (t) => {
  const folder = await tempFolder(t, 'account');
  const { account } = await open(t, folder, { maxBatches: 2 });
  for (let n = 0; n < 5; n++) {
    account.record(delivery(n));
    await account.roll();
  }
  assert.equal(account.unsettled, 2);
  for (const batchId of account.sendable(10)) await account.settled(batchId);
  await account.roll();
  assert.equal(bytesOf(await batchesOf(account)), 300);
});

test('account: what is no file of ours, or cannot be read, keeps nothing else from being paid', async (t) => {
  const folder = await tempFolder(t, 'account');
  const name = (kind: string, n: number) =>
    path.join(folder, `${kind}-${String(n).padStart(12, '0')}.${kind === 'segment' ? 'log' : 'json'}`);
  await mkdir(name('segment', 1));
  await mkdir(name('batches', 2));
  await writeFile(name('segment', 3), segmentText([delivery(3, 30)]));
  // Killed in between, and the batches were damaged since: they were never sent, and the counts are still there.
  await writeFile(name('segment', 4), segmentText([delivery(4, 4)]));
  await writeFile(name('batches', 4), '{"v":1,"batch');
  const { account } = await open(t, folder);
  assert.equal(bytesOf(await batchesOf(account)), 34);
  account.record(delivery(5, 500));
  await account.roll();
  assert.equal(bytesOf(await batchesOf(account)), 534);
});

test('account: while nothing is settled the open segment does not grow without end', async (t) => {
  const folder = await tempFolder(t, 'account');
  const { account } = await open(t, folder, { maxBatches: 0 });
  const total = 1500;
  let longest = 0;
  let shortened = false;
  const segment = async () => {
    const [first] = await readdir(folder);
    return first === undefined ? null : path.join(folder, first);
  };
  for (let round = 0; round < 60 && !shortened; round++) {
    for (let n = 0; n < total; n++) account.record({ ...delivery(n, 1), prefix: `/${'x'.repeat(200)}/` });
    await new Promise((resolve) => setTimeout(resolve, 210));
    const file = await segment();
    const size = file === null ? 0 : (await stat(file).catch(() => ({ size: longest }))).size;
    shortened = size < longest;
    longest = Math.max(longest, size);
  }
  assert.ok(shortened, `${longest} bytes and growing`);
  account.record(delivery(0, 7));
  await new Promise((resolve) => setTimeout(resolve, 500));
  // As after a kill: the sums are those of every record.
  const file = await segment();
  const tally = readSegment(await readFile(file ?? '', 'utf8'));
  const sums = new Set(tally.lines().map((line) => line.requests));
  assert.equal(tally.size, total);
  assert.ok(sums.size <= 2, 'each was counted as often as the others');
});

test('account: counting goes on while batches are cut, and the sum is exact', async (t) => {
  const folder = await tempFolder(t, 'account');
  const { account } = await open(t, folder, { flushMs: 5, maxBatches: 10_000 });
  let recorded = 0;
  const end = performance.now() + 500;
  while (performance.now() < end) {
    account.record(delivery(recorded % 7, 1));
    recorded++;
    if (recorded % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await account.roll();
  assert.equal(bytesOf(await batchesOf(account)), recorded);
});

test('batches keep to the limits of the protocol', () => {
  const lines = Array.from({ length: 1000 }, (_, n) => ({ ...delivery(n), prefix: `/${'é'.repeat(500)}/` }));
  const batches = makeBatches(lines, '2026-01-01T00:00:00.000Z');
  assert.equal(
    batches.flatMap((batch) => parseUp('deliveries', Buffer.from(batch.payload)).lines).length,
    lines.length,
  );
  assert.equal(new Set(batches.map((batch) => batch.batchId)).size, batches.length);
  assert.match(newId('dlv'), /^dlv-/);
});

test('a segment full of rubbish counts for nothing', () => {
  assert.equal(readSegment('rubbish\n{"bytes":5}\n\n[]\nnull\n').size, 0);
});
