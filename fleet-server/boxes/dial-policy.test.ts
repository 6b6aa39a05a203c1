import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ASKED_PER_HOUR, DialPolicy, FOREIGN_PER_HOUR, TARGETS_PER_HOUR } from './dial-policy.ts';

const HOME = '5.6.7.8';

test('dial-back: nothing that only the fleet’s own network has, unless the operator says so', () => {
  const inside = [
    '127.0.0.1',
    '10.0.0.5',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '::1',
    'fd00::1',
    'fe80::1',
  ];
  const never = [
    '0.0.0.0',
    '224.0.0.1',
    '192.0.2.1',
    '255.255.255.255',
    'ff02::1',
    '64:ff9b::7f00:1',
    'localhost',
  ];
  for (const address of [...inside, '::ffff:127.0.0.1', '::ffff:10.0.0.1', ...never]) {
    assert.equal(new DialPolicy(false).refuse('box', address, 7090, HOME), 'forbidden_address', address);
  }
  for (const address of inside)
    assert.equal(new DialPolicy(true).refuse('box', address, 7090, HOME), null, address);
  for (const address of never) {
    assert.equal(new DialPolicy(true).refuse('box', address, 7090, HOME), 'forbidden_address', address);
  }
});

test('dial-back: ports of other services are not dialled', () => {
  const policy = new DialPolicy(false);
  for (const port of [0, 22, 25, 53, 110, 445, 1023]) {
    assert.equal(policy.refuse('box', HOME, port, HOME), 'forbidden_port', String(port));
  }
  for (const port of [80, 443, 1024, 7090, 65_535])
    assert.equal(policy.refuse('box', HOME, port, HOME), null);
});

test('dial-back: a box cannot make the fleet scan: few networks and few ports in an hour', () => {
  let now = 0;
  const policy = new DialPolicy(false, () => now);
  const foreign = Array.from({ length: 200 }, (_, index) => `8.8.${index}.1`);
  const dialled = foreign.filter((address) => policy.refuse('box', address, 7090, HOME) === null);
  assert.equal(dialled.length, FOREIGN_PER_HOUR);
  assert.equal(policy.refuse('box', '8.8.199.1', 7090, HOME), 'rate_limited');
  assert.equal(policy.refuse('box', '8.8.0.1', 7090, HOME), null, 'one that was dialled before');
  let own = 0;
  while (policy.refuse('box', HOME, 2000 + own, HOME) === null) own++;
  assert.equal(own, TARGETS_PER_HOUR - FOREIGN_PER_HOUR);
  assert.equal(policy.refuse('box', HOME, 2000, HOME), null, 'as often as need be where it was found before');
  assert.equal(
    Array.from({ length: 500 }, () => policy.mayAsk('box')).filter(Boolean).length,
    ASKED_PER_HOUR,
  );
  assert.equal(policy.refuse('other', HOME, 7090, HOME), null, 'each box has its own');
  now = 3_600_000;
  assert.equal(policy.refuse('box', '8.8.199.1', 7090, HOME), null);
});

test('dial-back: IPv6 addresses of one /64 are one household', () => {
  const policy = new DialPolicy(false);
  for (let index = 1; index <= 20; index++) {
    assert.equal(policy.refuse('box', `2a10:1::${index}`, 7090, '2a10:1::ffff'), null);
  }
  for (let index = 1; index <= FOREIGN_PER_HOUR; index++)
    policy.refuse('box', `2a10:${index + 1}::1`, 7090, '2a10:1::1');
  assert.equal(policy.refuse('box', '2a10:99::1', 7090, '2a10:1::1'), 'rate_limited');
});
