import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import tls from 'node:tls';
import { CLIENT_LIMITS } from '#agent/serve/clients.ts';
import { mint, serve, target } from '#agent/serve/serve-fixture.ts';
import { Certificates } from '#agent/serve/tls/certificates.ts';
import { testCertificate } from '#agent/serve/tls/test-certificate.ts';
import { Clock } from '#agent/time/clock.ts';
import { SocketPairs } from './socket-pairs.ts';

test("a relayed client's TLS is bounded by the client's own address, not by the loopback it comes over", async (t) => {
  const pairs = new SocketPairs();
  t.after(() => pairs.close());
  const clock = new Clock(Date.now, () => 0);
  const limits = { client: { ...CLIENT_LIMITS, requestsPerSecond: 1, connections: 100 } };
  const { content, put } = await serve(t, limits, clock);
  await put(Buffer.from('here'), '/a');
  const certificates = new Certificates();
  await content.listenSecurely(0, '127.0.0.1', certificates);
  certificates.set(await testCertificate());
  while (content.securePort === null) await new Promise((resolve) => setImmediate(resolve));
  const url = target(mint('/'), '/a');
  const ask = async (client: string): Promise<number> => {
    const { near, far } = await pairs.make();
    content.relayedConnection(far, client);
    const socket = tls.connect({ socket: near, servername: 'localhost', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    socket.write(`GET ${url} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
    const [head] = await once(socket, 'data');
    socket.destroy();
    near.destroy();
    return Number(String(head).slice(9, 12));
  };
  // A burst is ten seconds' worth.
  for (let n = 0; n < 10; n++) assert.equal(await ask('198.51.100.7'), 200);
  assert.equal(await ask('198.51.100.7'), 429);
  assert.equal(await ask('198.51.100.8'), 200);
});
