import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ClientHttp2Session } from 'node:http2';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import tls from 'node:tls';
import { makeKeyAndCsr } from '#agent/identity/csr.ts';
import type { Identity } from '#agent/identity/identity.ts';
import { createCa, openCa } from '#fleet/keys/certificate-authority.ts';
import { newId } from '#protocol/ids.ts';
import { RELAY_ALPN } from '#protocol/relay.ts';
import { Tunnel } from './tunnel.ts';

/** A relay that never begins to speak, and a box that has dialled it. */
async function tunnelTo(
  t: { after: (end: () => void) => void },
  patience: { silentMs: number; answerMs: number },
): Promise<{ tunnel: Tunnel; session: ClientHttp2Session; socket: TLSSocket }> {
  const ca = openCa(await createCa());
  const { keyPem, certificatePem } = await ca.issueServer(['127.0.0.1']);
  const { privateKey, csr } = await makeKeyAndCsr();
  const boxId = newId('box');
  const { certificatePem: certificate } = await ca.signBox(csr, boxId);
  const server = tls.createServer({
    key: keyPem,
    cert: certificatePem,
    ca: ca.certificatePem,
    requestCert: true,
    ALPNProtocols: [RELAY_ALPN],
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const came = once(server, 'secureConnection') as Promise<[TLSSocket]>;
  const identity = { v: 1, boxId, certificate, caCertificate: ca.certificatePem, privateKey } as Identity;
  const { port } = server.address() as AddressInfo;
  const tunnel = await Tunnel.dial(
    `tls://127.0.0.1:${port}`,
    { identity, nowMs: Date.now, onRequest: () => undefined, onConnection: null, patience },
    new AbortController().signal,
  );
  const [socket] = await came;
  const session = http2.connect('https://box.invalid', { createConnection: () => socket });
  session.on('error', () => undefined);
  t.after(() => {
    tunnel.destroy();
    session.destroy();
    socket.destroy();
    server.close();
  });
  return { tunnel, session, socket };
}

test('a relay that has nothing to say is asked again and again, and kept', { timeout: 60_000 }, async (t) => {
  const { tunnel, session } = await tunnelTo(t, { silentMs: 50, answerMs: 50_000 });
  let closed = false;
  void tunnel.closed.then(() => {
    closed = true;
  });
  for (let n = 0; n < 5; n++) await once(session, 'ping');
  assert.equal(closed, false);
});

test('a relay that does not answer is left', { timeout: 60_000 }, async (t) => {
  const { tunnel, session, socket } = await tunnelTo(t, { silentMs: 50, answerMs: 200 });
  await once(session, 'ping');
  // From here on it hears nothing.
  socket.pause();
  session.destroy();
  await tunnel.closed;
});
