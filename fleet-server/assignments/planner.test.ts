import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ASSET_STATES } from '#protocol/messages.ts';
import { DONE_RETRY_MS, type PlacementView, plan, REFUSED_RETRY_MS } from './planner.ts';

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);
const base: PlacementView = {
  assetId: 'asset-1',
  desired: 'held',
  sha256: A,
  expiresAtMs: null,
  reported: null,
  reportedSha256: null,
  openCommand: null,
  refusedAtMs: null,
  done: null,
};

test('what is wanted and not reported is sent, once', () => {
  assert.deepEqual(plan([base], 0), [
    {
      do: 'send',
      assetId: 'asset-1',
      command: { type: 'cache', assetId: 'asset-1', sha256: A, expiresAt: null },
    },
  ]);
  assert.deepEqual(plan([{ ...base, openCommand: { type: 'cache', sha256: A, expiresAt: null } }], 0), []);
  assert.deepEqual(plan([{ ...base, reported: 'downloading', reportedSha256: A }], 0), []);
});

test('a box that holds an older reading is sent the new one', () => {
  const [step] = plan([{ ...base, reported: 'held', reportedSha256: B }], 0);
  assert.equal(step?.do === 'send' && step.command.sha256, A);
});

test('an asset that came back after its delete was sent is sent again', () => {
  const view = {
    ...base,
    reported: 'held' as const,
    reportedSha256: A,
    openCommand: { type: 'delete', sha256: A, expiresAt: null },
  };
  const [step] = plan([view], 0);
  assert.equal(step?.do === 'send' && step.command.type, 'cache');
});

test('what is not wanted is deleted, then forgotten', () => {
  const held = { ...base, desired: 'absent' as const, reported: 'held' as const, reportedSha256: B };
  assert.deepEqual(plan([held], 0), [
    { do: 'send', assetId: 'asset-1', command: { type: 'delete', sha256: B, assetIds: ['asset-1'] } },
  ]);
  assert.deepEqual(plan([{ ...held, reported: 'deleted' }], 0), [{ do: 'forget', assetId: 'asset-1' }]);
});

test('a TTL that has run out expires the placement', () => {
  assert.deepEqual(plan([{ ...base, expiresAtMs: 5 }], 5), [{ do: 'expire', assetId: 'asset-1' }]);
  assert.equal(plan([{ ...base, expiresAtMs: 5 }], 4)[0]?.do, 'send');
});

test('a box that refused is left alone for a while', () => {
  assert.deepEqual(plan([{ ...base, refusedAtMs: 0 }], REFUSED_RETRY_MS - 1), []);
  assert.equal(plan([{ ...base, refusedAtMs: 0 }], REFUSED_RETRY_MS).length, 1);
});

test('what a box refused to fetch is asked for again, although it is reported failed', () => {
  const view = { ...base, reported: 'failed' as const, reportedSha256: A, refusedAtMs: 0 };
  assert.deepEqual(plan([view], REFUSED_RETRY_MS - 1), []);
  assert.equal(plan([view], REFUSED_RETRY_MS)[0]?.do, 'send');
  // Failed after it was accepted: the box tries by itself.
  assert.deepEqual(plan([{ ...view, refusedAtMs: null }], REFUSED_RETRY_MS), []);
});

test('a box that drops what it accepted is not asked as fast as it answers', () => {
  const done = { type: 'cache', sha256: A, atMs: 0 };
  const view = { ...base, reported: 'expired' as const, reportedSha256: A, done };
  assert.deepEqual(plan([view], DONE_RETRY_MS - 1), []);
  assert.equal(plan([view], DONE_RETRY_MS).length, 1);
  assert.equal(plan([{ ...view, sha256: B }], 1).length, 1, 'other bytes do not wait');
  const absent = { ...view, desired: 'absent' as const, reported: 'held' as const };
  assert.equal(plan([absent], 1).length, 1, 'nor does another command');
  assert.deepEqual(plan([{ ...absent, done: { ...done, type: 'delete' } }], 1), []);
});

test('a placement is not forgotten while the box may be told to fetch it', () => {
  const openCommand = { type: 'cache', sha256: B, expiresAt: null };
  const view = { ...base, desired: 'absent' as const, reported: 'expired' as const, reportedSha256: A };
  assert.deepEqual(plan([{ ...view, openCommand }], 0), [
    { do: 'send', assetId: 'asset-1', command: { type: 'delete', sha256: B, assetIds: ['asset-1'] } },
  ]);
});

test('whatever the state, carrying out the plan with a willing box converges', () => {
  const views = fc.record({
    assetId: fc.constant('asset-1'),
    desired: fc.constantFrom('held' as const, 'absent' as const),
    sha256: fc.constantFrom(A, B),
    expiresAtMs: fc.constantFrom(null, 1_000_000),
    reported: fc.constantFrom(null, ...ASSET_STATES),
    reportedSha256: fc.constantFrom(null, A, B),
    openCommand: fc.constant(null),
    refusedAtMs: fc.constant(null),
    done: fc.constant(null),
  });
  fc.assert(
    fc.property(views, (start) => {
      let view: PlacementView | null = start;
      for (let round = 0; round < 6 && view; round++) {
        const [step] = plan([view], 1);
        if (!step) break;
        if (step.do === 'forget') view = null;
        else if (step.do === 'send') {
          const held = step.command.type === 'cache';
          view = { ...view, reported: held ? 'held' : 'deleted', reportedSha256: step.command.sha256 };
        }
      }
      if (start.desired === 'absent') return assert.equal(view, null);
      assert.ok(view?.reportedSha256 === view?.sha256);
      assert.deepEqual(view && plan([view], 1), []);
    }),
  );
});
