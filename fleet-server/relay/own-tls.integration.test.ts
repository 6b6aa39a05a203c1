import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import tls from 'node:tls';
import { pino } from 'pino';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { createCa, openCa } from '#fleet/keys/certificate-authority.ts';
import { OwnTls } from './own-tls.ts';

test('the relay’s own name: a certificate that is replaced is shown to the next client; half of one changes nothing', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'hearth-own-tls-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const issuer = openCa(await createCa());
  const files = { cert: path.join(folder, 'cert.pem'), key: path.join(folder, 'key.pem') };
  const parts = {
    files,
    answer: () => undefined,
    connections: 10,
    log: pino({ level: 'silent' }),
    lookMs: 20,
  };
  await assert.rejects(OwnTls.open(parts), { code: 'bad_request' });
  const first = await issuer.issueServer(['one.example.org']);
  await writeFile(files.cert, first.certificatePem);
  await writeFile(files.key, first.keyPem);
  const own = await OwnTls.open(parts);
  t.after(() => own.close());
  assert.equal(own.name, 'one.example.org');
  assert.ok(own.covers('one.example.org') && !own.covers('two.example.org') && !own.covers(''));
  // As the relay does it: what was read of the greeting is put back.
  const server = net.createServer((socket) => {
    socket.once('data', (bytes) => {
      socket.pause();
      own.take(socket, bytes);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const shown = async (): Promise<string> => {
    const socket = tls.connect({
      port: (server.address() as AddressInfo).port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
    });
    await once(socket, 'secureConnect');
    const { fingerprint256 } = socket.getPeerCertificate();
    socket.destroy();
    return fingerprint256;
  };
  const before = await shown();
  const second = await issuer.issueServer(['one.example.org', 'two.example.org']);
  // What may be read while they are written: an empty file, one of the two, a file cut off.
  for (const [file, half] of [
    [files.cert, ''],
    [files.cert, second.certificatePem.slice(0, 200)],
    [files.cert, second.certificatePem],
    [files.key, ''],
    [files.key, second.keyPem.slice(0, 100)],
  ] as const) {
    await writeFile(file, half);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(await shown(), before, `${half.length} bytes of ${path.basename(file)}`);
  }
  await writeFile(files.key, second.keyPem);
  await waitFor(async () => (await shown()) !== before || null, 'the new one is not shown', {
    timeoutMs: 20_000,
  });
  assert.ok(own.covers('two.example.org'));
});

test('the relay’s own name: who sends a request bit by bit without end is cut off', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'hearth-own-tls-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const issued = await openCa(await createCa()).issueServer(['one.example.org']);
  const files = { cert: path.join(folder, 'cert.pem'), key: path.join(folder, 'key.pem') };
  await writeFile(files.cert, issued.certificatePem);
  await writeFile(files.key, issued.keyPem);
  const own = await OwnTls.open({
    files,
    answer: (request, response) => {
      request.resume().once('end', () => response.end());
    },
    connections: 10,
    log: pino({ level: 'silent' }),
    headMs: 500,
  });
  t.after(() => own.close());
  const server = net.createServer((socket) => own.take(socket, Buffer.alloc(0)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  for (const begun of [
    'GET / HTTP/1.1\r\nHost: x\r\n',
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n',
  ]) {
    const socket = tls.connect({
      port: (server.address() as AddressInfo).port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
    });
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    socket.resume();
    socket.write(begun);
    const trickle = setInterval(() => socket.write('x'), 100);
    await once(socket, 'close', { signal: AbortSignal.timeout(40_000) }).finally(() =>
      clearInterval(trickle),
    );
  }
});
