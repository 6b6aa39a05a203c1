#!/usr/bin/env node
import pino from 'pino';
import { messageOf } from '#protocol/errors.ts';
import { Agent } from './agent.ts';
import { LogRing } from './logs/log-ring.ts';
import { readOptions } from './options.ts';
import { tellReach } from './reach/doctor.ts';

// Before the first use of the pool: a disk that hangs keeps some of its threads, and others must be left.
process.env.UV_THREADPOOL_SIZE ??= '8';
const read = readOptions(process.env);
if ('faults' in read) {
  for (const fault of read.faults) process.stderr.write(`hearth-agent: ${fault}\n`);
  process.exit(2);
}
const { options } = read;
const logs = new LogRing(pino.destination({ fd: 1, sync: true }));
const log = pino(
  { level: options.logLevel, base: { program: 'agent' }, timestamp: pino.stdTimeFunctions.isoTime },
  logs,
);

if (process.argv[2] === 'doctor') {
  tellReach(options).then(
    (lines) => {
      process.stdout.write(`${lines.join('\n')}\n`);
      process.exit(0);
    },
    (error) => {
      process.stderr.write(`hearth-agent: ${messageOf(error)}\n`);
      process.exit(1);
    },
  );
} else {
  Agent.start(options, log, logs).then(untilStopped, (error) => {
    log.fatal({ reason: messageOf(error) }, 'the agent cannot start');
    process.exit(1);
  });
}

function untilStopped(agent: Agent): void {
  let stopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) return;
      stopping = true;
      log.info({ signal }, 'stopping: running responses may end first');
      agent.close().then(
        () => {
          log.info('stopped');
          process.exit(0);
        },
        (error) => {
          log.error({ reason: messageOf(error) }, 'stopped with trouble');
          process.exit(1);
        },
      );
    });
  }
  // Whoever started this waits for the line, whatever level it chose; from here on it can be told to stop.
  log.child({}, { level: 'info' }).info(agent.urls, 'ready');
}
