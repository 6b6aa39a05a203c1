import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ActivityLog } from './activity.ts';

test('activity is newest first, numbered, and bounded', () => {
  const log = new ActivityLog(() => '2026-01-01T00:00:00.000Z');
  for (let n = 0; n < 500; n++) log.add('asset_held', { path: `/${n}` });
  const items = log.list();
  assert.equal(items.length, 200);
  assert.deepEqual(items[0], {
    seq: 500,
    at: '2026-01-01T00:00:00.000Z',
    kind: 'asset_held',
    detail: { path: '/499' },
  });
  assert.equal(items.at(-1)?.seq, 301);
});
