import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readOptions } from '#agent/options.ts';
import { Clock } from '#agent/time/clock.ts';
import { Shaper } from '#shaping/shaper.ts';
import { Client } from '../clients.ts';
import { ServingMeter } from '../meter.ts';
import type { ObjectBody, Reply } from '../reply.ts';
import { AGE_0 } from '../reply.ts';
import { workersFor } from './count.ts';
import type { Connection } from './jobs.ts';
import { Jobs } from './jobs.ts';
import type { FromWorker, ToWorker } from './messages.ts';
import { RemoteLine } from './remote-line.ts';
import { ReplyReader, ReplyWriter } from './wire-reply.ts';

const GIB = 2 ** 30;

test('workers: as many as cores and memory allow, and few', () => {
  assert.equal(workersFor(1, 8 * GIB), 1);
  assert.equal(workersFor(4, 0.48 * GIB), 1, 'a board of 512 MB serves alone');
  assert.equal(workersFor(4, 0.97 * GIB), 2);
  assert.equal(workersFor(4, 2 * GIB), 4);
  assert.equal(workersFor(64, 256 * GIB), 4);
});

test('workers: the option', () => {
  const countOf = (given: string) => {
    const read = readOptions({ HEARTH_STATE_DIR: '/s', HEARTH_WORKERS: given });
    return 'options' in read ? read.options.workers : read.faults;
  };
  assert.equal(countOf(''), 1);
  assert.equal(countOf('3'), 3);
  assert.ok(Number(countOf('auto')) >= 1);
  for (const bad of ['0', '17', '-1', '2.5', 'many', '007'])
    assert.deepEqual(countOf(bad), ['HEARTH_WORKERS: must be a number from 1 to 16, or auto'], bad);
});

function bodyOf(lengthBytes: number, maxBytes = lengthBytes): ObjectBody {
  const entitlement = {
    token: 't',
    siteId: 's',
    prefix: '/',
    expiresAtMs: 0,
    maxBytes,
    takenBytes: 0,
    sentBytes: 0,
  };
  const source = { key: 'k', sha256: 'k', sizeBytes: lengthBytes };
  const parts = [{ before: Buffer.from('--x\r\n'), start: 0, end: lengthBytes }];
  const instead = () => ({ status: 302, fixed: [], own: [], body: null, close: false });
  return {
    kind: 'object',
    entitlement,
    assetId: 'a',
    source,
    parts,
    closing: Buffer.from('--x--'),
    lengthBytes,
    instead,
  };
}

test('workers: a reply comes through as it was, its lists of headers told once', () => {
  const said: ToWorker[] = [];
  const writer = new ReplyWriter((message) => said.push(message));
  const reader = new ReplyReader();
  const fixed = ['ETag', '"x"'];
  const body = bodyOf(10);
  const { entitlement, assetId, instead } = body;
  const replies: Reply[] = [
    { status: 206, fixed, own: AGE_0, body, close: false },
    {
      status: 403,
      fixed,
      own: ['Content-Length', '3'],
      body: { kind: 'text', bytes: Buffer.from('né') },
      close: true,
    },
    { status: 304, fixed: [], own: [], body: null, close: false },
  ];
  for (const reply of replies) {
    const written = JSON.parse(JSON.stringify(writer.write(reply)));
    for (const message of said.splice(0)) if (message[0] === 'list') reader.learn(message[1], message[2]);
    const read = reader.read(written, () => ({ entitlement, assetId, instead }));
    assert.deepEqual(read, reply);
    assert.equal(read.own === AGE_0, reply.own === AGE_0, 'the same array, by which heads are kept');
  }
  writer.write({ status: 200, fixed, own: AGE_0, body: null, close: false });
  assert.deepEqual(said, [], 'what it knows it is not told again');
});

function books() {
  const meter = new ServingMeter(new Clock());
  const told: [number, number][] = [];
  const up = new Shaper();
  const jobs = new Jobs({
    meter,
    up,
    onDelivered: (_entitlement, _asset, bytes, requests) => told.push([bytes, requests]),
  });
  const visitor = {
    client: new Client('1.2.3.4', 0, 0),
    standing: 'served' as const,
    reset: () => undefined,
  };
  const connection: Connection = {
    id: 1,
    admitted: { visitor, leave: () => undefined },
    grantedBytes: 0,
    jobs: 0,
  };
  return { meter, told, jobs, connection };
}

test('workers: what is promised is taken from the token at once, and what is not delivered given back', () => {
  const { meter, told, jobs, connection } = books();
  const body = bodyOf(1_000);
  assert.equal(jobs.begin(1, connection, body), 1_000, 'and granted, where the line is free');
  assert.deepEqual([body.entitlement.takenBytes, body.entitlement.sentBytes, meter.responses], [1_000, 0, 1]);
  jobs.told(1, 300, 0);
  jobs.told(1, 100, 1);
  assert.deepEqual([body.entitlement.takenBytes, body.entitlement.sentBytes, meter.responses], [400, 400, 0]);
  assert.deepEqual(told, [
    [300, 0],
    [100, 1],
  ]);
  jobs.told(1, 500, 1);
  assert.equal(body.entitlement.sentBytes, 400, 'what has ended says nothing any more');
  jobs.begin(2, connection, body);
  assert.equal(jobs.forgo(2)?.body, body);
  assert.equal(body.entitlement.takenBytes, 400);
  assert.equal(jobs.forgo(2), null);
});

test('workers: of one that dies, all that it may have sent is used up, and none of it claimed', () => {
  const { meter, told, jobs, connection } = books();
  const body = bodyOf(10 * 2 ** 20);
  const granted = jobs.begin(1, connection, body);
  assert.equal(granted, 256 * 1024);
  connection.grantedBytes += 100_000;
  jobs.told(1, 50_000, 0);
  jobs.lose();
  assert.equal(body.entitlement.sentBytes, granted + 100_000);
  assert.equal(body.entitlement.takenBytes, granted + 100_000);
  assert.equal(meter.responses, 0);
  assert.deepEqual(told, [
    [50_000, 0],
    [0, 1],
  ]);
});

test('workers: the line: credit first, then a wait in the main process; what nobody needs goes back', () => {
  const said: FromWorker[] = [];
  const line = new RemoteLine(
    (message) => said.push(message),
    () => undefined,
  );
  const never = () => assert.fail('nothing is waited for');
  line.begin(7, 1_000);
  assert.equal(line.ask('7', 600, never), 600);
  assert.equal(line.ask('7', 600, never), 400);
  let given = 0;
  const wait = line.ask('7', 600, (bytes) => {
    given = bytes;
  });
  assert.equal(typeof wait, 'function');
  assert.deepEqual(said.splice(0), [['want', 1, 7, 600]]);
  line.granted(1, 500);
  assert.equal(given, 500);
  const left = line.ask('7', 600, never);
  if (typeof left === 'function') left();
  assert.deepEqual(said.splice(0), [
    ['want', 2, 7, 600],
    ['unwant', 2],
  ]);
  // The answer had left already.
  line.granted(2, 600);
  line.begin(7, 50);
  line.end(7);
  line.end(7);
  line.spend(30);
  line.tell();
  assert.deepEqual(said, [['line', 30, 650]]);
});

test('workers: a wait for the line can be given up', async () => {
  const line = new RemoteLine(
    () => undefined,
    () => undefined,
  );
  const gone = new AbortController();
  const waited = line.take('1', 10, gone.signal);
  gone.abort();
  assert.equal(await waited, 0);
  const other = line.take('1', 10);
  line.granted(2, 7);
  assert.equal(await other, 7);
});
