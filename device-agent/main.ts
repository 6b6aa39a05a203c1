#!/usr/bin/env node
import v8 from 'node:v8';
import { PART_VARIABLE } from './again/again.ts';

// To wake other threads for the young objects of one megabyte costs more than they save.
v8.setFlagsFromString('--no-parallel-scavenge');
// The first function the optimizing compiler takes brings 5 MB of its own pages into memory, and making the schemas at the
// start is reason enough for it: so only what is called very often, which under load is a moment. 4 MB are saved by
// keeping less of what was compiled and not used since.
const [v8Major = 0] = process.versions.v8.split('.').map(Number);
const FLAGS: Record<number, string[]> = {
  // Node 20
  11: ['--optimize-for-size', '--interrupt-budget=900000'],
  // Node 22
  12: ['--optimize-for-size', '--minimum-invocations-before-optimization=50000', '--bytecode-old-age=1'],
};
for (const flag of FLAGS[v8Major] ?? []) v8.setFlagsFromString(flag);
// Before the first use of the pool: a disk that hangs keeps some of its threads, and others must be left.
process.env.UV_THREADPOOL_SIZE ??= '8';
// One file is all parts, and holds in memory only what it is: a worker has no use for the rest of the box.
const part = process.env[PART_VARIABLE];
if (part === 'worker') void import('./serve/workers/worker.ts').then(({ runWorker }) => runWorker());
else if (part === 'machine')
  void import('./hardware/tell-machine.ts').then(({ tellMachine }) => tellMachine());
else void import('./program.ts');
