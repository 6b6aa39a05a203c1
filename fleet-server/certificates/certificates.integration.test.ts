import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { BoxCertificate } from '#agent/certificate/box-certificate.ts';
import { makeKeyAndCsr } from '#agent/identity/csr.ts';
import { boxRecords } from '#fleet/dns/role.ts';
import { openAcmeAccountKey } from '#fleet/keys/fleet-keys.ts';
import { addBox, fleetDatabase } from '#fleet/testing/fleet-database.ts';
import { needsTool } from '#test/support/tools.ts';
import { AcmeIssuer } from './acme.ts';
import { caByOwnDns } from './ca-fixture.ts';
import { issueNext, requestCertificate } from './requests.ts';

const DOMAIN = 'boxes.example.org';
const SILENT = pino({ level: 'silent' });
const OPTIONS = { domain: DOMAIN, perThreeHours: 200 };

async function rig(t: import('node:test').TestContext) {
  const database = await fleetDatabase();
  const folder = await mkdtemp(path.join(tmpdir(), 'hearth-certificates-'));
  t.after(async () => {
    await database.close();
    await rm(folder, { recursive: true, force: true });
  });
  const boxId = await addBox(database.db);
  const [row] = await database.query('SELECT name_label FROM boxes WHERE id = $1', [boxId]);
  const name = `${row?.name_label}.${DOMAIN}`;
  const sent = async () =>
    (await database.query("SELECT body FROM commands WHERE type = 'certificate' AND state <> 'void'")).map(
      ({ body }) => (body as { chain: string }).chain,
    );
  return { ...database, folder, boxId, name, sent };
}

test(
  "a box's certificate comes from a real ACME server by our own DNS, and fits the key that never left the box",
  needsTool('pebble'),
  async (t) => {
    const { db, folder, boxId, name, sent } = await rig(t);
    const pebble = await caByOwnDns(t, db, DOMAIN, folder);
    const issuer = await AcmeIssuer.open({
      directoryUrl: pebble.directoryUrl,
      accountKey: await openAcmeAccountKey(folder),
      contact: 'ops@example.org',
      caFile: pebble.caFile,
    });

    const box = await BoxCertificate.open(folder, () => 0);
    const csr = await box.wanted(name, Date.now());
    assert.ok(csr);
    await requestCertificate(db, boxId, csr, DOMAIN);
    assert.equal(await issueNext(db, issuer, OPTIONS, SILENT), true);
    const [chain = ''] = await sent();
    await box.accept(chain);
    const leaf = new X509Certificate(box.current?.chain ?? '');
    assert.equal(leaf.checkHost(name), name);
    assert.ok(
      leaf.checkPrivateKey((await import('node:crypto')).createPrivateKey(box.current?.privateKey ?? '')),
    );
    const intermediate = new X509Certificate(chain.slice(chain.indexOf('-----BEGIN', 10)));
    assert.ok(
      leaf.checkIssued(intermediate) && intermediate.checkIssued(new X509Certificate(await pebble.root())),
    );
    // Nothing is left at the challenge's name, and nothing more is wanted until two thirds of its life.
    assert.deepEqual((await boxRecords(db)(name.split('.')[0] ?? '', true))?.challenges, []);
    assert.equal(await box.wanted(name, Date.now()), null);
    const renewAtMs =
      Date.parse(leaf.validFrom) + ((Date.parse(leaf.validTo) - Date.parse(leaf.validFrom)) * 2) / 3;
    assert.ok(Math.abs(Date.parse(box.current?.renewAt ?? '') - renewAtMs) < 2000);
    // Kept through a restart; then renewed, with another key, while the old one is still served.
    const again = await BoxCertificate.open(folder);
    assert.deepEqual(again.current, box.current);
    const renewal = await again.wanted(name, renewAtMs + 1000);
    assert.ok(renewal && renewal !== csr);
    assert.equal(again.current?.chain, chain);
    await requestCertificate(db, boxId, renewal, DOMAIN);
    assert.equal(await issueNext(db, issuer, OPTIONS, SILENT), true);
    await again.accept((await sent())[0] ?? '');
    assert.notEqual(again.current?.chain, chain);
    assert.equal(await issueNext(db, issuer, OPTIONS, SILENT), false);
  },
);

test('a CA that fails is asked again later and later, with its reason kept; the limit on orders holds', async (t) => {
  const { db, query, boxId, name } = await rig(t);
  const { csr } = await makeKeyAndCsr(name);
  await requestCertificate(db, boxId, csr, DOMAIN);
  const broken = {
    issue: async () => {
      throw new Error('rateLimited: too many new orders recently');
    },
  };
  let waits: number[] = [];
  for (let attempt = 0; attempt < 4; attempt++) {
    assert.equal(await issueNext(db, broken, OPTIONS, SILENT), true);
    assert.equal(await issueNext(db, broken, OPTIONS, SILENT), false, 'not before its time');
    const [row] = await query(
      'SELECT problem, extract(epoch FROM next_try_at - now())::float AS wait FROM box_certificates',
    );
    assert.match(String(row?.problem), /rateLimited/);
    waits = [...waits, Number(row?.wait)];
    await query('UPDATE box_certificates SET next_try_at = now()');
  }
  assert.ok((waits[0] ?? 0) >= 29 && (waits[3] ?? 0) > 200, waits.join());

  await query(
    "UPDATE box_certificates SET state = 'issued', chain = 'x', issued_at = now(), expires_at = now()",
  );
  const other = await addBox(db);
  const [row] = await query('SELECT name_label FROM boxes WHERE id = $1', [other]);
  const second = await makeKeyAndCsr(`${row?.name_label}.${DOMAIN}`);
  await requestCertificate(db, other, second.csr, DOMAIN);
  assert.equal(await issueNext(db, broken, { ...OPTIONS, perThreeHours: 1 }, SILENT), false);
  assert.equal(await issueNext(db, broken, { ...OPTIONS, perThreeHours: 2 }, SILENT), true);
});

test("a request for another's name, for two names, or for a wildcard is refused; repeats change nothing", async (t) => {
  const { db, query, boxId, name } = await rig(t);
  const ask = async (serverName: string | undefined) =>
    requestCertificate(db, boxId, (await makeKeyAndCsr(serverName)).csr, DOMAIN);
  for (const bad of [`other.${DOMAIN}`, `*.${DOMAIN}`, DOMAIN, `${name}.evil.test`, undefined]) {
    await assert.rejects(ask(bad), { code: 'csr_invalid' }, String(bad));
  }
  await assert.rejects(requestCertificate(db, boxId, 'not pem', DOMAIN), { code: 'csr_invalid' });
  const { csr } = await makeKeyAndCsr(name);
  await requestCertificate(db, boxId, csr, DOMAIN);
  await query("UPDATE box_certificates SET attempts = 5, next_try_at = now() + interval '1 hour'");
  await requestCertificate(db, boxId, csr, DOMAIN);
  assert.equal((await query('SELECT attempts FROM box_certificates'))[0]?.attempts, 5);
  await query('UPDATE boxes SET revoked_at = now() WHERE id = $1', [boxId]);
  await assert.rejects(requestCertificate(db, boxId, csr, DOMAIN), { code: 'forbidden' });
});

test('a box takes only what fits its key and name, and asks with the same key until it is answered', async (t) => {
  const { folder, name } = await rig(t);
  const box = await BoxCertificate.open(folder);
  const csr = await box.wanted(name, null);
  assert.equal(await (await BoxCertificate.open(folder)).wanted(name, null), csr);
  const { createCa, openCa } = await import('#fleet/keys/certificate-authority.ts');
  const foreign = await openCa(await createCa()).issueServer([name]);
  await assert.rejects(box.accept(foreign.certificatePem), { code: 'certificate_invalid' });
  await assert.rejects(box.accept('nonsense'), { code: 'certificate_invalid' });
  assert.equal(box.current, null);
  assert.equal(await box.wanted(null, null), null);
});
