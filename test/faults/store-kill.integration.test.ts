import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { messageOf } from '#protocol/errors.ts';
import type { Area, Death } from './deaths.ts';
import { AREAS } from './deaths.ts';
import {
  assertAccounted,
  buildProgram,
  live,
  Memory,
  makeObjects,
  makeOld,
  newBox,
  PART_BYTES,
} from './store-lives.ts';

const KILLS = Number(process.env.HEARTH_TEST_KILLS ?? 208);
const KILLS_OF_EACH = Math.ceil(KILLS / AREAS.length);
/** Set to what a failed run has printed to have the same kills again. */
const SEED = Number(process.env.HEARTH_TEST_SEED ?? randomInt(2 ** 31));
/** Boxes killed side by side, each on a disk of its own. */
const BOXES = 2;
/** After so many kills a box comes to rest, and its disk is gone through. */
const KILLS_PER_REST = 8;
/** Lives of a box; a life often ends before the change that it is to be killed in. */
const MOST_LIVES = 10 * KILLS;
/** Changes of a kind a life makes, until lives that reached their end tell. */
const FEW = 4;

/** Numbers for a life, the same for the same seed. */
function numbersOf(seed: number): (bound: number) => number {
  let turn = 0;
  return (bound) => ((Math.imul((seed + turn++ * 40_503) | 0, 2654435761) ^ (seed >>> 7)) >>> 8) % bound;
}

test(`store: killed at ${KILLS} points of all it does, nothing is wrong, lost or left`, async (t) => {
  t.diagnostic(`seed ${SEED}: HEARTH_TEST_SEED=${SEED} repeats it`);
  const program = await buildProgram(t);
  const kills = new Map<Area, number>(AREAS.map((area) => [area, 0]));
  /** How many changes of each kind the last life that reached its end has made: the next may make fewer. */
  const usual = new Map<Area, number>();
  const manners = { before: 0, after: 0, torn: 0 };
  const manner = { done: 0, chunks: 0, evicted: 0, variants: 0, rests: 0 };
  /** What has been killed least, of what is still to be killed. */
  const next = (): Area | null => {
    const [least] = [...kills].filter(([, count]) => count < KILLS_OF_EACH).sort((a, b) => a[1] - b[1]);
    return least?.[0] ?? null;
  };
  const box = async (number: number) => {
    const objects = await makeObjects(t, 16);
    const { folder, root, stateDir } = await newBox(t);
    const memory = new Memory(objects.manifests);
    const job = { root, stateDir, ...objects, partBytes: PART_BYTES, fleet: 'answers' as const };
    const rest = async (seed: number) => {
      const lived = await live(program, folder, { ...job, seed, rounds: 0, death: null, settleMs: 0 });
      memory.follow(lived);
      await assertAccounted(root, lived);
      manner.rests++;
    };
    let killed = 0;
    for (let life = 0; ; life++) {
      const area = next();
      if (area === null) break;
      assert.ok(
        life < MOST_LIVES,
        `it does not come to ${area}: ${JSON.stringify(Object.fromEntries(kills))}`,
      );
      const seed = (SEED + number * 100_003 + life * 7919) | 0;
      const random = numbersOf(seed);
      const death: Death = {
        area,
        at: 1 + random(Math.max(1, usual.get(area) ?? FEW)),
        manner: (['before', 'after', 'torn'] as const)[random(3)] ?? 'before',
      };
      const what = `seed ${SEED}, box ${number}, life ${life}: ${JSON.stringify(death)}`;
      if (life > 0 && (area === 'move' || random(4) === 0)) await makeOld(root);
      const fleet = area === 'evict alone' ? ('away' as const) : ('answers' as const);
      const settleMs = random(2) * 20;
      const lived = await live(program, folder, { ...job, seed, death, fleet, settleMs, rounds: 1 });
      if (typeof lived.ended === 'object') assert.fail(`${what}: ${lived.ended.fault}`);
      for (const said of lived.said) {
        if (said.say === 'kept') manner.chunks++;
        else if (said.say === 'evicted') manner.evicted++;
        else if (said.say === 'found') manner.variants += said.variants;
        else if (said.say === 'done') {
          manner.done++;
          for (const one of AREAS) if (said.counts[one]) usual.set(one, said.counts[one]);
        } else if (said.say === 'dies') {
          kills.set(area, (kills.get(area) ?? 0) + 1);
          manners[death.manner]++;
          killed++;
        }
      }
      try {
        memory.follow(lived);
        if (lived.ended === 'done') await assertAccounted(root, lived);
        else if (killed % KILLS_PER_REST === 0) await rest(seed);
      } catch (error) {
        const last = JSON.stringify(lived.said.at(-1));
        throw new Error(`${what}: ${last}: ${messageOf(error)}`, { cause: error });
      }
    }
    await rest(SEED);
  };
  await Promise.all(Array.from({ length: BOXES }, (_, number) => box(number)));
  t.diagnostic(`kills ${JSON.stringify(Object.fromEntries(kills))}, ${JSON.stringify(manners)}`);
  t.diagnostic(`lives ${JSON.stringify(manner)}`);
  for (const [area, count] of kills) assert.ok(count >= KILLS_OF_EACH, `${area}: killed ${count} times`);
  assert.ok(Math.min(...Object.values(manners)) > KILLS / 10, JSON.stringify(manners));
  const { chunks, evicted, variants } = manner;
  assert.ok(
    chunks > KILLS && evicted > KILLS / 4 && variants > KILLS / 4,
    `too little: ${JSON.stringify(manner)}`,
  );
});
