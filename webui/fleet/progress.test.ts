import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Assignment, Placement } from '#protocol/http-fleet.ts';
import { convergedAfterMs, groupBy, progressOf, pushesOf, stateOf } from './progress.ts';

const AT = '2026-11-21T10:00:00.000Z';

function copy(change: Partial<Placement>): Placement {
  return {
    assignmentId: 'asg-1',
    assetId: 'asset-1',
    boxId: 'box-1',
    boxLabel: 'One',
    path: '/a',
    siteHostname: 'a.example',
    sizeBytes: 100,
    desired: 'held',
    reported: 'held',
    bytesDone: 0,
    reason: null,
    expiresAt: null,
    updatedAt: AT,
    ...change,
  };
}

function assignment(change: Partial<Assignment>): Assignment {
  return {
    id: 'asg-1',
    assetId: 'asset-1',
    path: '/a',
    siteHostname: 'a.example',
    createdAt: AT,
    expiresAt: null,
    endedAt: null,
    converged: false,
    placements: [copy({})],
    ...change,
  };
}

test('what is held counts whole, what is on its way by its bytes, what leaves not at all', () => {
  const progress = progressOf([
    copy({}),
    copy({ reported: 'downloading', bytesDone: 40 }),
    copy({ reported: null }),
    copy({ reported: 'failed', bytesDone: 900 }),
    copy({ desired: 'absent' }),
  ]);
  assert.deepEqual(progress, {
    wanted: 4,
    held: 1,
    failed: 1,
    leaving: 1,
    bytesDone: 240,
    bytesTotal: 400,
  });
});

test('assignments made together are one push', () => {
  const pushes = pushesOf([
    assignment({ id: 'asg-3', createdAt: '2026-11-21T11:00:00.000Z' }),
    assignment({ id: 'asg-2' }),
    assignment({ id: 'asg-1' }),
  ]);
  assert.deepEqual(
    pushes.map((push) => push.assignments.map((each) => each.id)),
    [['asg-3'], ['asg-2', 'asg-1']],
  );
});

test('a push is running until the last copy is held, in trouble when one failed, over when all ended', () => {
  const state = (placements: Placement[], endedAt: string | null = null) => {
    const [push] = pushesOf([assignment({ placements, endedAt })]);
    assert.ok(push);
    return stateOf(push);
  };
  assert.equal(state([copy({}), copy({ reported: 'queued' })]), 'running');
  assert.equal(state([copy({}), copy({})]), 'converged');
  assert.equal(state([copy({}), copy({ reported: 'failed' })]), 'trouble');
  assert.equal(state([], AT), 'ended');
});

test('the time to converge is that of the last copy, and never negative', () => {
  const after = (updatedAt: string) => {
    const [push] = pushesOf([assignment({ placements: [copy({}), copy({ updatedAt })] })]);
    assert.ok(push);
    return convergedAfterMs(push);
  };
  assert.equal(after('2026-11-21T10:00:12.000Z'), 12_000);
  assert.equal(after('2026-11-21T10:00:00.200Z'), 1000);
  assert.equal(after('2026-11-21T09:00:00.000Z'), 0);
});

test('grouping keeps the order', () => {
  const groups = groupBy(
    [copy({ boxId: 'box-2' }), copy({}), copy({ boxId: 'box-2' })],
    (each) => each.boxId,
  );
  assert.deepEqual(
    groups.map(([id, those]) => [id, those.length]),
    [
      ['box-2', 2],
      ['box-1', 1],
    ],
  );
});
