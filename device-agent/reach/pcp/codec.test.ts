import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { plainAddress } from '#protocol/addresses.ts';
import type { MapRequest } from './codec.ts';
import { addressBytes, encodeAnnounce, encodeMap, readAddress, readAnswer } from './codec.ts';

const port = fc.integer({ min: 1, max: 65_535 });
const seconds = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const request = fc.record({
  clientAddress: fc.ipV4(),
  nonce: fc.uint8Array({ minLength: 12, maxLength: 12 }),
  internalPort: port,
  externalPort: fc.integer({ min: 0, max: 65_535 }),
  externalAddress: fc.option(fc.ipV4()),
  lifetimeS: fc.integer({ min: 1, max: 86_400 }),
  preferFailure: fc.boolean(),
});

/** The answer a server of RFC 6887 section 11.3 makes of a request. */
function answerTo(
  asked: Buffer,
  given: { port: number; address: string; lifetimeS: number; epochS: number },
) {
  const packet = Buffer.alloc(60);
  packet[0] = 2;
  packet[1] = 0x81;
  packet.writeUInt32BE(given.lifetimeS, 4);
  packet.writeUInt32BE(given.epochS, 8);
  packet.set(asked.subarray(24, 44), 24);
  packet.writeUInt16BE(given.port, 42);
  packet.set(addressBytes(given.address), 44);
  return packet;
}

test('pcp: a MAP request as RFC 6887 figures 2 and 9 lay it out', () => {
  const packet = encodeMap({
    clientAddress: '192.168.1.7',
    nonce: Buffer.from('000102030405060708090a0b', 'hex'),
    internalPort: 7090,
    externalPort: 7091,
    externalAddress: null,
    lifetimeS: 7200,
    preferFailure: true,
  });
  assert.equal(
    packet.toString('hex'),
    [
      '02010000', // version, opcode
      '00001c20', // lifetime
      '00000000000000000000ffffc0a80107', // client
      '000102030405060708090a0b', // nonce
      '06000000', // TCP
      '1bb21bb3', // internal, external port
      '00000000000000000000ffff00000000', // any external IPv4 address
      '02000000', // PREFER_FAILURE
    ].join(''),
  );
  assert.equal(encodeAnnounce('fd00::1').toString('hex'), '0200000000000000fd000000000000000000000000000001');
});

test('pcp: an answer to a request is read back, whatever it says', () => {
  fc.assert(
    fc.property(
      request,
      port,
      fc.ipV4(),
      seconds,
      seconds,
      (asked, externalPort, address, lifetimeS, epochS) => {
        const packet = answerTo(encodeMap(asked), { port: externalPort, address, lifetimeS, epochS });
        assert.deepEqual(readAnswer(packet, asked), {
          kind: 'mapped',
          epochS,
          lifetimeS,
          externalPort,
          externalAddress: address,
        });
      },
    ),
  );
});

test('pcp: an answer that differs from the request in what identifies it is refused', () => {
  fc.assert(
    fc.property(
      request,
      fc.constantFrom(24, 30, 35, 36, 40, 41),
      fc.integer({ min: 1, max: 255 }),
      (asked, at, flip) => {
        const packet = answerTo(encodeMap(asked), { port: 1, address: '8.8.8.8', lifetimeS: 60, epochS: 1 });
        packet[at] = (packet[at] ?? 0) ^ flip;
        assert.equal(readAnswer(packet, asked).kind, 'refused');
      },
    ),
  );
});

test('pcp: garbage of any length never throws and never maps', () => {
  const asked: MapRequest = {
    clientAddress: '192.168.1.7',
    nonce: Buffer.alloc(12, 7),
    internalPort: 7090,
    externalPort: 0,
    externalAddress: null,
    lifetimeS: 60,
    preferFailure: false,
  };
  const likely = fc.tuple(
    fc.constantFrom(0, 1, 2, 3),
    fc.constantFrom(0, 1, 0x80, 0x81, 0xff),
    fc.uint8Array(),
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 1200 }),
        likely.map(([version, opcode, rest]) => Uint8Array.from([version, opcode, ...rest])),
      ),
      (packet) => {
        assert.notEqual(readAnswer(packet, asked).kind, 'mapped');
        readAnswer(packet, null);
      },
    ),
    { numRuns: 2000 },
  );
});

test('pcp: a cut or padded answer is refused', () => {
  const asked = fc.sample(request, 1)[0] as MapRequest;
  const packet = answerTo(encodeMap(asked), { port: 9, address: '8.8.8.8', lifetimeS: 60, epochS: 1 });
  for (let length = 0; length < packet.length; length++) {
    assert.equal(readAnswer(packet.subarray(0, length), asked).kind, 'refused', `${length} bytes`);
  }
  assert.equal(readAnswer(Buffer.concat([packet, Buffer.alloc(4)]), asked).kind, 'mapped', 'with an option');
  assert.equal(readAnswer(Buffer.concat([packet, Buffer.alloc(1044)]), asked).kind, 'refused', 'over 1100');
});

test('pcp: errors, the short ones too, and the way down to NAT-PMP', () => {
  const asked = fc.sample(request, 1)[0] as MapRequest;
  const packet = answerTo(encodeMap(asked), { port: 0, address: '0.0.0.0', lifetimeS: 30, epochS: 5 });
  packet[3] = 2;
  const error = { kind: 'error', result: 2, epochS: 5, lifetimeS: 30, highestVersion: 2 };
  assert.deepEqual(readAnswer(packet, asked), error);
  assert.deepEqual(readAnswer(packet.subarray(0, 24), asked), error);
  const natpmpOnly = Buffer.from('0081000100000063', 'hex');
  assert.deepEqual(readAnswer(natpmpOnly, asked), {
    kind: 'error',
    result: 1,
    epochS: 99,
    lifetimeS: 0,
    highestVersion: 0,
  });
});

test('pcp: port 0 and the other address family are no mapping', () => {
  const asked = fc.sample(request, 1)[0] as MapRequest;
  const zero = answerTo(encodeMap(asked), { port: 0, address: '8.8.8.8', lifetimeS: 60, epochS: 1 });
  assert.equal(readAnswer(zero, asked).kind, 'refused');
  const six = answerTo(encodeMap(asked), { port: 5, address: '2a00::1', lifetimeS: 60, epochS: 1 });
  assert.equal(readAnswer(six, asked).kind, 'refused');
});

test('pcp: addresses of both families survive', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (address) => {
      assert.equal(readAddress(addressBytes(address)), plainAddress(address));
    }),
  );
  assert.throws(() => addressBytes('not one'), RangeError);
});
