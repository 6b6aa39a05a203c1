import { parseArgs } from 'node:util';
import { arm } from './arm.ts';
import { assign } from './assign.ts';
import type { Bench } from './bench.ts';
import { eviction } from './eviction.ts';
import { index } from './index.ts';
import { describeMachine } from './measure.ts';
import { memory } from './memory.ts';
import { relayIdle } from './relay/idle.ts';
import { relay } from './relay/relay.ts';
import type { Figure } from './report.ts';
import { asJson, asTable } from './report.ts';
import { router } from './router.ts';
import { serve } from './serve.ts';
import { slow } from './slow.ts';
import { start } from './start.ts';
import { workers } from './workers.ts';

/** `npm run bench [name...] [-- --json] [--seconds 1] [--rounds 3]`: not a test, nothing fails for being slow. */
const BENCHES: Record<string, Bench> = {
  serve,
  workers,
  slow,
  router,
  memory,
  index,
  start,
  eviction,
  assign,
  relay,
  'relay-idle': relayIdle,
  arm,
};
/** Minutes on an emulated board, or ten thousand boxes: only when asked for by name. */
const ONLY_BY_NAME = ['arm', 'relay', 'relay-idle'];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    /** Measuring time of one run of one case. */
    seconds: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' },
  },
});
const names =
  positionals.length > 0 ? positionals : Object.keys(BENCHES).filter((name) => !ONLY_BY_NAME.includes(name));
const unknown = names.filter((name) => !Object.hasOwn(BENCHES, name));
const seconds = Number(values.seconds);
const rounds = Number(values.rounds);
if (unknown.length > 0 || !(seconds > 0 && seconds <= 600) || !(Number.isInteger(rounds) && rounds > 0)) {
  console.error(
    `usage: npm run bench [${Object.keys(BENCHES).join('|')}]... [-- --json --seconds 1 --rounds 3]`,
  );
  process.exit(2);
}

const figures: Figure[] = [];
const startedAt = Date.now();
const context = {
  measureMs: Math.round(seconds * 1000),
  rounds,
  emit: (figure: Figure) => {
    figures.push(figure);
    if (values.json) console.log(asJson(figure));
  },
  progress: (line: string) => console.error(`[${((Date.now() - startedAt) / 1000).toFixed(0)} s] ${line}`),
};
if (!values.json) console.log(`${describeMachine()}\n`);
else console.error(describeMachine());
let failed = false;
for (const name of names) {
  // What was measured is kept, whatever becomes of the rest.
  await BENCHES[name]?.(context).catch((error: unknown) => {
    failed = true;
    console.error(`${name}: broke off:`, error);
  });
  if (!values.json && figures.length > 0) console.log(`${asTable(figures.splice(0))}\n`);
}
if (!values.json) {
  console.log(
    'x nginx-...: ours beside nginx in the same run, above 1 ours is better (for CPU s/GB: bytes per CPU second).',
  );
}
process.exit(failed ? 1 : 0);
