import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Queue } from './queue.ts';

const LIMITS = { atOnce: 4, atOncePerAddress: 2, waiting: 10, waitingPerAddress: 6, waitMs: 10_000 };

function queue(limits = LIMITS) {
  const begun: string[] = [];
  const refused: string[] = [];
  const clock = { nowMs: 0 };
  const line = new Queue<string>({
    limits,
    begin: (one) => begun.push(one),
    refuse: (one) => refused.push(one),
    now: () => clock.nowMs,
  });
  /** The first letter is the address. */
  const arrive = (...all: string[]) => {
    for (const one of all) line.arrive(one, one.charAt(0));
  };
  const leave = (...all: string[]) => {
    for (const one of all) line.leave(one, one.charAt(0));
  };
  return { line, arrive, leave, begun, refused, clock };
}

test('so many are begun with, the others wait, and addresses take turns', () => {
  const { arrive, leave, begun, refused } = queue();
  arrive('a1', 'a2', 'a3', 'a4', 'a5', 'b1', 'b2', 'b3', 'c1');
  assert.deepEqual(begun, ['a1', 'a2', 'b1', 'b2']);
  leave('a1');
  assert.deepEqual(begun.slice(4), ['a3']);
  leave('b1');
  assert.deepEqual(begun.slice(5), ['b3']);
  leave('a2');
  assert.deepEqual(begun.slice(6), ['c1']);
  leave('b2', 'a3');
  assert.deepEqual(begun.slice(7), ['a4', 'a5']);
  assert.deepEqual(refused, []);
});

test('who finds no room is refused, and so is who has waited too long when its turn comes', () => {
  const { line, arrive, leave, begun, refused, clock } = queue();
  arrive('a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8', 'a9');
  assert.deepEqual(refused, ['a9']);
  arrive('b1', 'b2', 'b3', 'b4', 'b5', 'b6', 'b7');
  assert.equal(line.waits, 10);
  assert.deepEqual(refused, ['a9', 'b7']);
  clock.nowMs = 10_001;
  arrive('c1');
  assert.deepEqual(refused, ['a9', 'b7', 'c1']);
  leave('a1');
  assert.deepEqual(begun, ['a1', 'a2', 'b1', 'b2']);
  assert.equal(line.waits, 4);
  arrive('a10');
  assert.equal(begun.at(-1), 'a10');
});

test('one that goes while it waits makes room, and leaving twice changes nothing', () => {
  const { line, arrive, leave, begun } = queue();
  arrive('a1', 'a2', 'a3', 'a4');
  leave('a3', 'a3', 'a1', 'a1', 'x');
  assert.deepEqual(begun, ['a1', 'a2', 'a4']);
  assert.equal(line.waits, 0);
});

test('whoever comes and goes, bounds hold, nobody is begun with twice, and nobody waits while there is room', () => {
  const step = fc.record({
    come: fc.boolean(),
    one: fc.nat(40),
    address: fc.constantFrom('a', 'b', 'c', 'd'),
    waitMs: fc.nat(4_000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const here = new Set<string>();
      const { line, arrive, leave, begun, refused, clock } = queue();
      let seen = 0;
      for (const { come, one, address, waitMs } of steps) {
        clock.nowMs += waitMs;
        const name = `${address}${one}`;
        if (come && (begun.includes(name) || refused.includes(name) || here.has(name))) continue;
        if (come) here.add(name);
        if (come) arrive(name);
        else if (here.has(name)) leave(name);
        if (!come) here.delete(name);
        for (const gone of refused) here.delete(gone);
        for (const next of begun.slice(seen)) assert.ok(here.has(next), `${next} is not here`);
        seen = begun.length;
        const running = begun.filter((other) => here.has(other));
        assert.ok(running.length <= LIMITS.atOnce);
        assert.equal(here.size, running.length + line.waits);
        const of = (all: string[], first: string) => all.filter((other) => other.startsWith(first)).length;
        for (const first of ['a', 'b', 'c', 'd']) {
          assert.ok(of(running, first) <= LIMITS.atOncePerAddress);
          const waiting = of([...here], first) - of(running, first);
          assert.ok(waiting <= LIMITS.waitingPerAddress);
          if (waiting === 0) continue;
          assert.ok(running.length === LIMITS.atOnce || of(running, first) === LIMITS.atOncePerAddress);
        }
      }
      assert.equal(new Set(begun).size, begun.length);
    }),
    { numRuns: 300 },
  );
});
