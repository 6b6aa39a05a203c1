#!/usr/bin/env node
import v8 from 'node:v8';
import { PART_VARIABLE } from './again/again.ts';
import { connectPatiently } from './link/connecting.ts';
import { compileLittle } from './memory/compiling.ts';

// To wake other threads for the young objects of one megabyte costs more than they save.
v8.setFlagsFromString('--no-parallel-scavenge');
compileLittle();
connectPatiently();
// Before the first use of the pool: a disk that hangs keeps some of its threads, and others must be left.
process.env.UV_THREADPOOL_SIZE ??= '8';
// One file is all parts, and holds in memory only what it is: a worker has no use for the rest of the box.
const part = process.env[PART_VARIABLE];
if (part === 'worker') void import('./serve/workers/worker.ts').then(({ runWorker }) => runWorker());
else if (part === 'machine')
  void import('./hardware/tell-machine.ts').then(({ tellMachine }) => tellMachine());
else void import('./program.ts');
