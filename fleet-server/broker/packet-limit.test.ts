import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import mqttPacket from 'mqtt-packet';
import { PacketLimit } from './packet-limit.ts';

const packet = (size: number) =>
  mqttPacket.generate({
    cmd: 'publish',
    topic: 'a',
    payload: Buffer.alloc(size),
    qos: 1,
    messageId: 7,
    dup: false,
    retain: false,
  });

test('packets up to the limit pass, however they are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(300), { maxLength: 8 }), fc.integer({ min: 1, max: 50 }), (sizes, step) => {
      const stream = Buffer.concat(sizes.map(packet));
      const limit = new PacketLimit(400);
      for (let at = 0; at < stream.length; at += step)
        assert.ok(limit.allows(stream.subarray(at, at + step)));
    }),
  );
});

test('a packet over the limit is noticed at its header, wherever it stands', () => {
  for (const before of [[], [0], [300, 20]]) {
    const limit = new PacketLimit(400);
    const large = packet(500);
    assert.ok(limit.allows(Buffer.concat(before.map(packet))));
    assert.equal(limit.allows(large.subarray(0, 4)), false);
  }
});

test('a length of more than four bytes is malformed', () => {
  assert.equal(new PacketLimit(1e9).allows(Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x01])), false);
});
