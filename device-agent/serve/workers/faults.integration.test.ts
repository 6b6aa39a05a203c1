import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import http from 'node:http';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import tls from 'node:tls';
import { MIB, testSiteId, until } from '#agent/store/store-fixture.ts';
import { Clock } from '#agent/time/clock.ts';
import { Shaper } from '#shaping/shaper.ts';
import { ask, boxId, key, mint, serve, sum, target, useWorkers } from '../serve-fixture.ts';
import { Certificates } from '../tls/certificates.ts';
import { testCertificate } from '../tls/test-certificate.ts';
import { TokenGate } from '../token-gate.ts';
import type { Crew } from './crew.ts';
import { bundledWorkers } from './workers-fixture.ts';

useWorkers(await bundledWorkers());

const large = randomBytes(16 * MIB);

/** A download that can be held up; `from`: the client's own address. */
interface Download {
  response: http.IncomingMessage;
  bytes: () => number;
  body: () => Buffer;
  ended: Promise<'whole' | 'cut'>;
}

async function download(port: number, path: string, from = '127.0.0.1'): Promise<Download> {
  const request = http.get({ host: '127.0.0.1', port, path, agent: false, localAddress: from });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const pieces: Buffer[] = [];
  const bytes = () => pieces.reduce((total, piece) => total + piece.length, 0);
  const ended = new Promise<'whole' | 'cut'>((resolve) => {
    response.on('end', () => resolve('whole'));
    response.on('error', () => resolve('cut'));
  });
  response.on('data', (piece: Buffer) => pieces.push(piece));
  response.pause();
  return { response, bytes, body: () => Buffer.concat(pieces), ended };
}

function crewOf({ content }: { content: { crew: Crew | null } }): Crew {
  assert.ok(content.crew);
  return content.crew;
}

async function withTokens(t: TestContext, more: Parameters<typeof serve>[3] = {}) {
  const tokens = new TokenGate();
  tokens.configure(boxId, key);
  const served = await serve(t, {}, new Clock(), { tokens, ...more });
  const usedOf = (token: string) => tokens.open(token, testSiteId, '/large', Date.now());
  return { ...served, crew: crewOf(served), usedOf };
}

test('a worker that is killed takes its own connections with it and no others; another takes its place', async (t) => {
  const { port, put, crew, meter, content, delivered, usedOf } = await withTokens(t);
  await put(large, '/large');
  const tokens = [mint('/'), mint('/')];
  // Dealt out in turns: one connection for each worker.
  const downloads = [];
  for (const token of tokens) downloads.push(await download(port, target(token, '/large')));
  const before = crew.pids;
  assert.equal(before.length, 2);
  process.kill(Number(before[0]), 'SIGKILL');
  downloads[0]?.response.resume();
  assert.equal(await downloads[0]?.ended, 'cut');
  await until(() => content.connections === 1 && meter.responses === 1, 'its connection is gone');

  const [cut, whole] = tokens.map(usedOf);
  assert.ok(cut && whole);
  const came = downloads[0]?.bytes() ?? 0;
  assert.ok(cut.sentBytes >= came, `${cut.sentBytes} of ${came} bytes are taken from the token`);
  assert.equal(cut.takenBytes, cut.sentBytes, 'nothing else is');
  const claimed = sum(delivered.filter(({ token }) => token === tokens[0]));
  assert.ok(claimed.bytes <= cut.sentBytes, 'no more is claimed than was sent');

  downloads[1]?.response.resume();
  assert.equal(await downloads[1]?.ended, 'whole');
  assert.ok(downloads[1]?.body().equals(large));
  await until(() => meter.responses === 0, 'it has ended');
  assert.deepEqual([whole.sentBytes, whole.takenBytes], [large.length, large.length]);

  await crew.ready();
  const after = crew.pids;
  assert.equal(after.length, 2);
  assert.ok(!after.includes(Number(before[0])) && after.includes(Number(before[1])));
  for (let n = 0; n < 4; n++) {
    const got = await ask(port, target(mint('/'), '/large'));
    assert.ok(got.status === 200 && got.body.equals(large));
  }
});

test('with every worker dead the main process serves by itself until there are others', async (t) => {
  const { port, put, crew } = await withTokens(t);
  await put(large, '/large');
  const token = mint('/');
  for (const pid of crew.pids) process.kill(pid, 'SIGKILL');
  await until(() => crew.pids.length === 0, 'both are gone');
  const got = await ask(port, target(token, '/large'));
  assert.ok(got.status === 200 && got.body.equals(large));
  await crew.ready();
  assert.equal((await ask(port, target(token, '/large'))).status, 200);
});

test('a worker that hangs does not hold up the others', async (t) => {
  const { port, put, crew } = await withTokens(t);
  await put(large, '/large');
  const [hanging] = crew.pids;
  process.kill(Number(hanging), 'SIGSTOP');
  const wanted = Array.from({ length: 4 }, () => download(port, target(mint('/'), '/large')));
  const done = await Promise.race(wanted);
  done.response.resume();
  assert.equal(await done.ended, 'whole');
  process.kill(Number(hanging), 'SIGCONT');
  for (const other of await Promise.all(wanted)) {
    other.response.resume();
    assert.equal(await other.ended, 'whole');
  }
});

test('the cap holds over all workers, and clients have equal shares of it', async (t) => {
  const up = new Shaper();
  const rate = 4 * MIB;
  up.setRate(rate);
  const { port, put } = await withTokens(t, { up });
  await put(large, '/large');
  const beganAtMs = performance.now();
  // One with six connections, one with one.
  const greedy: Download[] = [];
  for (let n = 0; n < 6; n++) greedy.push(await download(port, target(mint('/'), '/large'), '127.0.0.2'));
  const modest = await download(port, target(mint('/'), '/large'), '127.0.0.3');
  const many = () => greedy.reduce((total, one) => total + one.bytes(), 0);
  const beforeModest = many();
  for (const one of [...greedy, modest]) one.response.resume();
  await until(() => {
    const bytes = many() + modest.bytes();
    const allowed = rate * ((performance.now() - beganAtMs) / 1000 + 0.25);
    assert.ok(bytes <= allowed * 1.05, `${bytes} bytes came where ${allowed} were allowed`);
    return many() > 8 * MIB;
  }, 'most have come');
  const share = modest.bytes() / (many() - beforeModest);
  assert.ok(share > 0.5, `who has one connection got ${share} of what six got`);
  for (const one of [...greedy, modest]) one.response.destroy();
  await until(() => up.waiters === 0, 'nobody waits any more');
});

test('a line that is closed cuts what workers send', async (t) => {
  const up = new Shaper();
  up.setRate(MIB);
  const { port, put, meter } = await withTokens(t, { up });
  await put(large, '/large');
  const downloads = [];
  for (let n = 0; n < 4; n++) downloads.push(await download(port, target(mint('/'), '/large')));
  for (const { response } of downloads) response.resume();
  await until(() => up.waiters === 4, 'all wait');
  up.setOpen(false);
  for (const { ended } of downloads) assert.equal(await ended, 'cut');
  await until(() => meter.responses === 0, 'nothing is under way');
});

test('a disk that has gone is let go by workers, and nothing of it is sent any more', async (t) => {
  const { port, put, content, disk, readFailed } = await withTokens(t);
  const manifest = await put(large, '/large');
  // Open in both.
  for (let n = 0; n < 2; n++) await ask(port, target(mint('/'), '/large'));
  await rm(disk.layout.object(manifest.sha256));
  content.withdrawAll();
  for (let n = 0; n < 2; n++) assert.equal((await ask(port, target(mint('/'), '/large'))).status, 302);
  assert.deepEqual(new Set(readFailed), new Set([manifest.sha256]));
});

test('bounds for one client hold over all workers', async (t) => {
  const client = { connections: 2, requestsPerSecond: 0, loopback: true };
  const { port, put } = await serve(t, { client });
  await put(randomBytes(100), '/a');
  const agent = new http.Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const statuses = await Promise.all(
    Array.from({ length: 3 }, async () => (await ask(port, target(mint('/'), '/a'), { agent })).status),
  );
  assert.deepEqual(statuses.sort(), [200, 200, 429]);
});

test('a session over TLS goes on with whichever worker it meets', async (t) => {
  const { content, put } = await serve(t);
  await put(randomBytes(100), '/a');
  const certificates = new Certificates();
  const { cert, key: privateKey } = await testCertificate();
  certificates.set({ cert, key: privateKey });
  const port = await content.listenSecurely(0, '127.0.0.1', certificates);
  assert.ok(port);
  let session: Buffer | undefined;
  const open: tls.TLSSocket[] = [];
  for (let n = 0; n < 4; n++) {
    // Those before stay open, so that the next is dealt to the other worker.
    const socket: tls.TLSSocket = tls.connect({
      host: '127.0.0.1',
      port,
      session,
      rejectUnauthorized: false,
    });
    open.push(socket);
    socket.once('session', (given: Buffer) => {
      session = given;
    });
    await once(socket, 'secureConnect');
    assert.equal(socket.isSessionReused(), n > 0, `connection ${n}`);
    socket.write(`GET ${target(mint('/'), '/a')} HTTP/1.1\r\nHost: a\r\n\r\n`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    assert.match(answer.toString('latin1'), /^HTTP\/1\.1 200 /);
  }
  for (const socket of open) socket.destroy();
});
