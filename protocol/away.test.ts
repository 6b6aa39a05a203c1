import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { isHearthError } from './errors.ts';
import { LIMITS } from './limits.ts';
import { encodeDown, parseDown, parseUp } from './messages.ts';

const session = () => ({
  id: randomUUID(),
  since: '2026-01-02T03:04:05.000Z',
  endsAt: '2026-01-02T15:04:05.000Z',
  from: '203.0.113.0/24',
});
const text = (value: unknown) => Buffer.from(JSON.stringify(value));
const refused = (run: () => unknown) =>
  assert.throws(run, (error) => isHearthError(error, 'message_malformed'));

test('who is in from away: so many at most, and what a newer fleet adds is left out', () => {
  const sessions = Array.from({ length: LIMITS.awaySessions }, session);
  const told = encodeDown('away-sessions', { v: 1, sessions });
  assert.deepEqual(parseDown('away-sessions', told), { v: 1, sessions });
  const newer = { v: 1, sessions: [{ ...sessions[0], secret: 'x' }], more: 1 };
  assert.deepEqual(parseDown('away-sessions', text(newer)), { v: 1, sessions: [sessions[0]] });
  refused(() => parseDown('away-sessions', text({ v: 1, sessions: [...sessions, session()] })));
  refused(() =>
    parseDown('away-sessions', text({ v: 1, sessions: [{ ...session(), from: 'x'.repeat(65) }] })),
  );
});

test('a household ends sessions by their ids: one at least, so many at most', () => {
  const at = '2026-01-02T03:04:05.000Z';
  const ids = Array.from({ length: LIMITS.awaySessions }, () => randomUUID());
  assert.deepEqual(parseUp('away-end', text({ v: 1, at, sessions: ids })).sessions, ids);
  for (const sessions of [[], [...ids, randomUUID()], ["' OR 1=1"], 'all']) {
    refused(() => parseUp('away-end', text({ v: 1, at, sessions })));
  }
});
