import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { boxSchema, waitFor } from '#fleet/client/fleet-api.ts';
import { newId } from '#protocol/ids.ts';
import { LIMITS } from '#protocol/limits.ts';
import { UP_KINDS } from '#protocol/messages.ts';
import { downFilter, downTopic, upTopic } from '#protocol/topics.ts';
import { audit } from '#test/support/money.ts';
import type { RawIdentity } from '#test/support/raw-box.ts';
import { enrolRaw, RawBox } from '#test/support/raw-box.ts';
import { useSystem } from '#test/support/system.ts';

describe('boxes that misbehave towards the broker', () => {
  const get = useSystem({ boxes: 1 });
  let mallory: RawIdentity;

  before(async () => {
    mallory = await enrolRaw(get(), 'mallory');
  });

  const refusals = async (boxId: string) => {
    const box = (await get().knownBoxes()).find((one) => one.id === boxId);
    return box?.refusedMessages ?? 0;
  };
  const untilRefused = (count: number) =>
    waitFor(
      async () => ((await refusals(mallory.boxId)) >= count ? true : null),
      `not ${count} refusals counted`,
      {
        timeoutMs: 20_000,
      },
    );

  it('lets nobody in without a certificate of this fleet, nor under another name', async () => {
    await assert.rejects(RawBox.connect(mallory, { withoutCertificate: true }));
    await assert.rejects(RawBox.connect(mallory, { clientId: get().box(0).id }), /Not authorized|closed/);
    await assert.rejects(RawBox.connect(mallory, { clientId: 'anything' }), /Not authorized|closed/);
    const honest = await RawBox.connect(mallory);
    await honest.close();
  });

  it('does not let a box publish as another, and cuts it off', async () => {
    const victim = get().box(0);
    const before = (await get().knownBoxes()).find((box) => box.id === victim.id);
    for (const topic of [
      upTopic(victim.id, 'offline'),
      upTopic(victim.id, 'heartbeat'),
      downTopic(victim.id, 'command'),
      downTopic(mallory.boxId, 'command'),
      '$SYS/broker/anything',
      'hearth/v1/boxes/+/up/offline',
    ]) {
      const raw = await RawBox.connect(mallory);
      const accepted = await raw.publish(topic, JSON.stringify({ v: 1, bootId: randomUUID() }));
      // A topic that is none of ours is refused and counted; another box's also costs the connection.
      if (topic.includes(victim.id)) assert.equal(accepted, false, topic);
      await raw.close();
    }
    const after = (await get().knownBoxes()).find((box) => box.id === victim.id);
    assert.equal(after?.state, 'online');
    assert.equal(after?.agentVersion, before?.agentVersion);
    assert.equal(after?.refusedMessages, before?.refusedMessages, 'the victim is not blamed');
  });

  it('lets a box read its own topics only', async () => {
    const victim = get().box(0);
    const raw = await RawBox.connect(mallory);
    try {
      for (const filter of [
        downFilter(victim.id),
        `hearth/v1/boxes/${victim.id}/#`,
        'hearth/#',
        '#',
        '+/+/+/+/+/+',
      ]) {
        const granted = await raw.client.subscribeAsync(filter, { qos: 1 }).then(
          (grants) => grants.map((grant) => grant.qos),
          () => [128],
        );
        assert.deepEqual(granted, [128], filter);
      }
      // What the fleet sends the victim while we listen.
      const { text, status } = await get().api.raw('POST', `/boxes/${victim.id}/commands`, {
        type: 'hardware',
      });
      assert.ok(status < 300, text);
      await raw.hello(mallory);
      await new Promise((done) => setTimeout(done, 500));
      assert.deepEqual(
        raw.received.filter(({ topic }) => !topic.startsWith(`hearth/v1/boxes/${mallory.boxId}/`)),
        [],
      );
    } finally {
      await raw.close();
    }
  });

  it('refuses malformed messages of every kind with a count, and goes on', async () => {
    const raw = await RawBox.connect(mallory);
    await raw.client.subscribeAsync(downFilter(mallory.boxId), { qos: 1 });
    const from = await refusals(mallory.boxId);
    const payloads: (string | Buffer)[] = [
      '',
      'null',
      '{',
      '[]',
      '"text"',
      '{"v":1}',
      '{"v":99,"at":"2026-01-01T00:00:00.000Z"}',
      '{"v":1,"at":"yesterday","bootId":1e999}',
      '{"__proto__":{"v":1},"constructor":{}}',
      '['.repeat(50_000),
      randomBytes(1000),
      Buffer.from([0xff, 0xfe, 0x00]),
    ];
    let sent = 0;
    for (const kind of UP_KINDS) {
      for (const payload of payloads) {
        assert.equal(await raw.publish(upTopic(mallory.boxId, kind), payload), true, `${kind}: ${payload}`);
        sent += 1;
      }
    }
    assert.equal(await raw.publish(`hearth/v1/boxes/${mallory.boxId}/up/nonsense`, '{}'), true);
    assert.equal(
      await raw.publish(upTopic(mallory.boxId, 'hello'), Buffer.alloc(LIMITS.mqttPayloadBytes + 1, 0x20)),
      true,
    );
    await untilRefused(from + sent + 2);
    // The same connection still works for what is well formed.
    assert.equal(await raw.hello(mallory), true);
    await waitFor(
      () => (raw.received.some(({ topic }) => topic.endsWith('/down/command')) ? true : null),
      'no configure',
    );
    await raw.close();
  });

  it('counts claims that contradict themselves as nothing: no money, no other box harmed', async () => {
    const raw = await RawBox.connect(mallory);
    await raw.hello(mallory);
    const lines = [
      {
        token: 'A'.repeat(76),
        siteId: newId('site'),
        prefix: '/',
        assetId: newId('asset'),
        bytes: 1e12,
        requests: 1,
      },
    ];
    const batchId = newId('dlv');
    assert.equal(
      await raw.client.subscribeAsync(downFilter(mallory.boxId), { qos: 1 }).then((grants) => grants[0]?.qos),
      1,
    );
    await raw.send(mallory, 'deliveries', { batchId, lines });
    const acknowledged = await waitFor(
      () => raw.received.find(({ topic }) => topic.endsWith('/down/deliveries-ack')),
      'the batch is not answered',
    );
    const ack = JSON.parse(acknowledged.payload);
    assert.deepEqual([ack.batchId, ack.acceptedBytes], [batchId, 0]);
    const assetId = newId('asset');
    const sha256 = 'a'.repeat(64);
    const report = { assets: [{ assetId, sha256, state: 'held', bytesDone: 1, reason: null }] };
    await raw.send(mallory, 'report', report);
    await raw.send(mallory, 'reply', { commandId: newId('cmd'), outcome: { ok: true, result: null } });
    await raw.close();
    assert.equal((await audit(get().database.url)).acceptedBytes, 0);
    const box = await get().api.get(`/boxes/${mallory.boxId}`, boxSchema);
    assert.deepEqual([box.held, box.earned], [0, '0']);
  });

  it('survives connections that are no MQTT at all', async () => {
    const url = new URL(mallory.brokerUrl);
    for (const bytes of [
      Buffer.alloc(0),
      randomBytes(5000),
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]),
    ]) {
      await new Promise<void>((done) => {
        const socket = connectTls(
          {
            host: url.hostname,
            port: Number(url.port),
            ca: mallory.caCertificate,
            key: mallory.keyPem,
            cert: mallory.certificate,
          },
          () => {
            socket.write(bytes);
            setTimeout(() => socket.destroy(), 100);
          },
        );
        socket.on('error', () => {});
        socket.on('close', () => done());
      });
    }
    const raw = await RawBox.connect(mallory);
    assert.equal(await raw.hello(mallory), true);
    await raw.close();
    assert.equal((await get().knownBoxes()).find((box) => box.id === get().box(0).id)?.state, 'online');
  });

  it('turns away a box that was revoked, and cuts its connection', async () => {
    const raw = await RawBox.connect(mallory);
    await raw.hello(mallory);
    const { status, text } = await get().api.raw('DELETE', `/boxes/${mallory.boxId}`);
    assert.ok(status < 300, text);
    await raw.closed;
    await assert.rejects(RawBox.connect(mallory), /Not authorized|closed/);
  });
});
