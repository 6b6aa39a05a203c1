import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { ORIGIN_DEFAULTS, OriginClient } from './origin.ts';

const SIZE = 200_000;
const LENGTH = 100_000;
const MOST = 3;
/** Long beside what this process may be kept from its own server. */
const CLOSING_MS = 500;

/** An origin that counts its connections from their first moment to their last. */
async function countingOrigin(t: TestContext, handler: (request: IncomingMessage, answer: Answer) => void) {
  const count = { open: 0, most: 0, ever: 0 };
  const server = http.createServer((request, response) => {
    const [, first, last] = /(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
    const begin = (headers: Record<string, string> = {}) => {
      response.writeHead(206, {
        'content-range': `bytes ${first}-${last}/${SIZE}`,
        'content-length': Number(last) - Number(first) + 1,
        ...headers,
      });
      response.write(Buffer.alloc(1000));
    };
    const rest = () => void response.end(Buffer.alloc(Number(last) - Number(first) + 1 - 1000));
    handler(request, { response, begin, rest });
  });
  server.on('connection', (socket) => {
    count.most = Math.max(count.most, ++count.open);
    count.ever++;
    socket.on('error', () => undefined);
    socket.on('close', () => count.open--);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = new OriginClient({ ...ORIGIN_DEFAULTS, connectionsPerHost: MOST, closingMs: CLOSING_MS });
  t.after(async () => {
    client.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/a`;
  /** Whether the slice came whole. */
  const fetchSlice = async (signal = new AbortController().signal): Promise<boolean> => {
    try {
      const answer = await client.ask(url, { start: 0, length: LENGTH, sizeBytes: SIZE }, signal);
      let bytes = 0;
      for await (const piece of answer.body) bytes += piece.length;
      return bytes === LENGTH;
    } catch {
      return false;
    }
  };
  return { count, fetchSlice };
}

interface Answer {
  response: ServerResponse;
  begin: (headers?: Record<string, string>) => void;
  rest: () => void;
}

test('connections: an origin that breaks off never counts one more while another takes its place', async (t) => {
  let asked = 0;
  const { count, fetchSlice } = await countingOrigin(t, (_request, { response, begin, rest }) => {
    begin();
    const n = ++asked;
    // The first three of twelve are cut off: half closed, closed, and closed with a word.
    setImmediate(() => {
      if (n === 1) response.socket?.end();
      else if (n === 2) response.socket?.destroy();
      else if (n === 3) response.socket?.resetAndDestroy();
      else rest();
    });
  });
  const ended = await Promise.all(Array.from({ length: 12 }, () => fetchSlice()));
  assert.equal(ended.filter((whole) => whole).length, 9);
  assert.equal(count.most, MOST);
  assert.ok(count.ever > MOST, 'some were replaced');
});

test('connections: requests given up in the middle free their place only when the origin has heard of it', async (t) => {
  const stop = new AbortController();
  let begun = 0;
  const { count, fetchSlice } = await countingOrigin(t, (_request, { begin, rest }) => {
    begin();
    // These hang until they are given up; all later ones are answered.
    if (++begun > MOST) rest();
    else if (begun === MOST) stop.abort();
  });
  const hanging = Array.from({ length: MOST }, () => fetchSlice(stop.signal));
  const waiting = Array.from({ length: 9 }, () => fetchSlice());
  assert.deepEqual(await Promise.all(hanging), Array(MOST).fill(false));
  assert.deepEqual(await Promise.all(waiting), Array(9).fill(true));
  assert.equal(count.most, MOST);
  assert.equal(count.ever, 2 * MOST);
});

test('connections: who gives up waiting takes no place; one that is refused a place gets it later', async (t) => {
  const answers: (() => void)[] = [];
  const { count, fetchSlice } = await countingOrigin(t, (_request, { begin, rest }) => {
    begin();
    answers.push(rest);
  });
  const first = Array.from({ length: MOST }, () => fetchSlice());
  const stop = new AbortController();
  const leaver = fetchSlice(stop.signal);
  const last = fetchSlice();
  while (answers.length < MOST) await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  assert.equal(await leaver, false);
  for (const answer of answers.splice(0)) answer();
  assert.deepEqual(await Promise.all(first), Array(MOST).fill(true));
  while (answers.length < 1) await new Promise((resolve) => setImmediate(resolve));
  for (const answer of answers) answer();
  assert.equal(await last, true);
  assert.equal(count.ever, MOST, 'connections are kept for the next');
});

test('connections: a redirect keeps its connection, unless its body is long', async (t) => {
  for (const bytes of [200, 1_000_000]) {
    const { count, fetchSlice } = await countingOrigin(t, (request, { response, begin, rest }) => {
      if (request.url === '/b') {
        begin();
        rest();
        return;
      }
      response.writeHead(302, { location: '/b', 'content-length': bytes });
      response.write(Buffer.alloc(200));
      if (bytes === 200) response.end();
    });
    const ended = await Promise.all(Array.from({ length: 4 }, () => fetchSlice()));
    assert.deepEqual(ended, Array(4).fill(true));
    assert.equal(count.most, MOST);
    if (bytes === 200) assert.equal(count.ever, MOST);
    else assert.ok(count.ever > MOST);
  }
});
