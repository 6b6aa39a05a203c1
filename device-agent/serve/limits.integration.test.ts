import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MIB, until } from '#agent/store/store-fixture.ts';
import { Clock } from '#agent/time/clock.ts';
import { Shaper } from '#shaping/shaper.ts';
import { ask, mint, pipeline, readAll, serve, sum, target } from './serve-fixture.ts';

const small = randomBytes(5_000);
const client = { connections: 0, requestsPerSecond: 0, loopback: true };

test('limits: one client’s requests above its share are 429 with Retry-After, and taken again later', async (t) => {
  let nowMs = 0;
  const clock = new Clock(Date.now, () => nowMs);
  const limits = { client: { ...client, requestsPerSecond: 5 } };
  const { port, put } = await serve(t, limits, clock);
  await put(small, '/a');
  const url = target(mint('/'), '/a');
  for (let n = 0; n < 50; n++) assert.equal((await ask(port, url)).status, 200);
  const refused = await ask(port, url);
  assert.deepEqual([refused.status, refused.headers['retry-after']], [429, '1']);
  assert.equal(refused.headers['cache-control'], 'no-store');
  assert.equal(refused.headers['access-control-allow-origin'], '*');
  // Whatever it asks for, and by whatever connection.
  assert.equal((await ask(port, '/nothing')).status, 429);
  nowMs += 1000;
  assert.equal((await ask(port, url)).status, 200);
});

test('limits: one client’s connections above its share are 429 and closed; others of it go on', async (t) => {
  const limits = { client: { ...client, connections: 2 } };
  const { port, put, content } = await serve(t, limits);
  await put(small, '/a');
  const url = target(mint('/'), '/a');
  const agent = new http.Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const idle = net.connect(port, '127.0.0.1');
  assert.equal((await ask(port, url, { agent })).status, 200);
  await until(() => content.connections === 2, 'two are open');
  const third = await ask(port, url);
  assert.deepEqual([third.status, third.headers.connection], [429, 'close']);
  assert.match(String(third.headers['retry-after']), /^\d+$/);
  assert.equal((await ask(port, url, { agent })).status, 200);
  idle.destroy();
  await until(() => content.connections === 1, 'one has gone');
  assert.equal((await ask(port, url)).status, 200);
});

test('limits: a box that is full sends new clients back to the router; only then it closes without a word', async (t) => {
  const { port, put, content } = await serve(t, { maxConnections: 2 });
  await put(small, '/a');
  const url = target(mint('/'), '/a');
  const connect = () => net.connect(port, '127.0.0.1').on('error', () => undefined);
  const held = [connect(), connect()];
  await until(() => content.connections === 2, 'it is full');
  const away = await ask(port, url);
  assert.deepEqual([away.status, away.headers.connection], [302, 'close']);
  assert.match(String(away.headers.location), /^http:\/\/router\.test:7081\/_site\//);
  held.push(connect(), connect(), connect(), connect());
  await until(() => content.connections === 6, 'even the places for a word are taken');
  await assert.rejects(ask(port, url), { code: 'ECONNRESET' });
  for (const socket of held) socket.destroy();
  await until(() => content.connections === 0, 'they have gone');
  assert.equal((await ask(port, url)).status, 200);
});

test('limits: while the line is paused everything goes back to the router', async (t) => {
  let accepting = false;
  const { port, put } = await serve(t, {}, new Clock(), { accepting: () => accepting });
  await put(small, '/a');
  const url = target(mint('/'), '/a');
  const agent = new http.Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  assert.equal((await ask(port, url, { agent })).status, 302);
  accepting = true;
  assert.equal((await ask(port, url, { agent })).status, 200);
});

test('limits: bodies go as fast as the line’s cap, and a line that closes cuts them', async (t) => {
  const up = new Shaper();
  t.after(() => up.close());
  const { port, put, delivered, meter } = await serve(t, {}, new Clock(), { up });
  const large = randomBytes(MIB);
  await put(large, '/large');
  await put(small, '/small');
  const url = target(mint('/'), '/large');
  // From memory, from a file, and in parts: whatever is sent has been asked for.
  const answers = [await ask(port, target(mint('/'), '/small')), await ask(port, url)];
  answers.push(await ask(port, url, { headers: { range: 'bytes=0-99999,200000-299999' } }));
  const bodies = answers.reduce((total, { body }) => total + body.length, 0);
  assert.ok(up.takenBytes >= bodies && up.takenBytes < bodies + 5_000, `${up.takenBytes} for ${bodies}`);
  up.setRate(64 * 1024);
  const before = up.takenBytes;
  const request = http.get({ host: '127.0.0.1', port, path: url, agent: false });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  response.on('error', () => undefined);
  response.resume();
  await sleep(500);
  // 0.25 s of burst and 0.5 s at the rate, and much room for a busy machine's timers.
  assert.ok(up.takenBytes - before < 512 * 1024, `${up.takenBytes - before} at once`);
  assert.equal(meter.responses, 1);
  up.setOpen(false);
  await until(() => meter.responses === 0, 'it was cut');
  await until(() => sum(delivered).requests === 4, 'and counted');
  assert.ok(sum(delivered).bytes < bodies + 512 * 1024);
});

test('limits: who leaves while the line is waited for gives up its place', async (t) => {
  const up = new Shaper();
  t.after(() => up.close());
  const { port, put, meter } = await serve(t, {}, new Clock(), { up });
  await put(randomBytes(MIB), '/large');
  up.setRate(1_000);
  const request = http.get({ host: '127.0.0.1', port, path: target(mint('/'), '/large'), agent: false });
  request.on('error', () => undefined);
  await until(() => up.waiters === 1, 'it waits');
  request.destroy();
  await until(() => up.waiters === 0 && meter.responses === 0, 'it has left');
});

test('limits: a client that takes its bytes a few at a time is cut', async (t) => {
  const { port, put, meter } = await serve(t, { pieceMs: 600, stalledMs: 60_000 });
  await put(randomBytes(24 * MIB), '/huge');
  const socket = net.connect({ port, host: '127.0.0.1' });
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.pause();
  socket.write(`GET ${target(mint('/'), '/huge')} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await until(() => meter.responses === 1, 'it began');
  const sipping = setInterval(() => socket.read(1), 20);
  t.after(() => clearInterval(sipping));
  await until(() => meter.responses === 0, 'it was cut');
  // With what the kernel had for it: else that would go on for hours at its pace, and take megabytes meanwhile.
  socket.resume();
  await closed;
  assert.ok(socket.bytesRead < meter.bytesTotal, `${socket.bytesRead} of ${meter.bytesTotal} came`);
});

test('limits: heads that are too long or have too many lines are refused, and the next client is served', async (t) => {
  const { port, put } = await serve(t);
  await put(small, '/a');
  const url = target(mint('/'), '/a');
  const head = (lines: string) => `GET ${url} HTTP/1.1\r\nHost: x\r\n${lines}\r\n`;
  for (const lines of [`X: ${'y'.repeat(20_000)}\r\n`, 'x:y\r\n'.repeat(3_000), 'x-n: y\r\n'.repeat(150)]) {
    const answer = await readAll(pipeline(port, head(lines)));
    assert.match(answer, /^HTTP\/1\.1 431 /);
  }
  assert.equal((await ask(port, url)).status, 200);
});
