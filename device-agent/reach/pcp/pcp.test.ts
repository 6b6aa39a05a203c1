import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { Wanted } from '../mapping.ts';
import { MappingError } from '../mapping.ts';
import { NatPmpMapper } from '../natpmp/natpmp.ts';
import { EpochWatch } from './epoch.ts';
import { PcpMapper } from './pcp.ts';
import { natPmpWaits, pcpWaits } from './timers.ts';

const WANTED: Wanted = {
  gateway: { family: 'ipv4', address: '127.0.0.1', local: '127.0.0.1' },
  internalPort: 7090,
  externalPort: 7090,
  lifetimeS: 600,
};
const now = () => performance.now();

/** A router on loopback that answers as the test says; a PCP server that RFC 6887 section 11.3 would recognise. */
async function router(t: TestContext, answer: (packet: Buffer, count: number) => Buffer[]) {
  const socket = createSocket('udp4');
  const asked: Buffer[] = [];
  socket.on('message', (packet, from) => {
    asked.push(packet);
    for (const one of answer(packet, asked.length)) socket.send(one, from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  return { asked, port: socket.address().port };
}

function granted(asked: Buffer, change: (packet: Buffer) => void = () => undefined): Buffer {
  const packet = Buffer.alloc(60);
  asked.copy(packet);
  packet[1] = 0x81;
  packet.fill(0, 8, 24);
  packet.writeUInt32BE(100, 8);
  packet.fill(0, 44, 60);
  packet.fill(0xff, 54, 56);
  packet.set([8, 8, 4, 4], 56);
  change(packet);
  return packet;
}

async function refused(work: Promise<unknown>): Promise<MappingError> {
  const error = await work.then(
    () => null,
    (error: unknown) => error,
  );
  assert.ok(error instanceof MappingError, String(error));
  return error;
}

test('pcp: a lost request is sent again; lies and garbage before the answer are passed over', async (t) => {
  const { asked, port } = await router(t, (packet, count) =>
    count === 1
      ? []
      : [
          Buffer.alloc(1),
          granted(packet, (lie) => lie.fill(7, 24, 36)),
          granted(packet, (lie) => lie.writeUInt16BE(22, 40)),
          granted(packet),
        ],
  );
  const mapper = new PcpMapper({ secret: Buffer.from('box'), now, port, random: () => 0, giveUpMs: 8_000 });
  const mapped = await mapper.map(WANTED, AbortSignal.timeout(20_000));
  assert.deepEqual([mapped.externalAddress, mapped.externalPort, mapped.lifetimeS], ['8.8.4.4', 7090, 600]);
  assert.equal(asked.length, 2);
  assert.deepEqual(asked[0], asked[1], 'the same request (section 8.1.1)');
});

test('pcp: the nonce belongs to the box and outlives its processes; another box has another', async (t) => {
  const { asked, port } = await router(t, (packet) => [granted(packet)]);
  const nonceOf = async (secret: string) => {
    const mapper = new PcpMapper({ secret: Buffer.from(secret), now, port });
    await mapper.map(WANTED, AbortSignal.timeout(20_000));
    return asked.at(-1)?.subarray(24, 36).toString('hex');
  };
  const first = await nonceOf('one');
  assert.equal(await nonceOf('one'), first);
  assert.notEqual(await nonceOf('two'), first);
});

test('pcp: what routers say no with', async (t) => {
  const results = [1, 2, 7, 8, 10, 11, 3, 200];
  const { port } = await router(t, (packet, count) => [
    granted(packet, (no) => {
      no[3] = results[count - 1] ?? 0;
      no.writeUInt32BE(2 ** 32 - 1, 4);
    }),
  ]);
  const mapper = new PcpMapper({ secret: Buffer.from('box'), now, port });
  const problems = [];
  for (const _ of results) {
    const error = await refused(mapper.map(WANTED, AbortSignal.timeout(20_000)));
    problems.push(error.problem);
    assert.ok((error.retryAfterMs ?? 0) <= 1_800_000, 'a router cannot silence us for ever');
  }
  const [unsupported, denied, wan, full, quota, taken, ...others] = problems;
  assert.deepEqual(
    [unsupported, denied, wan, full, quota, taken],
    ['unsupported', 'not_authorized', 'no_wan', 'router_full', 'router_full', 'port_taken'],
  );
  assert.deepEqual(others, ['router_error', 'router_error']);
});

test('pcp: another port than the one that must be is given back', async (t) => {
  const { asked, port } = await router(t, (packet) => [
    granted(packet, (other) => other.writeUInt16BE(9999, 42)),
  ]);
  const mapper = new PcpMapper({ secret: Buffer.from('box'), now, port });
  const error = await refused(mapper.map({ ...WANTED, exact: true }, AbortSignal.timeout(20_000)));
  assert.equal(error.problem, 'port_taken');
  assert.equal(asked[0]?.[60], 2, 'PREFER_FAILURE was asked for');
  assert.equal(asked[1]?.readUInt32BE(4), 0, 'a lifetime of 0 deletes');
});

test('pcp, nat-pmp: a closed port is told at once, silence after the last sending, an abort ends it', async (t) => {
  const silent = await router(t, () => []);
  const closed = createSocket('udp4');
  closed.bind(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address();
  closed.close();
  const pcp = (port: number) => new PcpMapper({ secret: Buffer.from('box'), now, port, giveUpMs: 300 });
  assert.equal((await refused(pcp(port).map(WANTED, AbortSignal.timeout(20_000)))).problem, 'not_offered');
  assert.equal(
    (await refused(pcp(silent.port).map(WANTED, AbortSignal.timeout(20_000)))).problem,
    'no_answer',
  );
  const natpmp = new NatPmpMapper({ now, port: silent.port, sendings: 2 });
  assert.equal((await refused(natpmp.map(WANTED, AbortSignal.timeout(20_000)))).problem, 'no_answer');
  const stop = new AbortController();
  const running = new PcpMapper({ secret: Buffer.from('box'), now, port: silent.port }).map(
    WANTED,
    stop.signal,
  );
  stop.abort();
  await assert.rejects(running, { name: 'AbortError' });
});

test('pcp: a router that answers without end is not listened to without end', async (t) => {
  const { port } = await router(t, () => Array.from({ length: 100 }, () => Buffer.alloc(10)));
  const mapper = new PcpMapper({ secret: Buffer.from('box'), now, port, giveUpMs: 8_000 });
  assert.equal((await refused(mapper.map(WANTED, AbortSignal.timeout(20_000)))).problem, 'bad_answer');
});

test('pcp: waits double from 3 s with a tenth of jitter, and end when they should', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2_000_000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (end, random) => {
        const waits = pcpWaits(end, () => random);
        const sum = waits.reduce((total, wait) => total + wait, 0);
        assert.ok(Math.abs(sum - end) < 1);
        const first = waits[0] ?? 0;
        assert.ok(waits.length === 1 || (first >= 2_700 && first <= 3_300));
        for (const [index, wait] of waits.slice(0, -1).entries()) {
          const next = waits[index + 1] ?? 0;
          assert.ok(
            index + 1 === waits.length - 1 || (next >= wait * 1.79 && next <= wait * 2.21) || next > 900_000,
          );
        }
      },
    ),
  );
  assert.deepEqual(natPmpWaits(4), [250, 500, 1000, 2000]);
});

test('epoch: a count that goes on as our clock does is the same router; one that does not has been restarted', () => {
  for (const rule of ['pcp', 'natpmp'] as const) {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 1e6 }), fc.integer({ min: 0, max: 1e6 }), (start, elapsed) => {
        const steady = new EpochWatch(rule);
        assert.equal(steady.lost(start, 0), false, 'the first says nothing');
        assert.equal(steady.lost(start + elapsed, elapsed * 1000), false);
        const restarted = new EpochWatch(rule);
        restarted.lost(start, 0);
        const since = Math.min(elapsed, 5);
        if (since < start + (elapsed * 7) / 8 - 3) assert.equal(restarted.lost(since, elapsed * 1000), true);
      }),
    );
  }
  const jumped = new EpochWatch('pcp');
  jumped.lost(100, 0);
  assert.equal(jumped.lost(500, 10_000), true, 'RFC 6887 section 8.5: too fast is as wrong as backwards');
});
