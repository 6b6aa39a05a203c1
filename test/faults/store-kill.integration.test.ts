import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { buildProgram, filesOf, live, Memory, makeObjects, newBox, PART_BYTES } from './store-lives.ts';

const KILLS = Number(process.env.HEARTH_TEST_KILLS ?? 200);
/** Set to what a failed run has printed to have the same kills again. */
const SEED = Number(process.env.HEARTH_TEST_SEED ?? randomInt(2 ** 31));
/** Boxes killed side by side, each on a disk of its own. */
const BOXES = 2;
/** A life makes some two hundred changes to its files. */
const LAST_CHANGE = 160;

test(`store: killed at ${KILLS} points of download, eviction and index writes, nothing is wrong, lost or left`, async (t) => {
  t.diagnostic(`seed ${SEED}: HEARTH_TEST_SEED=${SEED} repeats it`);
  const program = await buildProgram(t);
  let kills = 0;
  const manner = { done: 0, chunks: 0, held: 0 };
  const box = async (number: number) => {
    const manifests = await makeObjects(t, 16);
    const { folder, root, stateDir } = await newBox(t);
    const memory = new Memory(manifests);
    const job = { root, stateDir, manifests, partBytes: PART_BYTES, settleMs: 0, rounds: 3 };
    for (let life = 0; kills < KILLS; life++) {
      const seed = (SEED + number * 100_003 + life * 7919) | 0;
      const killAt = 1 + ((Math.imul(seed, 2654435761) >>> 0) % LAST_CHANGE);
      const lived = await live(program, folder, { ...job, seed, killAt });
      const what = `seed ${SEED}, box ${number}, life ${life}, change ${killAt}`;
      if (typeof lived.ended === 'object') assert.fail(`${what}: ${lived.ended.fault}`);
      if (lived.ended === 'killed') kills++;
      else manner.done++;
      manner.chunks += lived.said.filter((one) => one.say === 'kept').length;
      try {
        memory.follow(lived);
      } catch (error) {
        throw new Error(what, { cause: error });
      }
    }
    const last = await live(program, folder, { ...job, seed: SEED, rounds: 0, killAt: 0 });
    memory.follow(last);
    const end = last.said.at(-1);
    assert.ok(end?.say === 'done', JSON.stringify(last.ended));
    const files = await filesOf(root);
    assert.deepEqual(files.other, [], 'left behind');
    assert.equal(files.objectBytes, end.usedBytes, 'what it says it uses, to the byte');
    assert.equal(files.manifests, end.wanted.length);
  };
  await Promise.all(Array.from({ length: BOXES }, (_, number) => box(number)));
  assert.ok(kills >= KILLS);
  assert.ok(manner.chunks > KILLS, `${JSON.stringify(manner)}: too little was going on`);
  t.diagnostic(`${kills} kills, ${manner.done} lives that reached their end, ${manner.chunks} chunks kept`);
});
