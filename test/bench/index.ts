import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { AGENT_ENVIRONMENT } from '#agent/build.ts';
import type { Bench } from './bench.ts';

/** What one run in a process of its own printed. */
export interface IndexRun {
  objects: number;
  rssBytes: number;
  lookupNs: number;
}

/** Fills an index with so many assets, each with an object of its own, in a process set up as boxes run it. */
export function runIndex(what: 'catalog' | 'plain', objects: number): IndexRun {
  const program = join(import.meta.dirname, 'index-program.ts');
  // A process that has done nothing else: its resident memory grows by what is put in.
  const args = ['--expose-gc', '--disable-warning=ExperimentalWarning', program, what, String(objects)];
  const env = { ...process.env, ...AGENT_ENVIRONMENT };
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', timeout: 120_000, env }));
}

/** Memory and speed of the index of what is held, beside a Map of plain objects. */
export const index: Bench = async ({ emit, progress }) => {
  if (process.platform !== 'linux') return progress('index: skipped, needs Linux (/proc)');
  for (const objects of [100_000, 250_000, 500_000]) {
    progress(`index: ${objects} objects`);
    const [ours, plain] = [runIndex('catalog', objects), runIndex('plain', objects)];
    const name = `${objects} objects`;
    const report = (value: number, unit: string, peer: number) =>
      emit({ bench: 'index', case: name, value, unit, peer: 'map of objects', ratio: peer / value });
    report(ours.rssBytes / 1e6, 'MB RSS growth', plain.rssBytes / 1e6);
    report(ours.rssBytes / objects, 'bytes per object', plain.rssBytes / objects);
    report(ours.lookupNs, 'ns per lookup', plain.lookupNs);
  }
};
