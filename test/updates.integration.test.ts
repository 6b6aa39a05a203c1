import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { BuiltArtefact } from '#agent/update/artefact-fixture.ts';
import { buildArtefact, entryOf } from '#agent/update/artefact-fixture.ts';
import { LaunchedBox } from '#agent/update/box-fixture.ts';
import { RepositoryFixture } from '#fleet/releases/repository-fixture.ts';
import { type FleetFixture, fleetFixture, TOKEN, until } from '#fleet/testing/fleet-fixture.ts';
import { claimSchema } from '#protocol/http-fleet.ts';
import type { Artefact } from '#protocol/release.ts';
import type { RolloutDetail, RolloutState } from '#protocol/rollout.ts';
import { releasesSchema, rolloutDetailSchema } from '#protocol/rollout.ts';

const BOXES = 3;
/** For three boxes to restart twice on a machine that has other things to do. */
const PATIENCE_MS = 240_000;

/** One story: a real fleet, three real boxes, one release after the other. */
describe('a release comes onto the boxes', () => {
  const repository = new RepositoryFixture();
  let fleet: FleetFixture;
  let folder: string;
  const boxes: LaunchedBox[] = [];

  before(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'hearth-updates-'));
    fleet = await fleetFixture();
  });
  after(async () => {
    for (const box of boxes) await box.cutPower();
    await fleet?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function release(built: BuiltArtefact, terms: Partial<Artefact> = {}): Promise<void> {
    const { sha256, file } = built;
    repository.artefacts.push(entryOf(built, terms));
    const uploaded = await fleet.raw('PUT', `/api/v1/updates/artefacts/${sha256}`, {
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/octet-stream' },
      body: new Uint8Array(await readFile(file)),
    });
    assert.equal(uploaded.status, 200, uploaded.text);
    await fleet.ask('POST', '/releases', { files: repository.files() }, releasesSchema);
  }

  const rollOut = (version: string) =>
    fleet.ask('POST', '/rollouts', { version, waves: [30, 100], soakMs: 500 }, rolloutDetailSchema);

  async function endOf(id: string, state: RolloutState): Promise<RolloutDetail> {
    let last: RolloutDetail | null = null;
    try {
      return await until(
        `the rollout is ${state}`,
        async () => {
          last = await fleet.ask('GET', `/rollouts/${id}`, undefined, rolloutDetailSchema);
          return last.state === state && last;
        },
        PATIENCE_MS,
      );
    } catch (error) {
      throw new Error(
        `${String(error)}\n${JSON.stringify(last, null, 1)}\n${boxes.map((box) => box.tail()).join('\n')}`,
      );
    }
  }

  /** What runs on the boxes, by their own word; a database that is busy is asked again. */
  async function versions(): Promise<unknown[]> {
    const sql = "SELECT report ->> 'version' AS version FROM box_updates ORDER BY box_id";
    const rows = await fleet.database.query(sql).catch(() => []);
    return rows.map(({ version }) => version);
  }

  const runsEverywhere = async () => (await versions()).join() === Array(BOXES).fill('1.1.0').join();

  test('a good one goes to the canary, and then to the others', async (t) => {
    const packaged = await buildArtefact(folder, '1.0.0');
    for (let made = 0; made < BOXES; made++) {
      const { code } = await fleet.ask('POST', '/claims', { label: `box ${made}` }, claimSchema);
      const box = await LaunchedBox.make(t, {
        packaged: packaged.file,
        packagedVersion: packaged.version,
        root: repository.roots['1.root.json'] ?? '',
        env: { HEARTH_FLEET_URL: fleet.apiUrl, HEARTH_CLAIM_CODE: code },
        keep: folder,
      });
      boxes.push(box);
      box.start();
    }
    await until('all boxes can be updated', async () => (await versions()).length === BOXES, PATIENCE_MS);
    await release(await buildArtefact(folder, '1.1.0'), { rollbackFrom: ['1.2.0'] });
    const { id } = await rollOut('1.1.0');
    const detail = await endOf(id, 'finished');
    await until('it runs everywhere', runsEverywhere, PATIENCE_MS);
    const order = detail.events.map(({ kind }) => kind).reverse();
    assert.deepEqual(order.slice(0, 4), ['created', 'box_updated', 'wave_met', 'wave_begun']);
    assert.equal(order.filter((kind) => kind === 'box_updated').length, BOXES);
  });

  test('one that crashes is undone by the canary itself, and goes no further', async () => {
    await release(await buildArtefact(folder, '1.2.0', 'crashes'));
    const { id } = await rollOut('1.2.0');
    const detail = await endOf(id, 'rolled_back');
    const counts = detail.waves.map(({ counts }) => counts);
    assert.deepEqual([counts[0]?.failed, counts[1]?.pending], [1, BOXES - 1]);
    assert.equal(detail.targets.find(({ state }) => state === 'failed')?.reason?.code, 'update_crashed');
    await until('the good version runs everywhere', runsEverywhere, PATIENCE_MS);
  });
});
