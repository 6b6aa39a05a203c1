import { join } from 'node:path';
import { isHearthError, messageOf } from '#protocol/errors.ts';
import type { Site } from '#protocol/http-fleet.ts';
import { ROOT } from './program.ts';
import type { Death } from './system.ts';
import { BOX_COUNT, LocalSystem } from './system.ts';
import { earningsTable, Tour } from './tour.ts';
import { buildWebui } from './webui.ts';
import { Workspace } from './workspace.ts';

/**
 * `npm start [-- --once]`: the whole of Hearth on this machine. HEARTH_DATA is the folder it keeps everything in
 * (default `.hearth`), DATABASE_URL a Postgres to use in place of the embedded one.
 */
const USAGE = 'usage: npm start [-- --once]   (environment: HEARTH_DATA, DATABASE_URL)';

const STANDARD_DATA = join(ROOT, '.hearth');
const startedAt = Date.now();
const say = (line: string) => {
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(1).padStart(6);
  process.stdout.write(`[${seconds} s] ${line}\n`);
};

async function main(): Promise<number> {
  const args = process.argv.slice(2);
  const unknown = args.filter((arg) => arg !== '--once');
  if (unknown.length > 0) {
    console.error(`unknown: ${unknown.join(' ')}\n${USAGE}`);
    return 2;
  }
  const once = args.includes('--once');
  const stop = new AbortController();
  let interrupted = false;
  const interrupt = () => {
    if (interrupted) {
      // The programs are killed as this one exits; the next start recovers.
      say('stopped by force');
      process.exit(130);
    }
    interrupted = true;
    say('stopping (again: by force)');
    stop.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);

  let workspace: Workspace | null = null;
  let system: LocalSystem | null = null;
  let code = 1;
  try {
    workspace = await Workspace.open(process.env.HEARTH_DATA || STANDARD_DATA, BOX_COUNT, say);
    buildWebui(say);
    system = new LocalSystem(workspace, say, stop.signal);
    const site = await untilDeath(system, stop, runTour(system, stop.signal));
    say('done: assigned, cached, served, earned');
    process.stdout.write(`\n${await earningsTable(system)}\n`);
    code = 0;
    if (!once) {
      process.stdout.write(guide(system, workspace, site));
      await stayUp(system, stop.signal);
    }
  } catch (error) {
    // Interrupted while it stays up or was coming up: that is how one stops it.
    code = interrupted && !once ? 0 : 1;
    if (!interrupted) say(`FAILED: ${isHearthError(error) ? error.message : (error as Error).stack}`);
  } finally {
    try {
      await system?.stop();
      workspace?.close();
      if (system) say('all stopped');
    } catch (error) {
      say(`not everything could be stopped in order: ${messageOf(error)}`);
      code = 1;
    }
  }
  return code;
}

async function runTour(system: LocalSystem, signal: AbortSignal): Promise<Site> {
  await system.start(process.env.DATABASE_URL || undefined);
  return new Tour(system, say, signal).run();
}

/** `work`, unless a part of the system dies under it: then that is the error, at once. */
function untilDeath<T>(system: LocalSystem, stop: AbortController, work: Promise<T>): Promise<T> {
  return new Promise((done, fail) => {
    system.onDeath = (death) => {
      fail(new Error(deathNotice(death)));
      stop.abort();
    };
    work.then(done, fail);
  });
}

function stayUp(system: LocalSystem, signal: AbortSignal): Promise<void> {
  system.onDeath = (death) => {
    say(deathNotice(death));
    say('the rest goes on; Ctrl-C stops it, and npm start begins again with the same data');
  };
  const keepAlive = setInterval(() => {}, 1 << 30);
  return new Promise((done) => {
    const finish = () => {
      clearInterval(keepAlive);
      done();
    };
    if (signal.aborted) finish();
    else signal.addEventListener('abort', finish, { once: true });
  });
}

function deathNotice({ name, lastLines }: Death): string {
  return `${name} has ended by itself. It said last:\n${lastLines}`;
}

function guide(system: LocalSystem, workspace: Workspace, site: Site): string {
  const { settings } = workspace;
  const client = `http://${site.hostname}:${settings.ports.router}`;
  return [
    `operator's console  ${system.api.url}/   user admin, password ${settings.adminPassword}`,
    `API documentation   ${system.api.url}/docs`,
    `the video           ${client}/bbb.mp4`,
    ...(system.video.withoutHls === null ? [`as HLS              ${client}/hls/index.m3u8`] : []),
    ...system.boxes.map(
      (box) => `${box.label.padEnd(20)}${box.lanUrl}/   (its dashboard; set a password there first)`,
    ),
    '',
    'The command line, in another terminal here:',
    `  ${workspace.directory === STANDARD_DATA ? '' : `HEARTH_DATA=${workspace.directory} `}npm run -s hearth -- boxes`,
    '',
    `Data, logs and the password are in ${workspace.directory}. Ctrl-C stops everything.`,
    '',
    '',
  ].join('\n');
}

process.exitCode = await main();
// A timer or socket someone forgot must not keep the terminal.
setTimeout(() => process.exit(), 2_000).unref();
