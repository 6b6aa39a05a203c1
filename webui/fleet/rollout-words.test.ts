import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge } from '#fleet/rollouts/judge.ts';
import { ROLLOUT_EVENTS } from '#protocol/rollout.ts';
import { eventText, reasonText } from './rollout-words.ts';

test('why a rollout halted is put into words, whatever it was', () => {
  const counts = { pending: 0, ordered: 0, updated: 1, failed: 2, reverting: 0, reverted: 0, dropped: 0 };
  const verdict = judge({
    plan: { successPercent: 90, soakMs: 0 },
    ...{ waves: 2, wave: 0, waveMetAtMs: null, counts, orderable: 0, nowMs: 0 },
  });
  assert.equal(verdict.do, 'halt');
  assert.match('reason' in verdict ? reasonText(verdict.reason) : '', /failed: 2 of 3; allowed: 0/);
  assert.equal(reasonText('by ada'), 'by ada');
  assert.equal(
    reasonText('of a kind that this page does not know'),
    'of a kind that this page does not know',
  );
});

test('each event has words, with box, version, wave or person in them', () => {
  const event = { at: '', boxId: null, boxLabel: 'Mill', operator: 'ada', detail: '2' };
  for (const kind of ROLLOUT_EVENTS) {
    const { text } = eventText({ ...event, kind });
    assert.ok(text.length > 4 && !/[{}]/.test(text), `${kind}: ${text}`);
  }
  assert.match(eventText({ ...event, kind: 'wave_begun' }).text, /Wave 2/);
  assert.match(eventText({ ...event, kind: 'box_updated', detail: '1.4.0' }).text, /Mill.*1\.4\.0/);
  const failed = eventText({ ...event, kind: 'box_failed', detail: 'update_crashed: it ended: thrice' });
  assert.deepEqual(failed.reason, { code: 'update_crashed', message: 'it ended: thrice' });
  const lost = eventText({ ...event, kind: 'box_failed', detail: 'it went on trial' });
  assert.equal(lost.reason?.message, 'it went on trial');
});
