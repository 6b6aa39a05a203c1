import { pino, stdTimeFunctions } from 'pino';
import { messageOf } from '#protocol/errors.ts';
import { startFleet } from './fleet.ts';
import { readOptions } from './options.ts';

/** `node fleet-server/main.ts`: reads the options, starts the roles, and stops them in order when told to. */
const read = readOptions(process.env);
if ('faults' in read) {
  for (const fault of read.faults) process.stderr.write(`fleet-server: ${fault}\n`);
  process.exit(2);
}
const log = pino({
  level: read.options.HEARTH_LOG_LEVEL,
  base: { program: 'fleet-server' },
  timestamp: stdTimeFunctions.isoTime,
});

try {
  const fleet = await startFleet(read.options, log);
  let stopping = false;
  const stop = async (signal: string): Promise<void> => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, 'stopping');
    // What cannot be closed in this time is left to the next start, which is made for that.
    setTimeout(() => process.exit(1), 15_000).unref();
    await fleet.close();
    log.info('stopped');
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal));
  // Whoever started this waits for the line, whatever level it chose.
  log.child({}, { level: 'info' }).info(fleet.urls, 'ready');
} catch (error) {
  log.fatal(
    { err: messageOf(error), cause: error instanceof Error ? error.cause : undefined },
    'cannot start',
  );
  process.exit(1);
}
