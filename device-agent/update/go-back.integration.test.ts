import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { buildArtefact, useArtefacts } from './artefact-fixture.ts';
import { ended, home } from './home-fixture.ts';

const built = useArtefacts();

/** Long enough for a slow machine to start a version that will fail, short enough to wait for. */
const DEADLINE = { HEARTH_UPDATE_DEADLINE_MS: '20000' };

describe('a box goes back by itself', () => {
  for (const [fault, code, env] of [
    ['crashes', 'update_crashed', {}],
    ['cannot-serve', 'update_unhealthy', DEADLINE],
    ['hangs', 'update_timeout', DEADLINE],
    ['lies', 'update_unrunnable', {}],
  ] as const) {
    test(`from a version that ${fault}`, async (t) => {
      const { releases, box, order, told } = await home(t, built.packaged, built.good, env);
      const bad = await buildArtefact(built.folder, '1.2.0', fault);
      await releases.release(bad);
      await order(releases.order('u-bad', '1.2.0'));
      const report = await told((one) => ended('u-bad')(one) && one.version === '1.0.0');
      assert.deepEqual([report.update?.state, report.update?.reason?.code], ['failed', code], box.tail());
      if (env === DEADLINE) return;
      // And it is no hindrance to the next.
      await order(releases.order('u-good', '1.1.0'));
      const next = await told(ended('u-good'));
      assert.deepEqual([next.version, next.update?.state], ['1.1.0', 'updated'], box.tail());
      assert.ok(!existsSync(path.join(box.disk, 'hearth', 'update', `${bad.sha256}.cjs`)));
    });
  }
});
