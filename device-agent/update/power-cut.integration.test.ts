import assert from 'node:assert/strict';
import { readdirSync, watch } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '#agent/store/store-fixture.ts';
import { useArtefacts } from './artefact-fixture.ts';
import type { Home } from './home-fixture.ts';
import { ended, home } from './home-fixture.ts';

const built = useArtefacts();

/** Cuts the power when a file of this name comes about or is replaced in a folder. */
async function cutAt(
  { box }: Home,
  where: 'update' | 'slots',
  name: RegExp,
  then: () => Promise<void>,
): Promise<void> {
  const watched = where === 'update' ? box.updateDir : path.join(box.disk, 'hearth', 'update');
  await mkdir(watched, { recursive: true });
  let seen = false;
  const watcher = watch(watched, (_event, file) => {
    seen ||= name.test(file ?? '');
  });
  try {
    await then();
    await until(() => seen, `${name} was written`, 120_000);
    await box.cutPower();
  } finally {
    watcher.close();
  }
}

/** After whatever happened: the box starts, one good version runs, and what was ordered comes about when said again. */
async function comesThrough({ fleet, releases, box, boxId, told }: Home): Promise<void> {
  const from = fleet.received.length;
  box.start();
  const first = await told(() => true, from);
  assert.match(first.version, /^1\.[01]\.0$/);
  const order = releases.order('u-1', '1.1.0');
  const ask = setInterval(() => fleet.publish(boxId, fleet.sign(boxId, { type: 'update', order })), 1000);
  try {
    const last = await told(ended('u-1'), from);
    assert.deepEqual([last.version, last.update?.state], ['1.1.0', 'updated'], box.tail());
  } finally {
    clearInterval(ask);
  }
  assert.deepEqual(readdirSync(path.join(box.disk, 'hearth', 'update')), [`${built.good.sha256}.cjs`]);
}

describe('the power is cut', () => {
  for (const [when, where, name] of [
    ['when the metadata is remembered', 'update', /^trust\.json/],
    ['while it is fetched', 'slots', /\.part$/],
    ['when it lies in its place', 'slots', /^[0-9a-f]{64}\.cjs$/],
    ['when the switch is noted', 'update', /^record\.json/],
    ['when the choice is made', 'update', /^choice/],
    ['when the launcher counts its start', 'update', /^starts/],
  ] as const) {
    test(`${when}: one good version runs, and the update comes about`, async (t) => {
      const house = await home(t, built.packaged, built.good);
      const { releases, order } = house;
      await cutAt(house, where, name, () => order(releases.order('u-1', '1.1.0')));
      await comesThrough(house);
    });
  }

  test('when the new version is kept, and before that is noted', async (t) => {
    const house = await home(t, built.packaged, built.good);
    const { releases, order } = house;
    // The launcher's count comes after the first choice: the next choice is the one that keeps it.
    await cutAt(house, 'update', /^starts$/, () => order(releases.order('u-1', '1.1.0')));
    await cutAt(house, 'update', /^choice/, async () => house.box.start());
    await comesThrough(house);
  });

  test('again and again, at random', async (t) => {
    const house = await home(t, built.packaged, built.good);
    const { fleet, releases, box, boxId } = house;
    const order = releases.order('u-1', '1.1.0');
    const ask = setInterval(() => fleet.publish(boxId, fleet.sign(boxId, { type: 'update', order })), 500);
    try {
      for (let cut = 0; cut < 6; cut++) {
        await sleep(300 + Math.random() * 3_000);
        await box.cutPower();
        box.start();
      }
    } finally {
      clearInterval(ask);
    }
    await box.cutPower();
    // Three starts without proof end a trial: then it is said again under another id, as an operator would.
    const from = fleet.received.length;
    box.start();
    const first = await house.told(() => true, from);
    assert.match(first.version, /^1\.[01]\.0$/);
    const again = setInterval(
      () => fleet.publish(boxId, fleet.sign(boxId, { type: 'update', order: { ...order, updateId: 'u-2' } })),
      1000,
    );
    try {
      const last = await house.told(ended('u-2'), from);
      assert.deepEqual([last.version, last.update?.state], ['1.1.0', 'updated'], box.tail());
    } finally {
      clearInterval(again);
    }
  });
});
