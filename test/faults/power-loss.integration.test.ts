import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { cannotMake, TestDisk } from '#agent/disks/disk-fixture.ts';
import { MIB } from '#agent/store/store-fixture.ts';
import {
  assertAccounted,
  buildProgram,
  live,
  Memory,
  makeObjects,
  newBox,
  PART_BYTES,
} from './store-lives.ts';

const CUTS = 10;
const SEED = Number(process.env.HEARTH_TEST_SEED ?? randomInt(2 ** 31));

test(
  `store: the power goes ${CUTS} times: what the kernel had not written yet is gone, and nothing wrong is served`,
  cannotMake('ext4'),
  async (t) => {
    t.diagnostic(`seed ${SEED}: HEARTH_TEST_SEED=${SEED} repeats it`);
    const program = await buildProgram(t);
    const objects = await makeObjects(t, 16);
    const { folder, stateDir } = await newBox(t);
    const root = mkdtempSync(path.join(os.tmpdir(), 'hearth-power-'));
    const memory = new Memory(objects.manifests);
    // As on a board, and unlike elsewhere in these tests, what was committed stays in doubt for a while.
    const job = {
      root,
      stateDir,
      ...objects,
      partBytes: PART_BYTES,
      settleMs: 5_000,
      rounds: 100,
      death: null,
      fleet: 'answers' as const,
    };
    let disk = new TestDisk(t, 'ext4', { sizeBytes: 96 * MIB });
    t.after(() => rmSync(root, { recursive: true, force: true }));
    disk.plugIn(root);
    let chunks = 0;
    for (let cut = 0; cut < CUTS; cut++) {
      const seed = (SEED + cut * 7919) | 0;
      const lived = await live(
        program,
        folder,
        { ...job, seed },
        400 + ((Math.imul(seed, 2654435761) >>> 0) % 1200),
      );
      // What has reached the device when the power goes, and nothing of what is still in memory.
      const after = new TestDisk(t, 'ext4', { copyOf: disk.image });
      disk.pull();
      disk = after;
      disk.plugIn(root);
      if (typeof lived.ended === 'object') assert.fail(`seed ${SEED}, cut ${cut}: ${lived.ended.fault}`);
      chunks += lived.said.filter((one) => one.say === 'kept').length;
      try {
        memory.follow(lived, true);
      } catch (error) {
        throw new Error(`seed ${SEED}, cut ${cut}`, { cause: error });
      }
    }
    const last = await live(program, folder, { ...job, seed: SEED, rounds: 0 });
    memory.follow(last, true);
    await assertAccounted(root, last);
    assert.ok(chunks > CUTS, `${chunks} chunks: too little was going on`);
    execFileSync('umount', [root]);
    execFileSync('fsck.ext4', ['-n', '-f', disk.device], { stdio: 'ignore' });
  },
);
