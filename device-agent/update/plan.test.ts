import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { UpdateFacts } from './plan.ts';
import { inWindow, planUpdate } from './plan.ts';

const order = {
  updateId: 'u',
  version: '1.2.0',
  metadataUrl: 'http://f',
  artefactsUrl: 'http://f',
  window: null,
};
const artefact = {
  version: '1.2.0',
  architecture: 'arm64' as const,
  minimumFrom: '1.0.0',
  rollbackFrom: [],
  sizeBytes: 10,
  sha256: 'a'.repeat(64),
};
const READY: UpdateFacts = {
  order,
  box: { architecture: 'arm64', version: '1.1.0', highest: '1.1.0' },
  packaged: '1.0.0',
  hour: 3,
  timeKnown: true,
  refreshed: true,
  fresh: true,
  artefact,
  disk: true,
  accepting: true,
  linked: true,
  installed: true,
  tried: true,
};
const stepOf = (facts: Partial<UpdateFacts>) => planUpdate({ ...READY, ...facts });

describe('the next step of an update', () => {
  test('each in its turn', () => {
    assert.deepEqual(stepOf({ timeKnown: false, refreshed: false }), { do: 'wait', for: 'time' });
    assert.deepEqual(stepOf({ refreshed: false }), { do: 'refresh' });
    assert.deepEqual(stepOf({ installed: false }), { do: 'download' });
    assert.deepEqual(stepOf({ installed: false, accepting: false }), { do: 'wait', for: 'paused' });
    assert.deepEqual(stepOf({ disk: false }), { do: 'wait', for: 'disk' });
    assert.deepEqual(stepOf({ tried: false }), { do: 'try' });
    assert.deepEqual(stepOf({ linked: false }), { do: 'wait', for: 'link' });
    assert.deepEqual(stepOf({ order: { ...order, window: { fromHour: 4, toHour: 6 } } }), {
      do: 'wait',
      for: 'window',
    });
    assert.deepEqual(stepOf({}), { do: 'switch' });
    // Only what is as good as done is looked up once more.
    assert.deepEqual(stepOf({ fresh: false }), { do: 'refresh' });
    assert.deepEqual(stepOf({ fresh: false, packaged: '1.2.0' }), { do: 'refresh' });
    assert.deepEqual(stepOf({ fresh: false, linked: false }), { do: 'wait', for: 'link' });
    assert.deepEqual(stepOf({ fresh: false, installed: false }), { do: 'download' });
    assert.deepEqual(stepOf({ packaged: '1.2.0', disk: false, installed: false }), { do: 'use-packaged' });
    assert.deepEqual(stepOf({ box: { ...READY.box, version: '1.2.0' } }), { do: 'done' });
  });

  test('what is not released here, or not for this box, fails', () => {
    assert.equal(stepOf({ artefact: null }).do, 'fail');
    assert.equal(stepOf({ artefact: { ...artefact, architecture: 'armv7' } }).do, 'fail');
    assert.equal(stepOf({ box: { ...READY.box, highest: '1.3.0' } }).do, 'fail');
  });

  test('whatever is known: a switch needs everything, and every pause is heeded', () => {
    const facts = fc.record({
      timeKnown: fc.boolean(),
      refreshed: fc.boolean(),
      fresh: fc.boolean(),
      disk: fc.boolean(),
      accepting: fc.boolean(),
      linked: fc.boolean(),
      installed: fc.boolean(),
      tried: fc.boolean(),
      artefact: fc.constantFrom(artefact, null),
    });
    fc.assert(
      fc.property(facts, (some) => {
        const step = stepOf(some);
        if (step.do === 'switch') assert.deepEqual(planUpdate({ ...READY, ...some }), stepOf({}));
        if (step.do === 'switch') assert.ok(Object.values(some).every(Boolean));
        if (!some.accepting) assert.ok(step.do !== 'download' && step.do !== 'switch');
        if (!some.timeKnown) assert.deepEqual(step, { do: 'wait', for: 'time' });
      }),
    );
  });

  test('a window may go past midnight, and is closed while the hour is not known', () => {
    const night = { fromHour: 22, toHour: 5 };
    assert.deepEqual(
      [21, 22, 0, 4, 5].map((hour) => inWindow(night, hour)),
      [false, true, true, true, false],
    );
    assert.equal(inWindow(night, null), false);
    assert.equal(inWindow({ fromHour: 3, toHour: 3 }, null), true);
  });
});
