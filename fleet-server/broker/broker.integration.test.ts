import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import {
  type BoxConnection,
  type EnrolledBox,
  type FleetFixture,
  fleetFixture,
  newKeys,
  now,
  until,
} from '#fleet/testing/fleet-fixture.ts';
import { dialProof } from '#protocol/dial-back.ts';
import { boxDetailSchema, claimSchema } from '#protocol/http-fleet.ts';
import { newId } from '#protocol/ids.ts';
import { type Heartbeat, parseDown, type UpKind } from '#protocol/messages.ts';
import { openCommand } from '#protocol/signing.ts';
import { downFilter, downTopic, upTopic } from '#protocol/topics.ts';

let fleet: FleetFixture;
before(async () => {
  fleet = await fleetFixture();
});
after(() => fleet?.close());

const detail = (boxId: string) => fleet.ask('GET', `/boxes/${boxId}`, undefined, boxDetailSchema);
const heartbeat = (box: EnrolledBox, contentUrl: string): Heartbeat => ({
  v: 1,
  at: now(),
  bootId: box.bootId,
  uptimeMs: 5,
  contentUrl,
  serving: { connections: 3, bytesPerSecond: 0, bytesTotal: 0 },
  store: { state: 'ok', totalBytes: 10, freeBytes: 5, usedBytes: 1, objects: 0 },
  rssBytes: 1,
  load: 0,
  refusedMessages: 0,
});
const configured = (link: BoxConnection) =>
  until('configure', () => link.commands().find((command) => command.body.type === 'configure'));

test('a box enrols, says hello and is configured by a signed command', async () => {
  const box = await fleet.enrol();
  const link = await box.connect();
  await link.hello();
  const command = await configured(link);
  assert.ok(command.body.type === 'configure' && command.body.heartbeatIntervalMs === 1000);
  const [payload] = link.messages('command');
  assert.ok(payload);
  openCommand(parseDown('command', payload), createPublicKey(box.identity.commandKey), box.id, Date.now());
  assert.equal((await detail(box.id)).state, 'online');
  await until('earnings', () => link.messages('earnings').length > 0);
  await link.close();
  await until('offline', async () => (await detail(box.id)).state === 'offline');
});

test('a claim code lets one key in: again after a lost answer, but no other', async () => {
  const { code } = await fleet.ask('POST', '/claims', { label: 'Attic' }, claimSchema);
  const keys = await newKeys();
  const first = await fleet.enrol(code, keys);
  assert.equal(first.identity.label, 'Attic');
  assert.equal((await fleet.enrol(code, keys)).id, first.id);
  await assert.rejects(fleet.enrol(code), /claim_invalid.*used by another/);
  await assert.rejects(fleet.enrol('0000-0000-0000'), /claim_invalid/);
});

test('who is not the box in the certificate is turned away', async () => {
  const [box, other] = [await fleet.enrol(), await fleet.enrol()];
  await assert.rejects(box.connect(other.id), /Not authorized/);
  await assert.rejects(box.connect('box-0000000000000000'), /Not authorized/);
});

test('a revoked box is cut off and stays out', async () => {
  const box = await fleet.enrol();
  const link = await box.connect();
  await link.hello();
  await configured(link);
  await fleet.ask('DELETE', `/boxes/${box.id}`, undefined, z.null());
  await until('cut off', () => link.closed);
  await assert.rejects(box.connect(), /Not authorized/);
});

test('a revoked box is cut off even if nobody heard of it at that moment', async () => {
  const box = await fleet.enrol();
  const link = await box.connect();
  await link.hello();
  await configured(link);
  // As a revocation is while the listening connection is lost; a new one makes everything be looked at again.
  await fleet.database.query('UPDATE boxes SET revoked_at = now() WHERE id = $1', [box.id]);
  const ended = await fleet.database.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hearth listen' AND datname = current_database()",
  );
  assert.equal(ended.length, 1);
  await until('cut off', () => link.closed);
});

test('a box can neither read nor write what belongs to another', async () => {
  const [box, victim] = [await fleet.enrol(), await fleet.enrol()];
  const victimLink = await victim.connect();
  await victimLink.hello();
  await configured(victimLink);
  const link = await box.connect();
  for (const filter of [downFilter(victim.id), '#', 'hearth/#', upTopic(victim.id, 'hello')]) {
    const [granted] = await link.client.subscribeAsync(filter, { qos: 1 }).catch(() => [{ qos: 128 }]);
    assert.equal(granted?.qos, 128, filter);
  }
  const count = victimLink.received.length;
  link.client.publish(downTopic(victim.id, 'command'), '{}', { qos: 1 });
  await until('cut off', () => link.closed);
  const again = await box.connect();
  again.client.publish(upTopic(victim.id, 'offline'), JSON.stringify({ v: 1, bootId: victim.bootId }), {
    qos: 1,
  });
  await until('cut off again', () => again.closed);
  assert.equal((await detail(victim.id)).state, 'online');
  assert.equal(victimLink.received.length, count);
  await victimLink.close();
});

test('nothing a box publishes reaches another box, or the workings of the broker', async () => {
  const [box, victim] = [await fleet.enrol(), await fleet.enrol()];
  const victimLink = await victim.connect();
  await victimLink.hello();
  await until('earnings', () => victimLink.messages('earnings').length > 0);
  const count = victimLink.received.length;
  const tries: [string, string, boolean][] = [
    // What is retained, of an unknown kind or too large is refused; it must not be passed on for that.
    [downTopic(victim.id, 'earnings'), '{}', true],
    [`hearth/v1/boxes/${victim.id}/down/nonsense`, '{}', false],
    [downTopic(victim.id, 'earnings'), ' '.repeat(300 * 1024), false],
    // How aedes tells other brokers of a new client: they end the old connection.
    ['$SYS/x/new/clients', victim.id, false],
    ['$SYS/x/heartbeat', 'a broker', false],
  ];
  for (const [topic, payload, retain] of tries) {
    const link = await box.connect();
    link.client.publish(topic, payload, { qos: 1, retain });
    await until(`cut off for ${topic}`, () => link.closed);
  }
  const kept = await box.connect();
  await kept.client.publishAsync(upTopic(box.id, 'hello'), '{}', { qos: 1, retain: true });
  assert.equal(kept.closed, false);
  await kept.close();
  assert.equal(victimLink.closed, false);
  assert.equal(victimLink.received.length, count);
  await victimLink.close();
});

test('malformed messages are refused and counted, and the link stands', async () => {
  const box = await fleet.enrol();
  const link = await box.connect();
  await link.hello();
  const bad: [string, string | Buffer][] = [
    [upTopic(box.id, 'heartbeat'), 'not json'],
    [upTopic(box.id, 'heartbeat'), Buffer.alloc(100, 0xff)],
    [upTopic(box.id, 'report'), JSON.stringify({ v: 1, at: now(), assets: [{ state: 'held' }] })],
    [upTopic(box.id, 'hello'), JSON.stringify({ v: 99 })],
    [`hearth/v1/boxes/${box.id}/up/nonsense`, '{}'],
    [upTopic(box.id, 'index'), Buffer.alloc(300 * 1024, 0x20)],
  ];
  for (const [topic, payload] of bad) await link.client.publishAsync(topic, payload, { qos: 1 });
  await until('counted', async () => (await detail(box.id)).refusedMessages === bad.length);
  assert.equal(link.closed, false);
  const metrics = (await fleet.raw('GET', '/metrics')).text;
  assert.match(metrics, /refused_messages_total\{reason="message_version"\} [1-9]/);
  await link.close();
});

test('text that cannot be stored is refused, and holds up nobody', async () => {
  const [box, other] = [await fleet.enrol(), await fleet.enrol()];
  const [link, otherLink] = [await box.connect(), await other.connect()];
  await link.hello();
  await otherLink.hello();
  const reason = { code: 'x', message: 'NUL: \0' };
  const report = { assetId: newId('asset'), sha256: 'a'.repeat(64), state: 'failed', bytesDone: 0, reason };
  const bad: [UpKind, Record<string, unknown>][] = [
    ['hello', { bootId: box.bootId, agentVersion: 'half a pair: \ud800' }],
    ['report', { assets: [report] }],
    ['reply', { commandId: newId('cmd'), outcome: { ok: false, error: reason } }],
    ['heartbeat', heartbeat(box, 'http://a.test/\0')],
    ['heartbeat', heartbeat(box, 'http://a.test/\r\nset-cookie: a=b')],
    ['heartbeat', heartbeat(box, 'http://a.test/\u20ac')],
    ['heartbeat', heartbeat(box, 'http://a.test/private?')],
    ['heartbeat', heartbeat(box, 'http://user:word@a.test')],
  ];
  for (const [kind, fields] of bad) {
    const payload = JSON.stringify({ v: 1, at: now(), ...fields });
    await link.client.publishAsync(upTopic(box.id, kind), payload, { qos: 1 });
  }
  await until('counted', async () => (await detail(box.id)).refusedMessages === bad.length);
  assert.equal(link.closed, false);
  await otherLink.publish('heartbeat', heartbeat(other, 'http://127.0.0.1:1'));
  await until('the other heartbeat', async () => (await detail(other.id)).heartbeat);
  await link.close();
  await otherLink.close();
});

test('a command waits for a box that is away, and is sent until it is answered', async () => {
  const box = await fleet.enrol();
  await fleet.ask('POST', `/boxes/${box.id}/commands`, { type: 'hardware' }, z.unknown());
  const find = (link: BoxConnection) =>
    until('the command', () => link.commands().find((command) => command.body.type === 'hardware'));
  const first = await box.connect();
  await first.hello();
  const command = await find(first);
  await first.close();
  const second = await box.connect();
  await second.hello();
  assert.equal((await find(second)).id, command.id);
  await second.publish('reply', {
    v: 1,
    at: now(),
    commandId: command.id,
    outcome: { ok: true, result: null },
  });
  await until(
    'done',
    async () => (await detail(box.id)).commands.find((row) => row.id === command.id)?.state === 'done',
  );
  await second.close();
  const third = await box.connect();
  await third.hello();
  await configured(third);
  assert.equal(
    third.commands().some((row) => row.id === command.id),
    false,
  );
  await third.close();
});

test('heartbeats reach the database; an address nobody answers at is not routed to', async () => {
  const box = await fleet.enrol();
  const link = await box.connect();
  await link.hello();
  await link.publish('heartbeat', heartbeat(box, 'http://127.0.0.1:1'));
  const seen = await until('unreachable', async () => {
    const box_ = await detail(box.id);
    return box_.notRoutableReason === 'unreachable' && box_;
  });
  assert.equal(seen.heartbeat?.serving.connections, 3);
  assert.equal(seen.routable, false);
  // Its own health path on the API is not a box either.
  await link.publish('heartbeat', heartbeat(box, fleet.apiUrl));
  await new Promise((resolve) => setTimeout(resolve, 2500));
  assert.equal((await detail(box.id)).routable, false);
  await link.close();
});

test('an address is not routed to before it was dialled, whatever was found at the one before', async () => {
  const box = await fleet.enrol();
  const server = createServer((request, response) => {
    const nonce = new URL(request.url ?? '', 'http://box').searchParams.get('nonce');
    const proof = dialProof(impostor ? Buffer.alloc(32) : link.deliveryKey(), box.id, nonce ?? '');
    response.end(JSON.stringify({ boxId: box.id, nonce, proof }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const link = await box.connect();
  let impostor = false;
  await link.hello();
  await configured(link);
  await link.publish('heartbeat', heartbeat(box, `http://127.0.0.1:${port}`));
  await until('routable', async () => (await detail(box.id)).routable);
  await link.publish('heartbeat', heartbeat(box, 'http://127.0.0.1:1'));
  const moved = await until('the new address', async () => {
    const seen = await detail(box.id);
    return seen.heartbeat?.contentUrl === 'http://127.0.0.1:1' && seen;
  });
  assert.equal(moved.routable, false);
  await link.publish('heartbeat', heartbeat(box, `http://localhost:${port}`));
  await until('routable again', async () => (await detail(box.id)).routable);
  // Somebody else at its address, who knows its id and sees the nonce, is not the box.
  impostor = true;
  await link.publish('heartbeat', heartbeat(box, `http://127.0.0.1:${port}/`));
  const unmasked = await until('the impostor', async () => {
    const seen = await detail(box.id);
    return seen.notRoutableReason === 'unreachable' && seen;
  });
  assert.equal(unmasked.routable, false);
  const targets = [
    { address: '127.0.0.1', port },
    { address: '127.0.0.1', port: 22 },
  ];
  impostor = false;
  await link.publish('dial-wanted', { v: 1, at: now(), targets });
  const payload = await until('what it found', () => link.messages('dialled')[0]);
  assert.deepEqual(parseDown('dialled', payload), {
    v: 1,
    results: [
      { target: targets[0], code: 'ok' },
      { target: targets[1], code: 'forbidden_port' },
    ],
    connectedFrom: '127.0.0.1',
  });
  await link.close();
  server.close();
});

test('a batch of deliveries for tokens nobody issued is settled at nothing, and acknowledged', async () => {
  const box = await fleet.enrol();
  const link = await box.connect();
  await link.hello();
  const batchId = newId('dlv');
  const line = {
    token: 'A'.repeat(76),
    siteId: newId('site'),
    prefix: '/',
    assetId: newId('asset'),
    bytes: 1e12,
    requests: 1,
  };
  await link.publish('deliveries', { v: 1, at: now(), batchId, lines: [line] });
  const payload = await until('ack', () => link.messages('deliveries-ack')[0]);
  assert.deepEqual(parseDown('deliveries-ack', payload), {
    v: 1,
    batchId,
    outcome: 'settled',
    reason: null,
    acceptedBytes: 0,
  });
  await link.close();
});

test('a packet that announces more than a message may hold ends the connection before it is read', async () => {
  const box = await fleet.enrol();
  const link = await box.connect();
  // PUBLISH, QoS 0, remaining length 200 MB; then nothing.
  link.client.stream.write(Buffer.from([0x30, 0x80, 0x84, 0xaf, 0x5f]));
  await until('cut off', () => link.closed);
});
