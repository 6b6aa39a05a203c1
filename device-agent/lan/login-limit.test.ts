import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LoginLimit } from './login-limit.ts';

function limitAt(time: { ms: number }) {
  const limit = new LoginLimit(() => time.ms);
  /** @returns whether it was let through to be tried */
  const fail = (address: string) => {
    if (limit.waitMs(address) > 0) return false;
    limit.begin(address);
    return true;
  };
  return { limit, fail };
}

test('one device with as many addresses as it likes gets no further than one with twenty', () => {
  const time = { ms: 0 };
  const { fail } = limitAt(time);
  let tried = 0;
  for (let n = 0; n < 10_000; n++) if (fail(`fd00::${n.toString(16)}`)) tried++;
  assert.equal(tried, 20);
  // Over an hour.
  for (let minute = 0; minute < 60; minute++) {
    time.ms += 60_000;
    for (let n = 0; n < 200; n++) if (fail(`10.0.${minute}.${n}`)) tried++;
  }
  assert.equal(tried, 20 + 60 * 20);
});

test('a household that has logged in before is not kept out by a neighbour’s guesses, and nobody for long', () => {
  const time = { ms: 5_000 };
  const { limit, fail } = limitAt(time);
  limit.begin('192.168.1.7');
  limit.succeeded('192.168.1.7');
  for (let n = 0; n < 100; n++) fail(`192.168.1.${100 + n}`);
  assert.equal(limit.waitMs('192.168.1.7'), 0);
  assert.ok(limit.waitMs('192.168.1.8') > 0 && limit.waitMs('192.168.1.8') <= 60_000);
  // It is slowed by its own.
  for (let n = 0; n < 5; n++) assert.equal(fail('192.168.1.7'), true);
  assert.equal(limit.waitMs('192.168.1.7'), 1_000);
  time.ms += 60_000;
  for (const address of ['192.168.1.7', '192.168.1.8']) assert.equal(limit.waitMs(address), 0, address);
});

test('after five failures each wait is twice the last, at most a minute, and forgotten after a quarter of an hour', () => {
  const time = { ms: 0 };
  const { limit, fail } = limitAt(time);
  for (let n = 0; n < 5; n++) assert.equal(fail('10.0.0.1'), true);
  const waits: number[] = [];
  for (let n = 0; n < 9; n++) {
    const waitMs = limit.waitMs('10.0.0.1');
    waits.push(waitMs);
    time.ms += waitMs;
    assert.equal(fail('10.0.0.1'), true);
  }
  assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  time.ms += 900_001;
  assert.equal(limit.waitMs('10.0.0.1'), 0);
});
