import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { PeerFinder } from './peer-finder.ts';

const SHA256 = 'a'.repeat(64);
const signal = new AbortController().signal;

/** Something that answers like a box of this network would. */
async function neighbour(t: TestContext, answer: (nonce: string) => unknown): Promise<string> {
  const server = http.createServer((request, response) => {
    const nonce = new URL(request.url ?? '', 'http://box').searchParams.get('nonce') ?? '';
    response.end(JSON.stringify(answer(nonce)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/c/token/site/a.bin`;
}

function finder(answers: { boxId: string; url: string; lan: boolean }[] | null, patienceMs = 2_000) {
  const asked: string[][] = [];
  const made: PeerFinder = new PeerFinder({
    patienceMs,
    ask: (sha256s) => {
      asked.push(sha256s);
      if (answers) {
        setImmediate(() =>
          made.take({ v: 1, sha256: SHA256, expiresAt: new Date().toISOString(), sources: answers }),
        );
      }
      return true;
    },
  });
  return { made, asked };
}

test('a box next door is asked who it is: what lies at that address may be another household’s, or a printer', async (t) => {
  const right = await neighbour(t, (nonce) => ({ boxId: 'right', nonce }));
  const other = await neighbour(t, (nonce) => ({ boxId: 'other', nonce }));
  const replayed = await neighbour(t, () => ({ boxId: 'replayed', nonce: 'old' }));
  const printer = await neighbour(t, () => '<html>');
  const { made } = finder([
    { boxId: 'right', url: right, lan: true },
    { boxId: 'wrong', url: other, lan: true },
    { boxId: 'replayed', url: replayed, lan: true },
    { boxId: 'printer', url: printer, lan: true },
    { boxId: 'dead', url: 'http://127.0.0.1:1/c/t/s/a', lan: true },
    { boxId: 'outside', url: 'http://outside.example/c/t/s/a', lan: false },
  ]);
  const found = await made.find(SHA256, signal);
  assert.deepEqual(
    found.map((peer) => peer.boxId),
    ['right', 'outside'],
  );
});

test('without a link, or an answer in time, there is nobody; an old fleet is not asked for ever', async () => {
  const alone = new PeerFinder({ ask: () => false });
  assert.deepEqual(await alone.find(SHA256, signal), []);
  const { made, asked } = finder(null, 20);
  for (let n = 0; n < 5; n++) assert.deepEqual(await made.find(SHA256, signal), []);
  assert.equal(asked.length, 3);
  made.beginSession();
  await made.find(SHA256, signal);
  assert.equal(asked.length, 4);
});

test('a download that is stopped waits for no answer', async () => {
  const { made } = finder(null, 60_000);
  const stop = new AbortController();
  const finding = made.find(SHA256, stop.signal);
  stop.abort();
  assert.deepEqual(await finding, []);
});
