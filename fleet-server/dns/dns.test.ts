import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { DecodedPacket } from 'dns-packet';
import packet from 'dns-packet';
import fc from 'fast-check';
import { pino } from 'pino';
import { needsTool } from '#test/support/tools.ts';
import { readQuery } from './exchange.ts';
import { networkOf, RateLimit } from './rate-limit.ts';
import { DnsServer } from './server.ts';
import type { BoxRecords, ZoneOptions } from './zone.ts';
import { answer } from './zone.ts';

const run = promisify(execFile);
const ZONE: ZoneOptions = {
  domain: 'boxes.example.net',
  nameServers: [
    { name: 'ns1.boxes.example.net', a: ['192.0.2.1'], aaaa: ['2001:db8::1'] },
    { name: 'ns2.example.org', a: [], aaaa: [] },
  ],
  contact: 'hostmaster.example.net',
  issuer: 'letsencrypt.org',
  ttlS: 30,
};
const BOXES: Record<string, BoxRecords> = {
  babc: { a: ['198.51.100.7'], aaaa: ['2001:db8::7'], challenges: ['first', 'second'] },
  bmany: {
    a: Array.from({ length: 100 }, (_, n) => `198.51.100.${n + 1}`),
    aaaa: [],
    challenges: [],
  },
};

async function start(t: TestContext, limits = {}): Promise<number> {
  const server = await DnsServer.start(
    {
      answer: (question) => answer(ZONE, question, 77, async (label) => BOXES[label] ?? null),
      log: pino({ level: 'silent' }),
      limits,
    },
    '127.0.0.1',
    0,
  );
  t.after(() => server.close());
  return server.port;
}

async function ask(port: number, bytes: Buffer): Promise<DecodedPacket & { raw: Buffer }> {
  const socket = dgram.createSocket('udp4');
  try {
    socket.send(bytes, port, '127.0.0.1');
    const [raw] = (await once(socket, 'message', { signal: AbortSignal.timeout(5_000) })) as [Buffer];
    return Object.assign(packet.decode(raw), { raw });
  } finally {
    socket.close();
  }
}

function query(name: string, type: string, over: Partial<packet.Packet> = {}): Buffer {
  return packet.encode({ type: 'query', id: 7, questions: [{ name, type: type as 'A' }], ...over });
}

test(
  'dig, a resolver that is not ours, gets addresses, apex, challenge, over UDP and TCP',
  needsTool('dig'),
  async (t) => {
    const port = await start(t);
    const dig = async (...question: string[]) =>
      (await run('dig', ['@127.0.0.1', '-p', String(port), '+norecurse', '+tries=1', ...question])).stdout;
    for (const transport of ['+notcp', '+tcp']) {
      const short = async (...question: string[]) =>
        (await dig(transport, '+short', ...question)).trim().split('\n').sort();
      assert.deepEqual(await short('babc.boxes.example.net', 'A'), ['198.51.100.7']);
      assert.deepEqual(await short('babc.boxes.example.net', 'AAAA'), ['2001:db8::7']);
      assert.deepEqual(await short('_acme-challenge.babc.boxes.example.net', 'TXT'), ['"first"', '"second"']);
      assert.deepEqual(await short('boxes.example.net', 'NS'), [
        'ns1.boxes.example.net.',
        'ns2.example.org.',
      ]);
      assert.deepEqual(await short('boxes.example.net', 'CAA'), [
        '0 issue "letsencrypt.org"',
        '0 issuewild ";"',
      ]);
      assert.deepEqual(await short('boxes.example.net', 'SOA'), [
        'ns1.boxes.example.net. hostmaster.example.net. 77 3600 600 604800 30',
      ]);
      assert.equal((await short('bmany.boxes.example.net', 'A')).length, 100);
    }
    assert.match(
      await dig('nobody.boxes.example.net', 'A'),
      /status: NXDOMAIN[\s\S]*flags: qr aa;[\s\S]*SOA/,
    );
    assert.match(await dig('babc.boxes.example.net', 'MX'), /status: NOERROR[\s\S]*ANSWER: 0[\s\S]*SOA/);
    // Types that came after this was written: browsers ask for HTTPS records.
    assert.match(await dig('babc.boxes.example.net', 'TYPE65'), /status: NOERROR[\s\S]*ANSWER: 0/);
    assert.match(await dig('babc.boxes.example.net', 'TYPE65280'), /status: NOERROR[\s\S]*ANSWER: 0/);
    assert.match(await dig('_acme-challenge.bmany.boxes.example.net', 'TXT'), /status: NXDOMAIN/);
    assert.match(await dig('example.net', 'A'), /status: REFUSED/);
    assert.match(await dig('xboxes.example.net', 'A'), /status: REFUSED/);
    assert.match(await dig('boxes.example.net', 'ANY'), /status: REFUSED/);
    // Over UDP too much is said to be too much; dig then comes by TCP by itself.
    assert.match(await dig('+ignore', 'bmany.boxes.example.net', 'A'), /flags: qr aa tc;/);
  },
);

test('a name comes back in the letters it was asked in, and nothing is asked of us twice', async (t) => {
  const port = await start(t);
  const found = await ask(port, query('bAbC.BoXes.example.NET', 'A'));
  assert.equal(found.questions?.[0]?.name, 'bAbC.BoXes.example.NET');
  assert.equal(found.answers?.[0]?.name, 'bAbC.BoXes.example.NET');
  assert.equal(found.flag_aa, true);
  assert.equal(found.flag_ra, false);
  const two = await ask(
    port,
    query('a', 'A', { questions: [1, 2].map(() => ({ name: 'babc.boxes.example.net', type: 'A' })) }),
  );
  assert.equal(two.raw.readUInt16BE(2) & 15, 1);
  const update = query('boxes.example.net', 'SOA');
  update.writeUInt16BE(5 << 11, 2);
  assert.equal((await ask(port, update)).raw.readUInt16BE(2) & 15, 4);
});

test('answers are not answered, and garbage gets an error no longer than itself', () => {
  const response = packet.encode({ type: 'response', id: 1, questions: [{ name: 'a', type: 'A' }] });
  assert.equal(readQuery(response, false).kind, 'drop');
  assert.equal(readQuery(Buffer.alloc(11), false).kind, 'drop');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1300 }), fc.boolean(), (bytes, overTcp) => {
      const read = readQuery(Buffer.from(bytes), overTcp);
      if (read.kind === 'refuse') assert.ok(read.bytes.length <= bytes.length);
    }),
    { numRuns: 3000 },
  );
  // A question that is right but for some bytes.
  const good = query('_acme-challenge.babc.boxes.example.net', 'TXT');
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 }), (changes) => {
      const bytes = Buffer.from(good);
      for (const [at, value] of changes) bytes[at] = value;
      readQuery(bytes, false);
    }),
    { numRuns: 3000 },
  );
});

test('a flood from one network is answered at the rate, then with truncated answers, and others do not notice', () => {
  let now = 0;
  const limit = new RateLimit({ perSecond: 10, burst: 20, networks: 100 }, () => now);
  const verdicts = Array.from({ length: 100 }, (_, n) => limit.decide(`203.0.113.${n}`));
  assert.equal(verdicts.filter((verdict) => verdict === 'answer').length, 20);
  assert.equal(verdicts.filter((verdict) => verdict === 'truncate').length, 40);
  assert.equal(limit.decide('198.51.100.1'), 'answer');
  now = 1000;
  assert.equal(limit.decide('203.0.113.9'), 'answer');
  assert.equal(networkOf('2001:db8:1:2ff::9'), networkOf('2001:db8:1:200:1:2:3:4'));
  assert.notEqual(networkOf('2001:db8:1:2ff::9'), networkOf('2001:db8:1:300::9'));
  assert.equal(networkOf('::ffff:192.0.2.77'), '192.0.2');
  for (let n = 0; n < 1000; n++) limit.decide(`10.${n >> 8}.${n & 255}.1`);
  assert.equal(limit.decide('203.0.113.9'), 'answer', 'the oldest network was forgotten: memory is bounded');
});

test('TCP: a client that sends nonsense, sends nothing, or opens many connections is cut', async (t) => {
  const port = await start(t, { tcpIdleMs: 200, tcpConnectionsPerClient: 2 });
  const closed = (socket: net.Socket) =>
    new Promise<void>((resolve) => socket.on('error', () => undefined).once('close', () => resolve()));
  const nonsense = net.connect(port, '127.0.0.1', () => nonsense.write(Buffer.from([0xff, 0xff, 1])));
  await closed(nonsense);
  const silent = [1, 2].map(() => net.connect(port, '127.0.0.1'));
  await Promise.all(silent.map((socket) => once(socket, 'connect')));
  await closed(net.connect(port, '127.0.0.1').resume());
  await Promise.all(silent.map((socket) => closed(socket.resume())));
  // Several questions on one connection, cut anywhere.
  const message = query('babc.boxes.example.net', 'A');
  const framed = Buffer.concat([Buffer.from([0, message.length]), message]);
  const socket = net.connect(port, '127.0.0.1');
  const bytes = Buffer.concat([framed, framed]);
  socket.write(bytes.subarray(0, 17));
  setTimeout(() => socket.write(bytes.subarray(17)), 20);
  let got = Buffer.alloc(0);
  for await (const piece of socket) {
    got = Buffer.concat([got, piece as Buffer]);
    if (got.length >= 2 && got.length === 2 * (2 + got.readUInt16BE(0))) break;
  }
  assert.equal(packet.decode(got.subarray(2)).answers?.length, 1);
});
