import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { buildArtefact, HERE } from '#agent/update/artefact-fixture.ts';
import { LaunchedBox } from '#agent/update/box-fixture.ts';
import { claimSchema, waitFor } from '#fleet/client/fleet-api.ts';
import { RepositoryFixture } from '#fleet/releases/repository-fixture.ts';
import { isHearthError } from '#protocol/errors.ts';
import { type RolloutDetail, releasesSchema, rolloutDetailSchema } from '#protocol/rollout.ts';
import { useSystem } from '#test/support/system.ts';

const PATIENCE = { timeoutMs: 240_000, everyMs: 200 };
const BOXES = 2;

describe('the fleet-server is killed in the middle of a rollout', () => {
  const get = useSystem({ boxes: 0 });
  const repository = new RepositoryFixture();
  const boxes: LaunchedBox[] = [];
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'hearth-rollout-'));
  });
  after(async () => {
    for (const box of boxes) await box.cutPower();
    await rm(folder, { recursive: true, force: true });
  });

  it('goes on where it was, and nothing is done twice', async (t) => {
    const system = get();
    const packaged = await buildArtefact(folder, '1.0.0');
    const next = await buildArtefact(folder, '1.1.0');
    for (let made = 0; made < BOXES; made++) {
      const { code } = await system.api.post('/claims', { label: `box ${made}` }, claimSchema);
      const box = await LaunchedBox.make(t, {
        packaged: packaged.file,
        packagedVersion: packaged.version,
        root: repository.roots['1.root.json'] ?? '',
        env: { HEARTH_FLEET_URL: system.api.url, HEARTH_CLAIM_CODE: code },
        keep: folder,
      });
      boxes.push(box);
      box.start();
    }
    const { version, sha256, sizeBytes, file } = next;
    repository.artefacts.push({
      ...{ version, sha256, sizeBytes, architecture: HERE, minimumFrom: '0.0.0', rollbackFrom: [] },
    });
    await system.api.upload(`/updates/artefacts/${sha256}`, new Blob([new Uint8Array(await readFile(file))]));
    await system.api.post('/releases', { files: repository.files() }, releasesSchema);

    // While it is down, and while it comes up, it cannot be asked.
    const quietly = <T>(asked: Promise<T>) =>
      asked.catch((error) => {
        if (isHearthError(error, 'unavailable') || isHearthError(error, 'conflict')) return null;
        throw error;
      });
    await waitFor(
      async () =>
        (await system.knownBoxes()).filter(({ state }) => state === 'online').length === BOXES || null,
      () => `the boxes did not come\n${boxes.map((box) => box.tail()).join('\n')}`,
      PATIENCE,
    );
    const wish = { version: '1.1.0', waves: [50, 100], soakMs: 2_000 };
    const { id } = await waitFor(
      () => quietly(system.api.post('/rollouts', wish, rolloutDetailSchema)),
      'no box can be updated',
      PATIENCE,
    );
    let last: RolloutDetail | null = null;
    const until = (what: string, isSo: (detail: RolloutDetail) => boolean) =>
      waitFor(
        async () => {
          last = (await quietly(system.api.get(`/rollouts/${id}`, rolloutDetailSchema))) ?? last;
          return last && isSo(last) ? last : null;
        },
        () => `${what}: ${JSON.stringify(last, null, 1)}\n${boxes.map((box) => box.tail()).join('\n')}`,
        PATIENCE,
      );
    for (const [moment, isSo] of [
      ['a box has been told', ({ targets }) => targets.some(({ state }) => state !== 'pending')],
      ['a box has been updated', ({ targets }) => targets.some(({ state }) => state === 'updated')],
      ['the second wave has begun', ({ wave }) => wave > 0],
    ] as [string, (detail: RolloutDetail) => boolean][]) {
      await until(moment, isSo);
      await system.killFleet();
      await system.startFleet();
    }
    const detail = await until('it has finished', ({ state }) => state === 'finished');
    await until('all are updated', ({ targets }) => targets.every(({ state }) => state === 'updated'));
    const kinds = detail.events.map(({ kind }) => kind);
    for (const kind of ['created', 'wave_begun', 'finished']) {
      assert.equal(kinds.filter((one) => one === kind).length, 1, `${kind}: ${kinds.join()}`);
    }
    const updated = (last ?? detail).events.filter(({ kind }) => kind === 'box_updated');
    assert.equal(new Set(updated.map(({ boxId }) => boxId)).size, BOXES);
    assert.equal(updated.length, BOXES);
    for (const { version: runs, state } of (last ?? detail).targets)
      assert.deepEqual([runs, state], ['1.1.0', 'updated']);
  });
});
