import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hostAndPort, kindOf, plainAddress } from './addresses.ts';

test('addresses: what each range is good for, and where it ends', () => {
  const expected: Record<string, ReturnType<typeof kindOf>> = {
    '8.8.8.8': 'public',
    '9.255.255.255': 'public',
    '10.0.0.0': 'private',
    '172.15.255.255': 'public',
    '172.31.255.255': 'private',
    '172.32.0.0': 'public',
    '192.168.1.1': 'private',
    '100.63.255.255': 'public',
    '100.64.0.1': 'cgnat',
    '100.127.255.255': 'cgnat',
    '100.128.0.0': 'public',
    '127.9.9.9': 'loopback',
    '169.254.169.254': 'link_local',
    '0.0.0.0': 'reserved',
    '192.0.2.7': 'reserved',
    '198.19.255.255': 'reserved',
    '224.0.0.1': 'reserved',
    '255.255.255.255': 'reserved',
    '::1': 'loopback',
    '::': 'reserved',
    'fe80::1%eth0': 'link_local',
    'fd12::1': 'private',
    '2a00:1450::1': 'public',
    '2001:4860::1': 'public',
    '2001:db8::1': 'reserved',
    '2001:0:4136::1': 'reserved',
    '2002:a00:1::': 'reserved',
    '64:ff9b::a00:1': 'reserved',
    'ff02::1': 'reserved',
    '::ffff:10.1.2.3': 'private',
    '::ffff:127.0.0.1': 'loopback',
    '0:0:0:0:0:ffff:a9fe:a9fe': 'link_local',
    '[::1]': null,
    'hearth.example': null,
    '1.2.3': null,
    '': null,
  };
  for (const [address, kind] of Object.entries(expected)) assert.equal(kindOf(address), kind, address);
});

test('addresses: every spelling of one address is the same plain address', () => {
  assert.equal(plainAddress('2A00:0:0::1'), '2a00::1');
  fc.assert(
    fc.property(fc.ipV6(), (address) => {
      const plain = plainAddress(address);
      assert.ok(plain !== null);
      assert.equal(plainAddress(plain), plain);
      assert.equal(kindOf(plain), kindOf(address));
    }),
  );
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      assert.equal(plainAddress(`::ffff:${address}`), address);
      assert.equal(kindOf(`::ffff:${address}`), kindOf(address));
    }),
  );
});

test('addresses: in a URL IPv6 is in brackets', () => {
  assert.equal(hostAndPort('2a00::1', 80), '[2a00::1]:80');
  assert.equal(hostAndPort('8.8.8.8', 7090), '8.8.8.8:7090');
});
