import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { IdleCollector } from './idle-collector.ts';

test('it collects once after each busy time, when it has been quiet for a while', (t) => {
  mock.timers.enable({ apis: ['setInterval'] });
  t.after(() => mock.timers.reset());
  let busy = false;
  let collected = 0;
  const collect = () => void collected++;
  const collector = new IdleCollector({ busy: () => busy, everyMs: 100, bufferBytes: () => 0, collect });
  t.after(() => collector.close());
  mock.timers.tick(1000);
  assert.equal(collected, 1, 'after the start');
  busy = true;
  mock.timers.tick(1000);
  assert.equal(collected, 1);
  busy = false;
  mock.timers.tick(100);
  assert.equal(collected, 1, 'not at the first pause');
  mock.timers.tick(5000);
  assert.equal(collected, 2);
});

test('it bounds what is in buffers while it is busy: young objects first, all where that is not enough', (t) => {
  mock.timers.enable({ apis: ['setInterval'] });
  t.after(() => mock.timers.reset());
  const MIB = 1024 * 1024;
  let busy = false;
  let bytes = 100 * MIB;
  const did: string[] = [];
  const collector = new IdleCollector({
    busy: () => busy,
    busyEveryMs: 10,
    bufferBytes: () => bytes,
    collect: (youngOnly) => did.push(youngOnly ? 'young' : 'all'),
  });
  t.after(() => collector.close());
  mock.timers.tick(100);
  assert.deepEqual(did, [], 'a quiet box is left alone');
  busy = true;
  mock.timers.tick(20);
  assert.deepEqual(did, ['young', 'all']);
  mock.timers.tick(100);
  assert.deepEqual(did, ['young', 'all'], 'what is left is in use');
  bytes = 105 * MIB;
  mock.timers.tick(100);
  assert.equal(did.length, 2, 'a little more is let be');
  bytes = 107 * MIB;
  mock.timers.tick(10);
  bytes = 90 * MIB;
  mock.timers.tick(100);
  bytes = 97 * MIB;
  mock.timers.tick(10);
  assert.deepEqual(did.slice(2), ['young', 'young'], 'the bound goes down with what is in use');
  bytes = 200 * MIB;
  did.length = 0;
  for (let look = 0; look < 60; look++) {
    bytes += 10 * MIB;
    mock.timers.tick(10);
  }
  assert.equal(did.filter((one) => one === 'all').length, 3, 'all is seldom collected, whatever comes');
});

test('what nobody holds any more is really given back', async () => {
  const kept = new WeakRef(Buffer.alloc(1));
  // A turn of the event loop ends the time in which a WeakRef holds what it was made with.
  await new Promise((resolve) => setTimeout(resolve, 10));
  const collector = new IdleCollector({ busy: () => false, everyMs: 10 });
  await new Promise((resolve) => setTimeout(resolve, 100));
  collector.close();
  assert.equal(kept.deref(), undefined);
});
