import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { IdleCollector } from './idle-collector.ts';

test('it collects once after each busy time, when it has been quiet for a while', (t) => {
  mock.timers.enable({ apis: ['setInterval'] });
  t.after(() => mock.timers.reset());
  let busy = false;
  let collected = 0;
  const collector = new IdleCollector({ busy: () => busy, everyMs: 100, collect: () => collected++ });
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

test('what nobody holds any more is really given back', async () => {
  const kept = new WeakRef(Buffer.alloc(1));
  // A turn of the event loop ends the time in which a WeakRef holds what it was made with.
  await new Promise((resolve) => setTimeout(resolve, 10));
  const collector = new IdleCollector({ busy: () => false, everyMs: 10 });
  await new Promise((resolve) => setTimeout(resolve, 100));
  collector.close();
  assert.equal(kept.deref(), undefined);
});
