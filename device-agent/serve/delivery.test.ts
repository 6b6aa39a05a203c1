import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Clock } from '#agent/time/clock.ts';
import type { Delivery } from './delivery.ts';
import { Deliveries } from './delivery.ts';
import { ServingMeter } from './meter.ts';
import type { ObjectBody } from './reply.ts';
import { NO_BYTES } from './reply.ts';

function bodyOf(assetId: string): ObjectBody {
  return {
    kind: 'object',
    entitlement: {
      token: '',
      siteId: '',
      prefix: '',
      expiresAtMs: 0,
      maxBytes: 100,
      takenBytes: 0,
      sentBytes: 0,
    },
    assetId,
    source: { key: assetId, sha256: assetId, sizeBytes: 10 },
    parts: [],
    closing: NO_BYTES,
    lengthBytes: 10,
    instead: () => assert.fail('not asked for'),
  };
}

test('deliveries: who takes nothing is cut, whoever came and went meanwhile; who ends when cut takes nobody along', (t) => {
  mock.timers.enable({ apis: ['setInterval'] });
  t.after(() => mock.timers.reset());
  let nowMs = 0;
  const clock = new Clock(
    () => nowMs,
    () => nowMs,
  );
  const counted: string[] = [];
  const deliveries = new Deliveries(
    {
      clock,
      meter: new ServingMeter(clock),
      onDelivered: (_entitlement, assetId, bytes) => counted.push(`${assetId} ${bytes}`),
    },
    1_000,
  );
  t.after(() => deliveries.close());
  const cut: string[] = [];
  const open = new Map<string, Delivery>();
  const begin = (name: string): void => {
    open.set(
      name,
      deliveries.begin(bodyOf(name), () => {
        cut.push(name);
        open.get(name)?.end();
      }),
    );
  };
  const pass = (ms: number): void => {
    nowMs += ms;
    mock.timers.tick(ms);
  };
  for (const name of ['first', 'second', 'third', 'fourth']) begin(name);
  open.get('first')?.add(3);
  open.get('first')?.end();
  open.get('third')?.end();
  assert.deepEqual(counted, ['first 3', 'third 0']);
  begin('fifth');
  pass(1_000);
  open.get('fifth')?.add(1);
  assert.deepEqual(cut, []);
  pass(500);
  assert.deepEqual(cut.sort(), ['fourth', 'second']);
  pass(1_000);
  assert.deepEqual(cut.sort(), ['fifth', 'fourth', 'second']);
  pass(10_000);
  assert.equal(cut.length, 3, 'each once');
});
