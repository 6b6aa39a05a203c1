import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { pino } from 'pino';
import { BoxCertificate } from '#agent/certificate/box-certificate.ts';
import { certificateState } from '#agent/certificate/certificate-state.ts';
import { certificateInWords } from '#agent/reach/doctor.ts';
import { Client } from '#agent/serve/clients.ts';
import { SecurePort } from '#agent/serve/tls/secure-port.ts';
import { testCertificate } from '#agent/serve/tls/test-certificate.ts';
import { boxDetail } from '#fleet/boxes/boxes.ts';
import { openAcmeAccountKey } from '#fleet/keys/fleet-keys.ts';
import { reachOf } from '#fleet/relay/standing.ts';
import { addBox, fleetDatabase } from '#fleet/testing/fleet-database.ts';
import { needsTool } from '#test/support/tools.ts';
import { AcmeIssuer } from './acme.ts';
import { caByOwnDns } from './ca-fixture.ts';
import { issueNext, problemCodeOf, requestCertificate } from './requests.ts';

const DOMAIN = 'boxes.example.org';
const SILENT = pino({ level: 'silent' });
const OPTIONS = { domain: DOMAIN, perThreeHours: 200 };

/** What stands before the CA: lets through, answers orders as a CA at its limit does, or hangs up. */
type Mood = 'well' | 'limited' | 'away';

/** The CA with its faults before it: all URLs are of this address, since the CA makes them of the Host it is asked by. */
async function faultyCa(target: string, targetCa: string, mood: () => Mood) {
  const { cert, key } = await testCertificate('127.0.0.1');
  const { port: targetPort } = new URL(target);
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    if (mood() === 'away') return request.socket.destroy();
    if (mood() === 'limited' && /order/.test(request.url ?? '')) {
      request.resume();
      response.writeHead(429, { 'content-type': 'application/problem+json', 'retry-after': '259200' });
      response.end(
        JSON.stringify({
          type: 'urn:ietf:params:acme:error:rateLimited',
          detail: 'too many new orders recently',
        }),
      );
      return;
    }
    const { method, url, headers } = request;
    const onward = https.request(
      { host: '127.0.0.1', port: targetPort, method, path: url, headers, ca: targetCa, agent: false },
      (answered) => {
        response.writeHead(answered.statusCode ?? 500, answered.headers);
        answered.pipe(response);
      },
    );
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  };
  const server = https.createServer({ cert, key }, handle);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    directoryUrl: `https://127.0.0.1:${(server.address() as AddressInfo).port}/dir`,
    certificate: cert,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/**
 * A box's TLS port, with what it has: as the agent's content server has it, new certificates for new connections.
 * @returns asks it as a client does that knows the CA alone; its answer, and the certificate it was served with
 */
async function clientOf(t: TestContext, box: BoxCertificate, serverName: string, root: string) {
  const first = box.current;
  assert.ok(first);
  const server = http.createServer((_request, response) => response.end('the bytes'));
  const port = new SecurePort(
    {
      onHttp1: (socket) => server.emit('connection', socket),
      onHttp2: (socket) => socket.destroy(),
      handshakeMs: 10_000,
    },
    { cert: first.chain, key: first.privateKey },
  );
  box.onChange(({ chain, privateKey }) => port.use({ cert: chain, key: privateKey }));
  const listener = net.createServer((socket) =>
    port.take(socket, {
      client: new Client('127.0.0.1', 100, 0),
      standing: 'served',
      reset: () => socket.resetAndDestroy(),
    }),
  );
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  t.after(() => {
    server.closeAllConnections();
    listener.close();
  });
  return async () => {
    const request = https.get({
      host: '127.0.0.1',
      port: (listener.address() as AddressInfo).port,
      servername: serverName,
      ca: root,
      agent: false,
    });
    const [answer] = (await once(request, 'response')) as [IncomingMessage];
    const { serialNumber } = (answer.socket as TLSSocket).getPeerCertificate();
    let text = '';
    for await (const piece of answer) text += String(piece);
    return { status: answer.statusCode, text, serialNumber };
  };
}

test('a CA that is at its limit, then away, for a week: the old certificate stays, everybody is told, and it heals', {
  ...needsTool('pebble'),
  timeout: 120_000,
}, async (t) => {
  const { db, query, close } = await fleetDatabase();
  const folder = await mkdtemp(path.join(tmpdir(), 'hearth-ca-'));
  t.after(async () => {
    await close();
    await rm(folder, { recursive: true, force: true });
  });
  const pebble = await caByOwnDns(t, db, DOMAIN, folder);
  let mood: Mood = 'well';
  const ca = await faultyCa(pebble.directoryUrl, await readFile(pebble.caFile, 'utf8'), () => mood);
  t.after(() => ca.close());
  const caFile = path.join(folder, 'faulty-ca.pem');
  await writeFile(caFile, ca.certificate);
  const issuer = await AcmeIssuer.open({
    directoryUrl: ca.directoryUrl,
    accountKey: await openAcmeAccountKey(folder),
    contact: null,
    caFile,
  });
  const issue = () => issueNext(db, issuer, OPTIONS, SILENT);
  const told = async () => (await reachOf(db, [boxId], DOMAIN, 443)).get(boxId)?.certificateProblem;
  const boxId = await addBox(db);
  const [row] = await query('SELECT name_label FROM boxes WHERE id = $1', [boxId]);
  const serverName = `${row?.name_label}.${DOMAIN}`;
  const box = await BoxCertificate.open(folder, () => 0);
  const ask = async (nowMs: number) => {
    const csr = await box.wanted(serverName, nowMs);
    assert.ok(csr);
    await requestCertificate(db, boxId, csr, DOMAIN);
  };
  const arrived = async () => {
    const [sent] = await query(
      "SELECT body FROM commands WHERE type = 'certificate' AND state <> 'void' ORDER BY created_at DESC LIMIT 1",
    );
    return (sent?.body as { chain: string } | undefined)?.chain ?? '';
  };

  await ask(Date.now());
  assert.equal(await issue(), true);
  await box.accept(await arrived());
  const first = box.current;
  assert.ok(first);
  assert.equal(await told(), null);
  const serial = (chain: string) => new X509Certificate(chain).serialNumber;
  const client = await clientOf(t, box, serverName, await pebble.root());
  const isServed = async (chain: string) =>
    assert.deepEqual(await client(), { status: 200, text: 'the bytes', serialNumber: serial(chain) });
  await isServed(first.chain);

  // Two thirds of its life are over, and the CA is at its limit. It says to come again in three days: nobody waits.
  mood = 'limited';
  await ask(Date.parse(first.renewAt) + 1_000);
  assert.equal(await issue(), true);
  assert.equal(await told(), null, 'what has just begun is no news');
  await isServed(first.chain);
  // A week of it: each try fails, and when it began stays.
  await query("UPDATE box_certificates SET failing_since = now() - interval '7 days', next_try_at = now()");
  mood = 'away';
  assert.equal(await issue(), true);
  const [state] = await query(
    'SELECT failing_since, problem_code, chain FROM box_certificates WHERE box_id = $1',
    [boxId],
  );
  assert.ok(state);
  assert.equal(state.problem_code, 'ca_unreachable');
  // All the while a client that believes nothing but this CA is served.
  await isServed(first.chain);
  mood = 'limited';
  await query('UPDATE box_certificates SET next_try_at = now()');
  assert.equal(await issue(), true);
  const problem = await told();
  assert.ok(problem);
  assert.equal(problem.code, 'rate_limited');
  assert.equal(problem.since, (state.failing_since as Date).toISOString());
  // The operator sees it, with the CA's own words; the old chain is untouched there and on the box.
  const detail = await boxDetail(db, boxId);
  assert.equal(detail.certificate?.failingSince, problem.since);
  assert.equal(detail.certificate.problemCode, 'rate_limited');
  assert.match(detail.certificate.problem ?? '', /too many new orders/);
  assert.equal(detail.certificate.expiresAt, first.expiresAt);
  assert.equal(state?.chain, first.chain);
  assert.deepEqual(box.current, first);
  await isServed(first.chain);
  // The household sees it too, in words.
  const facts = { serverName, current: box.current, problem };
  const valid = certificateState({ ...facts, nowMs: Date.now() });
  assert.equal(valid?.state, 'valid');
  const day = problem.since.slice(0, 10);
  const english = certificateInWords(valid, 'en').join('\n');
  assert.match(english, new RegExp(`Since ${day}.*could be had: .*issues no more`));
  assert.match(english, /the present one is served on/);
  assert.match(certificateInWords(valid, 'zh').join('\n'), new RegExp(`${day}.*无法获得新证书`));
  const late = certificateState({ ...facts, nowMs: Date.parse(first.expiresAt) + 1 });
  assert.equal(late?.state, 'expired');
  assert.match(certificateInWords(late, 'en').join('\n'), /ran out at/);

  mood = 'well';
  await query('UPDATE box_certificates SET next_try_at = now()');
  assert.equal(await issue(), true);
  await box.accept(await arrived());
  assert.ok(box.current);
  assert.notEqual(box.current.chain, first.chain);
  await isServed(box.current.chain);
  assert.equal(await told(), null);
  assert.equal((await boxDetail(db, boxId)).certificate?.failingSince, null);
});

test("the CA's words are told apart: at its limit, away, no", () => {
  for (const [words, code] of [
    ['the CA gave no certificate: too many certificates already issued', 'rate_limited'],
    ['urn:ietf:params:acme:error:rateLimited', 'rate_limited'],
    ['connect ECONNREFUSED 192.0.2.1:443', 'ca_unreachable'],
    ['Request failed with status code 503', 'ca_unreachable'],
    ['CAA record prevents issuance', 'ca_refused'],
  ] as const) {
    assert.equal(problemCodeOf(words), code, words);
  }
});
