import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import tls from 'node:tls';
import { pino } from 'pino';
import { RelayTunnels } from '#agent/relay/tunnels.ts';
import { tempFolder } from '#agent/store/store-fixture.ts';
import { waitFor } from '#fleet/client/fleet-api.ts';
import type { Relay } from '#fleet/relay/relay.ts';
import { relayedContentUrl } from '#protocol/relay.ts';
import { answersHealth, noise, relayRig, sendSlowly } from './fixture.ts';

const until = (what: string, holds: () => boolean | Promise<boolean>) =>
  waitFor(async () => (await holds()) || null, `still not: ${what}`, { timeoutMs: 20_000 });
const connected = (relay: Relay, boxId: string) => until('connected', () => relay.tunnels.has(boxId));

test('a request goes through to the box and the answer back: range, head, client address, evidence', async (t) => {
  const rig = await relayRig(t);
  const relay = await rig.relay();
  const bytes = noise(3_000_000);
  const seen: { url: string; client: string; cookie: unknown; method: string }[] = [];
  const box = await rig.box({
    onRequest: (stream, headers, client) => {
      const { ':path': url = '', ':method': method = '', cookie } = headers;
      seen.push({ url, client, cookie, method });
      const range = /^bytes=(\d+)-(\d+)$/.exec(String(headers.range ?? ''));
      const part = range ? bytes.subarray(Number(range[1]), Number(range[2]) + 1) : bytes;
      stream.respond({
        ':status': range ? 206 : 200,
        'content-length': part.length,
        etag: '"x"',
        'content-type': 'video/mp4',
      });
      stream.end(method === 'HEAD' ? '' : part);
    },
  });
  box.tunnels.use([relay.urls.tunnelUrl]);
  await connected(relay, box.id);
  const base = relayedContentUrl(relay.urls.publicUrl, box.id);

  const whole = await fetch(`${base}/c/token/site/a?x=1`, { headers: { cookie: 'secret=1' } });
  assert.equal(whole.status, 200);
  assert.equal(whole.headers.get('etag'), '"x"');
  assert.ok(Buffer.from(await whole.arrayBuffer()).equals(bytes));
  const part = await fetch(`${base}/c/token/site/a`, { headers: { range: 'bytes=100-199' } });
  assert.equal(part.status, 206);
  assert.ok(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(100, 200)));
  const head = await fetch(`${base}/c/token/site/a`, { method: 'HEAD' });
  assert.equal(head.headers.get('content-length'), '3000000');
  assert.deepEqual(seen[0], {
    url: '/c/token/site/a?x=1',
    client: '127.0.0.1',
    cookie: undefined,
    method: 'GET',
  });
  assert.equal(seen[2]?.method, 'HEAD');

  let counted: Record<string, unknown> | undefined;
  await until('all is counted', async () => {
    [counted] = await rig.database.query('SELECT bytes::int, requests::int FROM relay_counts');
    return counted?.requests === 3;
  });
  assert.equal(counted?.bytes, 3_000_100);
});

test('who is no box of this fleet, or revoked, is not let in; a revoked one is cut off', async (t) => {
  const rig = await relayRig(t);
  const relay = await rig.relay();
  const good = await rig.box();
  const revoked = await rig.box();
  await rig.database.query('UPDATE boxes SET revoked_at = now() WHERE id = $1', [revoked.id]);
  revoked.tunnels.use([relay.urls.tunnelUrl]);
  good.tunnels.use([relay.urls.tunnelUrl]);
  await connected(relay, good.id);
  await until(
    'the fleet knows of it',
    async () => (await rig.database.query('SELECT box_id FROM relay_tunnels')).length === 1,
  );
  assert.equal(relay.tunnels.has(revoked.id), false);
  // Without a certificate there is no handshake to speak of.
  const { port, hostname } = new URL(relay.urls.tunnelUrl);
  const stranger = tls.connect({
    host: hostname,
    port: Number(port),
    rejectUnauthorized: false,
    ALPNProtocols: ['hearth-relay/1'],
  });
  stranger.on('error', () => undefined);
  await new Promise((resolve) => stranger.once('close', resolve));

  await rig.database.query('UPDATE boxes SET revoked_at = now() WHERE id = $1', [good.id]);
  await relay.recheck(good.id);
  await until('it is cut off', async () => !relay.tunnels.has(good.id));
  await until(
    'the fleet does not count on it',
    async () => (await rig.database.query('SELECT box_id FROM relay_tunnels')).length === 0,
  );
});

test('a box that does not answer through its tunnel as itself is not counted as reachable', async (t) => {
  const rig = await relayRig(t);
  const relay = await rig.relay();
  const box = await rig.box();
  const liar = await rig.box();
  const tunnels = new RelayTunnels({
    identity: liar.identity,
    nowMs: Date.now,
    log: pino({ level: 'silent' }),
    backoff: { baseMs: 50, capMs: 100 },
    onConnection: null,
    // Another box's name in its answer.
    onRequest: (stream, headers) => answersHealth(box.id, stream, headers),
  });
  t.after(() => tunnels.close());
  tunnels.use([relay.urls.tunnelUrl]);
  box.tunnels.use([relay.urls.tunnelUrl]);
  await connected(relay, box.id);
  await until(
    'the honest one is there',
    async () => (await rig.database.query('SELECT box_id FROM relay_tunnels')).length === 1,
  );
  const [row] = await rig.database.query('SELECT box_id FROM relay_tunnels');
  assert.equal(row?.box_id, box.id);
});

test('an answer that the box breaks off is broken off for the client, never passed for the whole', async (t) => {
  const rig = await relayRig(t);
  const relay = await rig.relay();
  const bytes = noise(1_000_000);
  const box = await rig.box({
    onRequest: (stream, headers) => {
      const half = bytes.subarray(0, 400_000);
      if (headers[':path'] === '/c/short') {
        // Less than it promised, in good order otherwise.
        stream.respond({ ':status': 200, 'content-length': bytes.length });
        stream.end(half);
      } else {
        stream.respond({ ':status': 200 });
        stream.write(half, () => stream.destroy(new Error('the disk was pulled')));
      }
    },
  });
  box.tunnels.use([relay.urls.tunnelUrl]);
  await connected(relay, box.id);
  for (const path of ['/c/short', '/c/reset']) {
    const answer = await fetch(relayedContentUrl(relay.urls.publicUrl, box.id) + path);
    await assert.rejects(answer.arrayBuffer(), path);
  }
});

test('a box that is not here: the client is sent on, or told to come again', async (t) => {
  const rig = await relayRig(t);
  const alone = await rig.relay();
  const box = await rig.box();
  const there = relayedContentUrl(alone.urls.publicUrl, box.id);
  const waitHere = await fetch(`${there}/c/x`);
  assert.equal(waitHere.status, 503);
  assert.ok(waitHere.headers.get('retry-after'));
  const guided = await rig.relay({
    elsewhere: (boxId, path) => `http://router.test/again${path}?not=${boxId}`,
  });
  const sent = await fetch(`${relayedContentUrl(guided.urls.publicUrl, box.id)}/c/x`, { redirect: 'manual' });
  assert.equal(sent.status, 302);
  assert.equal(sent.headers.get('location'), `http://router.test/again/c/x?not=${box.id}`);
  for (const target of ['/', '/b/', '/b/box-1/x', `/b/${box.id}`, '//']) {
    const { hostname, port } = new URL(guided.urls.publicUrl);
    const request = http.get({ hostname, port, path: target });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    assert.equal(response.statusCode, 404, target);
    response.resume();
  }
  assert.equal((await fetch(`${there}/c/x`, { method: 'POST', body: 'x' })).status, 405);
});

test("a client's TLS reaches the box unread, by its server name; an unknown name is refused in TLS's own words", async (t) => {
  const rig = await relayRig(t);
  const { keyPem, certificatePem } = await rig.keys.ca.issueServer(['abc.boxes.test']);
  const bytes = noise(2_000_000);
  const server = tls.createServer({ key: keyPem, cert: certificatePem }, (socket) => {
    socket.once('data', () => socket.end(bytes));
  });
  const clients: string[] = [];
  const box = await rig.box({
    onConnection: (connection, client) => {
      clients.push(client);
      server.emit('connection', connection);
    },
  });
  const relay = await rig.relay({ boxOf: async (name) => (name === 'abc.boxes.test' ? box.id : null) });
  box.tunnels.use([relay.urls.tunnelUrl]);
  await connected(relay, box.id);
  const dial = (servername: string) =>
    tls.connect({ host: '127.0.0.1', port: relay.urls.tlsPort, servername, ca: rig.keys.ca.certificatePem });
  const socket = dial('abc.boxes.test');
  await once(socket, 'secureConnect');
  assert.equal(socket.getPeerX509Certificate()?.checkHost('abc.boxes.test'), 'abc.boxes.test');
  socket.write('hello');
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  assert.ok(Buffer.concat(parts).equals(bytes));
  assert.deepEqual(clients, ['127.0.0.1']);

  const unknown = dial('other.boxes.test');
  const error = await new Promise<Error>((resolve) => unknown.once('error', resolve));
  assert.match(error.message, /unrecognized name/i);
  const plain = net.connect(relay.urls.tlsPort, '127.0.0.1', () => plain.write('GET / HTTP/1.1\r\n\r\n'));
  plain.on('error', () => undefined);
  plain.resume();
  await new Promise((resolve) => plain.once('close', resolve));
});

test("a relay whose certificate is for a wildcard takes its own clients, and not those of boxes' names", async (t) => {
  const rig = await relayRig(t);
  const { ca: issuer } = rig.keys;
  const [boxes, relays] = [
    await issuer.issueServer(['abc.boxes.test']),
    await issuer.issueServer(['*.boxes.test']),
  ];
  const folder = await tempFolder(t, 'relay');
  const ownTls = { cert: path.join(folder, 'cert.pem'), key: path.join(folder, 'key.pem') };
  await writeFile(ownTls.cert, relays.certificatePem);
  await writeFile(ownTls.key, relays.keyPem);
  const server = tls.createServer({ key: boxes.keyPem, cert: boxes.certificatePem }, (socket) =>
    socket.end(),
  );
  const box = await rig.box({ onConnection: (connection) => void server.emit('connection', connection) });
  const relay = await rig.relay({
    own: { ownTls },
    boxOf: async (name) => (name === 'abc.boxes.test' ? box.id : null),
  });
  box.tunnels.use([relay.urls.tunnelUrl]);
  await connected(relay, box.id);
  const shown = async (servername: string) => {
    const { tlsPort: port } = relay.urls;
    const ca = issuer.certificatePem;
    const socket = tls.connect({ host: '127.0.0.1', port, servername, ca });
    await once(socket, 'secureConnect');
    const { subjectAltName } = socket.getPeerX509Certificate() ?? {};
    socket.destroy();
    return subjectAltName;
  };
  assert.equal(await shown('abc.boxes.test'), 'DNS:abc.boxes.test');
  assert.equal(await shown('relay.boxes.test'), 'DNS:*.boxes.test');
});

test('a relay that stops: boxes are at the other one first, what runs ends whole, and no request fails', async (t) => {
  const rig = await relayRig(t);
  const bytes = noise(400_000);
  const box = await rig.box({
    // Slow enough to be under way when the relay stops.
    onRequest: (stream) => sendSlowly(stream, bytes),
  });
  const first = await rig.relay({ drainMs: 20_000 });
  const second = await rig.relay();
  box.tunnels.use([first.urls.tunnelUrl, second.urls.tunnelUrl]);
  await connected(first, box.id);
  await connected(second, box.id);

  let asked = 0;
  let stop = false;
  const failures: string[] = [];
  // As the router sends clients: to relays that are there and not about to stop.
  const ask = async () => {
    const rows = await rig.database.query(
      `SELECT public_url FROM relays JOIN relay_tunnels ON relay_id = relays.id WHERE NOT draining`,
    );
    const urls = rows.map((row) => String(row.public_url));
    const url = urls[asked++ % urls.length];
    if (url === undefined) throw new Error('the box is nowhere');
    return fetch(`${relayedContentUrl(url, box.id)}/c/x`);
  };
  const client = async () => {
    while (!stop) {
      try {
        let answer = await ask();
        // It began to leave between the look and the request: the router, asked once more, knows.
        if (answer.status === 503) answer = await ask();
        const body = Buffer.from(await answer.arrayBuffer());
        if (!body.equals(bytes)) failures.push(`${answer.status}, ${body.length} bytes`);
      } catch (error) {
        failures.push(String(error));
      }
    }
  };
  await until('at both', async () => (await rig.database.query('SELECT 1 FROM relay_tunnels')).length === 2);
  const clients = Array.from({ length: 8 }, client);
  await until('asked', async () => asked > 20);
  const before = asked;
  await first.close();
  await until('asked after it stopped', async () => asked > before + 20);
  stop = true;
  await Promise.all(clients);
  assert.deepEqual(failures, []);
  assert.deepEqual(box.tunnels.connected, [second.urls.tunnelUrl]);
});

test('a relay that is killed: the box comes back to it when it is there again', async (t) => {
  const rig = await relayRig(t);
  const box = await rig.box();
  const first = await rig.relay();
  const port = Number(new URL(first.urls.tunnelUrl).port);
  box.tunnels.use([first.urls.tunnelUrl]);
  await connected(first, box.id);
  await first.close();
  await until('noticed', () => box.tunnels.connected.length === 0);
  const again = await rig.relay({
    options: {
      host: '127.0.0.1',
      tunnelPort: port,
      httpPort: 0,
      tlsPort: 0,
      names: ['127.0.0.1'],
      drainMs: 0,
    },
  });
  await connected(again, box.id);
});
