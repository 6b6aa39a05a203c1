import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { PlannedObject, PlanView, Step } from './planner.ts';
import { nextWakeMs, plan } from './planner.ts';

const objectArbitrary = (sha256: string) =>
  fc.record({
    sha256: fc.constant(sha256),
    state: fc.constantFrom('absent', 'partial', 'complete'),
    downloading: fc.boolean(),
    retryAtMs: fc.option(fc.nat(2000), { nil: null }),
    issuedAtMs: fc.nat(1000),
  });

/** Any world: assets spread over objects, some expired, some objects needed by none. */
const worldArbitrary = fc
  .record({
    objects: fc.tuple(...['a', 'b', 'c', 'd', 'e'].map(objectArbitrary)),
    assets: fc.array(
      fc.record({
        object: fc.nat(4),
        expiresAtMs: fc.option(fc.nat(2000), { nil: null }),
      }),
      { maxLength: 12 },
    ),
    orphans: fc.uniqueArray(fc.constantFrom('x', 'y', 'z')),
    writable: fc.boolean(),
    slots: fc.integer({ min: 1, max: 3 }),
    fleetNowMs: fc.option(fc.constant(1000), { nil: null }),
  })
  .map(({ objects, assets, orphans, writable, slots, fleetNowMs }): PlanView => {
    const named = assets.map((asset, n) => ({ ...asset, assetId: `asset-${n}` }));
    return {
      objects: objects.map((object, n): PlannedObject => {
        const assetIds = named.filter((asset) => asset.object === n).map((asset) => asset.assetId);
        const { state } = object;
        return { ...object, assetIds, downloading: object.downloading && state !== 'complete' };
      }),
      assets: named.map(({ assetId, expiresAtMs }) => ({ assetId, expiresAtMs })),
      orphans,
      writable,
      removable: true,
      slots,
      nowMs: 1000,
      fleetNowMs,
    };
  });

/** Does the steps as the executor would, each download succeeding. */
function carryOut(view: PlanView, steps: Step[]): PlanView {
  const next: PlanView = {
    ...view,
    nowMs: view.nowMs + 5000,
    assets: view.assets.filter(
      (asset) => !steps.some((s) => s.do === 'expire' && s.assetId === asset.assetId),
    ),
    orphans: view.orphans.filter((sha256) => !steps.some((s) => s.do === 'delete' && s.sha256 === sha256)),
  };
  const left = new Set(next.assets.map((asset) => asset.assetId));
  next.objects = view.objects
    .filter((object) => !steps.some((s) => s.do === 'delete' && s.sha256 === object.sha256))
    .map((object) => {
      const fetched = steps.some((s) => s.do === 'fetch' && s.sha256 === object.sha256);
      const stopped = steps.some((s) => s.do === 'stop' && s.sha256 === object.sha256);
      const done = fetched || (object.downloading && !stopped);
      return {
        ...object,
        assetIds: object.assetIds.filter((assetId) => left.has(assetId)),
        downloading: false,
        state: done ? ('complete' as const) : object.state,
      };
    });
  return next;
}

test('planner: carried out again and again it ends with exactly the wanted objects, and then rests', () => {
  fc.assert(
    fc.property(worldArbitrary, (world) => {
      const wanted = new Set(
        world.objects
          .filter((object) =>
            object.assetIds.some((assetId) => {
              const expiresAtMs =
                world.assets.find((asset) => asset.assetId === assetId)?.expiresAtMs ?? null;
              return expiresAtMs === null || world.fleetNowMs === null || expiresAtMs > world.fleetNowMs;
            }),
          )
          .map((object) => object.sha256),
      );
      let view = world;
      for (let round = 0; round < 10; round++) view = carryOut(view, plan(view));
      assert.deepEqual(plan(view), []);
      assert.deepEqual(view.orphans, []);
      assert.deepEqual(new Set(view.objects.map((object) => object.sha256)), wanted);
      if (world.writable) assert.ok(view.objects.every((object) => object.state === 'complete'));
    }),
  );
});

test('planner: never more downloads than slots, none on a disk that takes no bytes, no deletion of what is needed', () => {
  fc.assert(
    fc.property(worldArbitrary, (view) => {
      const steps = plan(view);
      const fetches = steps.filter((step) => step.do === 'fetch');
      const stopped = steps.filter((step) => step.do === 'stop').length;
      const running = view.objects.filter((object) => object.downloading).length - stopped;
      if (fetches.length > 0) assert.ok(running + fetches.length <= view.slots);
      if (!view.writable) assert.equal(fetches.length, 0);
      for (const step of steps) {
        if (step.do === 'fetch') {
          const object = view.objects.find((found) => found.sha256 === step.sha256);
          assert.ok(object && object.state !== 'complete' && !object.downloading);
          assert.ok(object.retryAtMs === null || object.retryAtMs <= view.nowMs);
        }
      }
    }),
  );
});

test('planner: without a clock nothing expires, and nothing is removed from a disk that cannot be written', () => {
  const view: PlanView = {
    assets: [{ assetId: 'asset-0', expiresAtMs: 5 }],
    objects: [
      {
        sha256: 'a',
        assetIds: ['asset-0'],
        state: 'complete',
        downloading: false,
        retryAtMs: null,
        issuedAtMs: 0,
      },
    ],
    orphans: ['x'],
    writable: true,
    removable: true,
    slots: 2,
    nowMs: 0,
    fleetNowMs: null,
  };
  assert.deepEqual(plan(view), [{ do: 'delete', sha256: 'x' }]);
  assert.equal(nextWakeMs(view), null);
  assert.deepEqual(plan({ ...view, fleetNowMs: 5 }), [
    { do: 'expire', assetId: 'asset-0' },
    { do: 'delete', sha256: 'a' },
    { do: 'delete', sha256: 'x' },
  ]);
  assert.equal(nextWakeMs({ ...view, fleetNowMs: 3 }), 2);
  assert.deepEqual(plan({ ...view, fleetNowMs: 5, writable: false, removable: false }), []);
});
