import assert from 'node:assert/strict';
import { KeyObject, webcrypto, X509Certificate } from 'node:crypto';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { Extension } from '@peculiar/x509';
import { verifyChainAt } from './chain.ts';
import { postJson } from './post-json.ts';
import { loadX509 } from './x509.ts';

const x509 = await loadX509();
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const NAME = 'fleet.example.org';
const DAY_MS = 86_400_000;
/** What the clocks that are right say. */
const NOW_MS = Date.UTC(2026, 5, 1);

interface Party {
  name: string;
  keys: CryptoKeyPair;
  certificate: X509Certificate;
}

interface Wish {
  name: string;
  by: Party | null;
  ca?: boolean;
  pathLength?: number;
  from?: number;
  to?: number;
  host?: string;
  uses?: string[];
  more?: Extension[];
}

async function make({
  name,
  by,
  ca = false,
  pathLength,
  host = NAME,
  uses,
  more = [],
  ...when
}: Wish): Promise<Party> {
  const keys = (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as CryptoKeyPair;
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: Math.floor(Math.random() * 1e9)
      .toString(16)
      .padStart(10, '1'),
    subject: `CN=${name}`,
    issuer: by ? by.certificate.subject.replace('\n', ', ') : `CN=${name}`,
    notBefore: new Date(when.from ?? NOW_MS - 30 * DAY_MS),
    notAfter: new Date(when.to ?? NOW_MS + 30 * DAY_MS),
    publicKey: keys.publicKey,
    signingKey: (by?.keys ?? keys).privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(ca, pathLength, true),
      new x509.KeyUsagesExtension(
        ca ? x509.KeyUsageFlags.keyCertSign : x509.KeyUsageFlags.digitalSignature,
        true,
      ),
      ...(ca ? [] : [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: host }])]),
      ...(ca && !uses
        ? []
        : [new x509.ExtendedKeyUsageExtension(uses ?? [x509.ExtendedKeyUsage.serverAuth])]),
      ...more,
    ],
  });
  return { name, keys, certificate: new X509Certificate(Buffer.from(made.rawData)) };
}

const root = await make({
  name: 'root',
  by: null,
  ca: true,
  from: Date.UTC(2020, 0, 1),
  to: Date.UTC(2040, 0, 1),
});
const middle = await make({ name: 'middle', by: root, ca: true, pathLength: 0 });
const good = await make({ name: 'server', by: middle });
const trusts = (chain: Party[], roots = [root], atMs = NOW_MS, host = NAME) =>
  verifyChainAt(
    chain.map(({ certificate }) => certificate),
    host,
    atMs,
    roots.map(({ certificate }) => certificate),
  );

test('a chain to a trusted root is trusted at a moment when all of it is valid', async () => {
  await trusts([good, middle]);
  // In whatever order, and with what does not belong to it.
  await trusts([good, root, middle]);
});

test('everything that is wrong with a chain is seen, whatever the clock says', async () => {
  const other = await make({ name: 'root', by: null, ca: true });
  const expired = await make({ name: 'server', by: middle, to: NOW_MS - DAY_MS });
  const early = await make({ name: 'server', by: middle, from: NOW_MS + DAY_MS });
  const oldMiddle = await make({ name: 'middle', by: root, ca: true, to: NOW_MS - DAY_MS });
  const underOld = await make({ name: 'server', by: oldMiddle });
  const deeper = await make({ name: 'deeper', by: middle, ca: true });
  const tooDeep = await make({ name: 'server', by: deeper });
  const underServer = await make({ name: 'server', by: good });
  const client = await make({ name: 'server', by: middle, uses: [x509.ExtendedKeyUsage.clientAuth] });
  const mailCa = await make({
    name: 'mail',
    by: root,
    ca: true,
    uses: [x509.ExtendedKeyUsage.emailProtection],
  });
  const underMail = await make({ name: 'server', by: mailCa });
  const narrow = await make({
    name: 'narrow',
    by: root,
    ca: true,
    // Name constraints, of whatever kind.
    more: [new x509.Extension('2.5.29.30', true, Buffer.from('3000', 'hex'))],
  });
  const underNarrow = await make({ name: 'server', by: narrow });
  const odd = await make({
    name: 'server',
    by: middle,
    more: [new x509.Extension('1.2.3.4.5', true, Buffer.from('0500', 'hex'))],
  });
  const cases: [string, () => Promise<void>, RegExp][] = [
    ['nothing', () => trusts([]), /no certificate/],
    ['another root of the same name', () => trusts([good, middle], [other]), /nobody this box trusts/],
    ['the middle is missing', () => trusts([good]), /nobody this box trusts/],
    ['another name', () => trusts([good, middle], [root], NOW_MS, 'evil.example.org'), /not for evil/],
    ['an address', () => trusts([good, middle], [root], NOW_MS, '192.0.2.1'), /not for 192/],
    ['expired', () => trusts([expired, middle]), /expired/],
    ['not yet valid', () => trusts([early, middle]), /not valid yet/],
    ['its CA expired', () => trusts([underOld, oldMiddle]), /expired/],
    ['beyond the path length', () => trusts([tooDeep, deeper, middle]), /longer than its CA allows/],
    ['signed by a server', () => trusts([underServer, good, middle]), /no CA|nobody this box trusts/],
    ["a client's", () => trusts([client, middle]), /not a server's/],
    ['a CA for mail', () => trusts([underMail, mailCa]), /may not sign for servers/],
    ['name constraints', () => trusts([underNarrow, narrow]), /cannot check/],
    ['an unknown critical extension', () => trusts([odd, middle]), /cannot check/],
    ['a CA itself', () => trusts([middle]), /CA certificate/],
  ];
  for (const [what, result, why] of cases) await assert.rejects(result, why, what);
});

/** An https server with that chain, and what it was told. */
async function fleet(t: TestContext, chain: Party[], date: Date | null) {
  const told: string[] = [];
  const [own] = chain;
  const server = https.createServer(
    {
      cert: chain.map(({ certificate }) => certificate.toString()).join(''),
      key: KeyObject.from(own?.keys.privateKey as webcrypto.CryptoKey).export({
        type: 'pkcs8',
        format: 'pem',
      }),
    },
    (request, response) => {
      if (request.method === 'POST') told.push(request.url ?? '');
      response.sendDate = false;
      if (date) response.setHeader('date', date.toUTCString());
      response.end('{"ok":true}');
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `https://localhost:${(server.address() as AddressInfo).port}/enrol`, told };
}

test('a box with its clock at 1970 posts to the right server, and not a byte to any other', async (t) => {
  const here = await make({ name: 'server', by: middle, host: 'localhost' });
  const roots = [root.certificate];
  const post = (url: string, trusted = roots) =>
    postJson(
      url,
      { claimCode: 'secret' },
      { signal: new AbortController().signal, nowMs: 0, roots: trusted },
    );
  const right = await fleet(t, [here, middle], new Date(NOW_MS));
  assert.deepEqual(await post(right.url), { status: 200, body: { ok: true } });
  assert.deepEqual(right.told, ['/enrol']);

  const stranger = await make({ name: 'root', by: null, ca: true });
  const forged = await make({ name: 'server', by: stranger, host: 'localhost' });
  for (const [chain, date, why] of [
    [[forged], new Date(NOW_MS), /nobody this box trusts/],
    [[good, middle], new Date(NOW_MS), /not for localhost/],
    // Says another time, at which its certificate would have been good: the floor is when agents began.
    [[here, middle], new Date(Date.UTC(2024, 0, 1)), /does not tell the time/],
    [[here, middle], new Date(NOW_MS + 365 * DAY_MS), /expired/],
    [[here, middle], null, /does not tell the time/],
  ] as const) {
    const wrong = await fleet(t, [...chain], date);
    await assert.rejects(post(wrong.url), why);
    assert.deepEqual(wrong.told, []);
  }
});
