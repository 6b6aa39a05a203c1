import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { hold, manifestFor, openStore } from '#agent/store/store-fixture.ts';
import { Clock } from '#agent/time/clock.ts';
import { Client } from './clients.ts';
import { Decider } from './decide.ts';
import { DECIDING_HEADERS } from './deciding-headers.ts';
import { boxId, key, mint, target } from './serve-fixture.ts';
import { TokenGate } from './token-gate.ts';

test('what a request is answered depends on these headers, and on no others', async (t) => {
  const { store } = await openStore(t);
  const bytes = Buffer.from(randomBytes(2_000).toString('hex'));
  const plain = manifestFor(bytes, 'http://127.0.0.1/', { path: '/a.css' });
  await hold(store, bytes, { ...plain, headers: { ...plain.headers, contentType: 'text/css' } });
  const tokens = new TokenGate();
  tokens.configure(boxId, key);
  const decider = new Decider({
    store,
    tokens,
    clock: new Clock(),
    boxId: () => boxId,
    routerUrl: () => 'http://router.test/',
    variants: { find: () => null, want: () => undefined },
    ageSeconds: () => 0,
    open: () => true,
    accepting: () => true,
  });
  const visitor = {
    client: new Client('1.2.3.4', 0, 0),
    standing: 'served' as const,
    reset: () => undefined,
  };
  const url = target(mint('/'), '/a.css');
  const seen = new Set<string>();
  const etag = `"${plain.sha256}"`;
  const day = 'Mon, 01 Jan 2024 00:00:00 GMT';
  const asked: Record<string, string>[] = [
    {},
    { 'accept-encoding': 'br', range: 'bytes=0-9' },
    { range: 'bytes=0-9', 'if-range': etag },
    { 'if-none-match': '"x"', 'if-match': etag },
    { 'if-modified-since': day },
    { 'if-unmodified-since': day },
    { 'content-length': '3' },
    { 'transfer-encoding': 'chunked' },
  ];
  for (const headers of asked) {
    const watched = new Proxy<Record<string, string>>(headers, {
      get: (all, name) => {
        seen.add(String(name));
        return all[String(name)];
      },
    });
    for (const method of ['GET', 'HEAD', 'OPTIONS'])
      assert.ok(decider.decide({ method, target: url, headers: watched, visitor }).status > 0);
  }
  assert.deepEqual([...seen].sort(), [...DECIDING_HEADERS], 'a worker tells the main process these alone');
});
