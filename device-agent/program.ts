import pino from 'pino';
import { messageOf } from '#protocol/errors.ts';
import { architectureOf } from '#protocol/release.ts';
import { Agent } from './agent.ts';
import { Password } from './lan/password.ts';
import { LogRing } from './logs/log-ring.ts';
import { readOptions } from './options.ts';
import { tellReach } from './reach/doctor.ts';
import { readLaunched, START_AGAIN } from './update/launched.ts';
import { AGENT_VERSION, BUILT_FOR } from './version.ts';

/** How often it is seen that the launcher is still there, ms. */
const ORPHAN_MS = 2_000;
/** Closing takes no longer than this beside the drain, ms. */
const CLOSING_MS = 30_000;

// Before a version is switched to, it is asked this.
if (process.argv[2] === '--version') {
  const architecture = BUILT_FOR ?? architectureOf(process.arch) ?? process.arch;
  process.stdout.write(`${JSON.stringify({ version: AGENT_VERSION, architecture })}\n`);
  process.exit(0);
}
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
} else if (process.argv[2] === 'reset-password') {
  Password.forget(options.stateDir).then(
    (forgotten) => {
      const told = forgotten
        ? 'The password is forgotten. Start the agent again, then open the dashboard and set another.'
        : 'There is no password: open the dashboard and set one.';
      process.stdout.write(`${told}\n`);
      process.exit(0);
    },
    (error) => {
      process.stderr.write(`hearth-agent: ${messageOf(error)}\n`);
      process.exit(1);
    },
  );
} else {
  Agent.start(options, log, logs, () => leave(START_AGAIN, 'another version is to run')).then(
    untilStopped,
    (error) => {
      log.fatal({ reason: messageOf(error) }, 'the agent cannot start');
      process.exit(1);
    },
  );
}

/** Until there is an agent, there is nothing to close. */
let leave: (status: number, why: string) => void = (status) => process.exit(status);

function untilStopped(agent: Agent): void {
  let stopping = false;
  leave = (status, why) => {
    if (stopping) return;
    stopping = true;
    log.info({ why }, 'stopping: running responses may end first');
    // A disk that hangs must not keep the box from coming back.
    setTimeout(() => process.exit(status), options.drainMs + CLOSING_MS).unref();
    agent.close().then(
      () => {
        log.info('stopped');
        process.exit(status);
      },
      (error) => {
        log.error({ reason: messageOf(error) }, 'stopped with trouble');
        process.exit(status || 1);
      },
    );
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => leave(0, signal));
  const launched = readLaunched(process.env);
  // Whoever starts the launcher again finds the ports free.
  const watch = setInterval(() => {
    if (launched && process.ppid !== launched.launcherPid) leave(0, 'the launcher is gone');
  }, ORPHAN_MS);
  watch.unref();
  // Whoever started this waits for the line, whatever level it chose; from here on it can be told to stop.
  log.child({}, { level: 'info' }).info(agent.urls, 'ready');
}
