import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '#agent/store/store-fixture.ts';
import { newId } from '#protocol/ids.ts';
import type { AssetReport, AssetState } from '#protocol/messages.ts';
import { encodeUp } from '#protocol/messages.ts';
import { indexPages } from './index-pages.ts';
import { Reporter } from './reporter.ts';

const report = (assetId: string, state: AssetState, bytesDone = 0): AssetReport => ({
  assetId,
  sha256: 'a'.repeat(64),
  state,
  bytesDone,
  reason: null,
});

test('reporter: of many changes the newest is told; progress does not crowd, the end is not held back', async (t) => {
  const sent: AssetReport[] = [];
  const reporter = new Reporter(
    (reports) => sent.push(...reports),
    () => undefined,
  );
  t.after(() => reporter.close());
  const assetId = newId('asset');
  reporter.add(report(assetId, 'queued'));
  for (let n = 1; n <= 500; n++) reporter.add(report(assetId, 'downloading', n));
  await until(() => sent.length > 0, 'the first report');
  for (let n = 501; n <= 600; n++) reporter.add(report(assetId, 'downloading', n));
  reporter.add(report(assetId, 'held', 600));
  await until(() => sent.some((entry) => entry.state === 'held'), 'the end is told');
  assert.deepEqual(
    sent.map((entry) => [entry.state, entry.bytesDone]),
    [
      ['downloading', 500],
      ['held', 600],
    ],
  );
});

test('reporter: messages keep to their limit, and too many changes become an index', async (t) => {
  const sizes: number[] = [];
  let indexes = 0;
  const reporter = new Reporter(
    (reports) => sizes.push(reports.length),
    () => indexes++,
  );
  t.after(() => reporter.close());
  for (let n = 0; n < 6000; n++) reporter.add(report(newId('asset'), 'held'));
  await until(() => indexes === 1, 'the index is sent');
  assert.ok(sizes.every((size) => size <= 200));
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    5000,
  );
});

test('index: every asset once, in pages that fit a message even with the longest reasons', () => {
  const reason = { code: 'é'.repeat(200), message: '€'.repeat(200) };
  const reports = Array.from({ length: 1001 }, () => ({ ...report(newId('asset'), 'failed'), reason }));
  const pages = [...indexPages(reports, reports.length, '2026-01-01T00:00:00.000Z')];
  assert.deepEqual(
    pages.flatMap((page) => page.assets),
    reports,
  );
  assert.equal(new Set(pages.map((page) => page.indexId)).size, 1);
  pages.forEach((page, n) => {
    assert.deepEqual([page.page, page.pages], [n, pages.length]);
    encodeUp('index', page);
  });
  assert.equal([...indexPages([], 0, '2026-01-01T00:00:00.000Z')].length, 1);
});
