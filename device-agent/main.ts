#!/usr/bin/env node
import v8 from 'node:v8';
import { WORKER_VARIABLE } from './serve/workers/spawn.ts';

// To wake other threads for the young objects of one megabyte costs more than they save.
v8.setFlagsFromString('--no-parallel-scavenge');
// Before the first use of the pool: a disk that hangs keeps some of its threads, and others must be left.
process.env.UV_THREADPOOL_SIZE ??= '8';
// One file is both, and holds in memory only what it is: a worker has no use for the rest of the box.
if (process.env[WORKER_VARIABLE] === undefined) void import('./program.ts');
else void import('./serve/workers/worker.ts').then(({ runWorker }) => runWorker());
