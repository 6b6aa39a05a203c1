import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeAddressRequest, encodeMapTcp, readAnswer } from './codec.ts';

test('nat-pmp: requests as RFC 6886 sections 3.2 and 3.3 lay them out', () => {
  assert.equal(encodeAddressRequest().toString('hex'), '0000');
  assert.equal(encodeMapTcp(7090, 8000, 7200).toString('hex'), '000200001bb21f4000001c20');
});

test('nat-pmp: answers are read back; another port, version, opcode or length is refused', () => {
  const mapped = Buffer.from('00820000000000051bb21f4000001c20', 'hex');
  const port = { internalPort: 7090 };
  assert.deepEqual(readAnswer(mapped, port), {
    kind: 'mapped',
    epochS: 5,
    externalPort: 8000,
    lifetimeS: 7200,
  });
  assert.equal(readAnswer(mapped, { internalPort: 7091 }).kind, 'refused');
  assert.equal(readAnswer(mapped, null).kind, 'refused');
  for (let length = 0; length < mapped.length; length++) {
    assert.equal(readAnswer(mapped.subarray(0, length), port).kind, 'refused');
  }
  const address = Buffer.from('008000000000000508080404', 'hex');
  assert.deepEqual(readAnswer(address, null), { kind: 'address', epochS: 5, address: '8.8.4.4' });
  const failed = Buffer.from('0082000200000005', 'hex');
  assert.deepEqual(readAnswer(failed, port), { kind: 'error', result: 2, epochS: 5 });
});

test('nat-pmp: garbage of any length never throws', () => {
  const begun = fc.tuple(
    fc.constantFrom(0, 1),
    fc.constantFrom(128, 130, 2),
    fc.uint8Array({ maxLength: 20 }),
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 64 }),
        begun.map(([a, b, rest]) => Uint8Array.from([a, b, ...rest])),
      ),
      (packet) => {
        readAnswer(packet, null);
        const answer = readAnswer(packet, { internalPort: 7090 });
        if (answer.kind === 'mapped') assert.equal(packet.length, 16);
      },
    ),
    { numRuns: 1000 },
  );
});
