import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { until } from '#agent/store/store-fixture.ts';
import { boxStatusSchema } from '#protocol/http-box.ts';
import { TestHousehold } from '#test/support/household.ts';
import { buildArtefact, HERE, useArtefacts } from './artefact-fixture.ts';
import { ended, home } from './home-fixture.ts';

const built = useArtefacts();

describe('a box is updated', () => {
  test('to a signed version: fetched, tried, switched to, proved, kept, and started from then on', async (t) => {
    const { fleet, releases, box, order, told } = await home(t, built.packaged, built.good);
    // A household keeps its projects on this disk, too.
    await writeFile(path.join(box.disk, 'package.json'), '{"type":"module"}');
    await order(releases.order('u-1', '1.1.0'));
    const report = await told(ended('u-1'));
    assert.deepEqual(
      { version: report.version, runs: report.runs, state: report.update?.state, root: report.rootVersion },
      { version: '1.1.0', runs: 'installed', state: 'updated', root: 1 },
    );
    assert.equal(report.architecture, HERE);
    assert.deepEqual(readdirSync(path.join(box.disk, 'hearth', 'update')), [`${built.good.sha256}.cjs`]);
    // Nothing of its proof is told to the fleet.
    assert.ok(!fleet.received.some(({ raw }) => raw.includes('se1ftest')));
    await box.cutPower();
    const from = fleet.received.length;
    box.log.length = 0;
    box.start();
    const again = await told(() => true, from);
    assert.deepEqual([again.version, again.update?.state], ['1.1.0', 'updated']);
    // And it tells its household.
    await until(() => box.lanUrl !== '', 'the dashboard is there');
    const status = boxStatusSchema.parse(await new TestHousehold(box).ask('/api/status'));
    assert.equal(status.box.agentVersion, '1.1.0');
    const { runs, last } = status.update ?? {};
    assert.deepEqual([runs, last?.version, last?.state], ['installed', '1.1.0', 'updated']);
    assert.equal(await box.stop(), 0);
  });

  test('the way back must be signed; then it needs no download', async (t) => {
    const { releases, order, told } = await home(t, built.packaged, built.good);
    const newer = await buildArtefact(built.folder, '1.3.0');
    await releases.release(newer);
    await order(releases.order('u-1', '1.1.0'));
    await told(ended('u-1'));
    await order(releases.order('u-2', '1.3.0'));
    assert.equal((await told(ended('u-2'))).version, '1.3.0');
    await order(releases.order('u-3', '1.1.0'));
    assert.equal((await told(ended('u-3'))).update?.reason?.code, 'release_rollback');
    await releases.release(built.good, { rollbackFrom: ['1.3.0'] });
    const asked = releases.asked.length;
    await order(releases.order('u-4', '1.1.0'));
    const back = await told(ended('u-4'));
    assert.deepEqual([back.version, back.update?.state], ['1.1.0', 'updated']);
    assert.equal(releases.asked.length, asked);
  });

  test('keys rotated twice while it was off; without its disk the packaged version runs, and then again the installed', async (t) => {
    const { fleet, releases, box, order, told } = await home(t, built.packaged, built.good);
    await order(releases.order('u-1', '1.1.0'));
    await told(ended('u-1'));
    await box.cutPower();
    releases.rotate();
    releases.rotate();
    const newer = await buildArtefact(built.folder, '1.3.0');
    await releases.release(newer);
    await rename(box.disk, `${box.disk}-away`);
    t.after(() => rm(`${box.disk}-away`, { recursive: true, force: true }));
    let from = fleet.received.length;
    box.start();
    assert.deepEqual((await told(() => true, from)).runs, 'packaged');
    from = fleet.received.length;
    await rename(`${box.disk}-away`, box.disk);
    const back = await told(({ runs }) => runs === 'installed', from);
    assert.equal(back.version, '1.1.0');
    await order(releases.order('u-2', '1.3.0'));
    const report = await told(ended('u-2'));
    assert.deepEqual([report.version, report.rootVersion, report.update?.state], ['1.3.0', 3, 'updated']);
  });
});
