import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contentOf } from '#agent/status.ts';
import { manifestFor, openStore } from '#agent/store/store-fixture.ts';
import { Clock } from '#agent/time/clock.ts';
import { Commands } from './commands.ts';

test('commands: a TTL beyond every calendar is kept to the last date that can be written', async (t) => {
  const made = await openStore(t);
  const commands = new Commands({
    store: made.store,
    clock: new Clock(),
    certificate: async () => undefined,
    configure: async () => undefined,
    update: () => undefined,
    sendHardware: () => undefined,
    sendIndex: () => undefined,
    report: () => undefined,
    replan: () => undefined,
  });
  const asset = manifestFor(Buffer.from('x'), 'http://127.0.0.1/');
  await commands.execute({
    id: 'cmd-0123456789abcdef',
    boxId: 'box-0123456789abcdef',
    issuedAt: '2026-01-01T00:00:00.000Z',
    expiresAt: '2026-01-01T01:00:00.000Z',
    body: { type: 'cache', asset, ttlMs: Number.MAX_SAFE_INTEGER },
  });
  assert.equal(contentOf(made.store, { limit: 200 }).items[0]?.expiresAt, '9999-12-31T23:59:59.999Z');
  const again = await openStore(t, made);
  assert.equal(contentOf(again.store, { limit: 200 }).items.length, 1);
});
