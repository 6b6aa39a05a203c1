import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { pino } from 'pino';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { boxRecords } from '#fleet/dns/role.ts';
import { openAcmeAccountKey, openFleetKeys } from '#fleet/keys/fleet-keys.ts';
import { OwnName } from '#fleet/relay/own-name.ts';
import { Relay } from '#fleet/relay/relay.ts';
import { ownNameOf } from '#fleet/relay/role.ts';
import { dashboardRelays } from '#fleet/relay/standing.ts';
import { addBox, fleetDatabase } from '#fleet/testing/fleet-database.ts';
import { needsTool } from '#test/support/tools.ts';
import { AcmeIssuer } from './acme.ts';
import { caByOwnDns } from './ca-fixture.ts';
import { issueNext } from './requests.ts';

const DOMAIN = 'boxes.example.org';
const NAME = `relay-1.${DOMAIN}`;
const SILENT = pino({ level: 'silent' });
const OPTIONS = { domain: DOMAIN, perThreeHours: 200 };

async function rig(t: TestContext) {
  const database = await fleetDatabase();
  const folder = await mkdtemp(path.join(tmpdir(), 'hearth-relay-name-'));
  t.after(async () => {
    await database.close();
    await rm(folder, { recursive: true, force: true });
  });
  return { ...database, folder };
}

/** What a browser that knows the CA alone sees under the relay's name. */
async function visit(port: number, root: string, boxId: string, agent: https.Agent | false = false) {
  const request = https.get({
    host: '127.0.0.1',
    port,
    servername: NAME,
    ca: root,
    agent,
    path: `/my/${boxId}/`,
    headers: { host: `${NAME}:${port}` },
  });
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  const { serialNumber } = (answer.socket as TLSSocket).getPeerCertificate();
  let text = '';
  for await (const piece of answer) text += String(piece);
  return { status: answer.statusCode, serialNumber, asksKey: /<form method="post"/.test(text) };
}

test("a relay's own name gets its certificate from the CA by the fleet's zone, and a newer one without a restart", {
  ...needsTool('pebble'),
  timeout: 120_000,
}, async (t) => {
  const { db, query, folder } = await rig(t);
  const pebble = await caByOwnDns(t, db, DOMAIN, folder);
  const issuer = await AcmeIssuer.open({
    directoryUrl: pebble.directoryUrl,
    accountKey: await openAcmeAccountKey(folder),
    contact: null,
    caFile: pebble.caFile,
  });
  const boxId = await addBox(db);
  let nowMs = Date.now();
  const start = async () => {
    const relay = await Relay.start({
      db,
      keys: await openFleetKeys(folder),
      log: SILENT,
      elsewhere: () => null,
      boxOf: async () => null,
      options: {
        ...{ host: '127.0.0.1', tunnelPort: 0, httpPort: 0, tlsPort: 0, names: ['127.0.0.1'], drainMs: 0 },
        ownName: {
          name: NAME,
          label: 'relay-1',
          folder: path.join(folder, 'relay'),
          now: () => nowMs,
          lookMs: 50,
        },
      },
    });
    let closed = false;
    const close = async () => {
      if (!closed) await relay.close();
      closed = true;
    };
    t.after(close);
    return { port: relay.urls.tlsPort, close };
  };
  const first = await start();
  const root = await pebble.root();
  const issued = () =>
    waitFor(async () => (await issueNext(db, issuer, OPTIONS, SILENT)) || null, 'nothing was asked for', {
      timeoutMs: 20_000,
    });
  // Until there is one, nobody is sent there and nobody is let in.
  await assert.rejects(visit(first.port, root, boxId));
  assert.deepEqual(await dashboardRelays(db), []);
  await issued();
  const served = (port: number, than = '') =>
    waitFor(
      async () => {
        const seen = await visit(port, root, boxId).catch(() => null);
        return seen && seen.serialNumber !== than ? seen : null;
      },
      'no new certificate is served',
      { timeoutMs: 20_000 },
    );
  const seen = await served(first.port);
  assert.deepEqual([seen.status, seen.asksKey], [200, true]);
  // The zone leads there, boxes are told of it, and the key is the relay's alone.
  assert.deepEqual(await boxRecords(db)('relay-1', true), { a: ['127.0.0.1'], aaaa: [], challenges: [] });
  const told = await waitFor(
    async () => {
      const [url] = await dashboardRelays(db);
      return url ?? null;
    },
    'nobody is told of it',
    { timeoutMs: 20_000 },
  );
  assert.equal(told, `https://${NAME}:${first.port}`);
  const file = path.join(folder, 'relay', 'relay-1.json');
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  const [row] = await query('SELECT * FROM relay_certificates');
  assert.doesNotMatch(JSON.stringify(row), /PRIVATE KEY/);

  // Two thirds of its life are over. Who is connected goes on; the next one is shown the new certificate.
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  assert.equal((await visit(first.port, root, boxId, agent)).serialNumber, seen.serialNumber);
  const { validFrom, validTo } = new X509Certificate(String(row?.chain));
  nowMs = Date.parse(validFrom) + ((Date.parse(validTo) - Date.parse(validFrom)) * 2) / 3 + 1000;
  await waitFor(
    async () => (await query("SELECT 1 FROM relay_certificates WHERE state = 'waiting'")).length > 0 || null,
    'it does not ask for a newer one',
    { timeoutMs: 20_000 },
  );
  // The newer one begins now: by a clock that stood so far ahead it could be due as well.
  nowMs = Date.now();
  await issued();
  const newer = await served(first.port, seen.serialNumber);
  assert.equal((await visit(first.port, root, boxId, agent)).serialNumber, seen.serialNumber);
  assert.equal(newer.status, 200);
  // A restart finds it, and asks for nothing.
  await first.close();
  const second = await start();
  assert.equal((await visit(second.port, root, boxId)).serialNumber, newer.serialNumber);
  assert.equal(await issueNext(db, issuer, OPTIONS, SILENT), false);
  assert.equal((await query("SELECT 1 FROM relay_certificates WHERE state = 'waiting'")).length, 0);
});

test('a CA that gives nothing, a chain for another key, a damaged file: the relay asks on, and does not storm', async (t) => {
  const { db, query, folder } = await rig(t);
  const certificates: unknown[] = [];
  const open = () =>
    OwnName.open({
      ...{ db, name: NAME, label: 'relay-1', folder, log: SILENT, now: Date.now, lookMs: 600_000 },
      onChange: (certificate) => certificates.push(certificate),
    });
  const own = await open();
  await own.look();
  const csrs = async () => (await query('SELECT csr, state FROM relay_certificates')).map(({ csr }) => csr);
  const [csr] = await csrs();
  const broken = {
    issue: async () => {
      throw new Error('rateLimited: too many new orders recently');
    },
  };
  assert.equal(await issueNext(db, broken, OPTIONS, SILENT), true);
  assert.equal(await issueNext(db, broken, OPTIONS, SILENT), false, 'not before its time');
  const [row] = await query('SELECT problem_code, failing_since FROM relay_certificates');
  assert.equal(row?.problem_code, 'rate_limited');
  await own.look();
  await own.close();
  // Killed and started again it asks with the same key.
  const again = await open();
  await again.look();
  assert.deepEqual(await csrs(), [csr]);
  const { createCa, openCa } = await import('#fleet/keys/certificate-authority.ts');
  const foreign = await openCa(await createCa()).issueServer([NAME]);
  await query("UPDATE relay_certificates SET state = 'issued', chain = $1, expires_at = now()", [
    foreign.certificatePem,
  ]);
  await again.look();
  await again.close();
  assert.deepEqual(certificates, []);
  await writeFile(path.join(folder, 'relay-1.json'), '{"v":1,');
  const third = await open();
  await third.look();
  await third.close();
  const [other] = await csrs();
  assert.notEqual(other, csr);
  assert.match(await readFile(path.join(folder, 'relay-1.json'), 'utf8'), /PRIVATE KEY/);
});

test("a relay's name is one the zone can hold beside boxes and servers", () => {
  const of = (name: string | undefined, domain: string | undefined = DOMAIN) =>
    ownNameOf({
      HEARTH_RELAY_NAME: name,
      HEARTH_BOX_DOMAIN: domain,
      HEARTH_KEYS_DIR: '/keys',
      HEARTH_DNS_SERVERS: [{ name: `ns1.${DOMAIN}`, a: [], aaaa: [] }],
    });
  assert.equal(of(undefined), null);
  assert.deepEqual(of(NAME), { name: NAME, label: 'relay-1', folder: '/keys/relay' });
  for (const bad of [
    DOMAIN,
    `a.b.${DOMAIN}`,
    'relay.example.net',
    `ns.${DOMAIN}`,
    `ns1.${DOMAIN}`,
    `../x.${DOMAIN}`,
    `7k3m9q2x5d1w7k3m.${DOMAIN}`,
    `looksabitlikeabox.${DOMAIN}`,
  ]) {
    assert.throws(() => of(bad), /HEARTH_RELAY_NAME must be one label/, bad);
  }
});
