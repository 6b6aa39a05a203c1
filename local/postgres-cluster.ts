import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { HearthError } from '#protocol/errors.ts';
import { readIfThere, writePrivate } from './files.ts';
import type { PostgresAccount } from './postgres-account.ts';
import { canEnter, runAs } from './postgres-account.ts';
import { openSharedHome, SHARED_HOME } from './postgres-binaries.ts';

export const SUPERUSER = 'postgres';

/** Where a database lies and how one gets in; kept in `cluster.json`, which only its owner can read. */
export interface Cluster {
  password: string;
  /** Postgres's own data folder. */
  data: string;
  /** False while the folder is being made: what lies there is then a part, or whole and just not marked so. */
  made: boolean;
}

/**
 * The database of a folder, or null when there is none yet.
 * @throws HearthError `unavailable` when its data is gone
 */
export function existingCluster(directory: string): Cluster | null {
  const text = readIfThere(join(directory, 'cluster.json'));
  if (text === null) return null;
  const cluster = JSON.parse(text) as Cluster;
  if (existsSync(join(cluster.data, 'PG_VERSION'))) {
    if (!cluster.made)
      writePrivate(join(directory, 'cluster.json'), describeCluster({ ...cluster, made: true }));
    return cluster;
  }
  if (!cluster.made) return null;
  throw new HearthError(
    'unavailable',
    `the database of ${directory} is gone from ${cluster.data}: put it back, or remove ${directory} to begin anew`,
  );
}

function describeCluster(cluster: Cluster): string {
  return `${JSON.stringify(cluster)}\n`;
}

/** initdb into a folder beside, then one rename and one small file: killed in between, it begins anew. */
export function makeCluster(
  directory: string,
  initdb: string,
  account: PostgresAccount,
  isNew: boolean,
  log: (line: string) => void,
): Cluster {
  let data = join(directory, 'data');
  if (!canEnter(account, directory)) {
    openSharedHome();
    data = join(SHARED_HOME, createHash('sha256').update(directory).digest('hex').slice(0, 16));
    log(`${directory} is closed to the user "${account?.name}": the database is kept in ${data}`);
  }
  if (existsSync(data)) {
    if (!isNew && data.startsWith(SHARED_HOME) === false && existsSync(join(data, 'PG_VERSION'))) {
      // Only its password is missing: someone's data, not ours to remove.
      throw new HearthError(
        'unavailable',
        `${directory}/cluster.json is missing: put it back, or remove ${directory}`,
      );
    }
    rmSync(data, { recursive: true, force: true });
  }
  const password = randomBytes(24).toString('base64url');
  const parent = dirname(data);
  for (const name of readdirSync(parent)) {
    if (name.startsWith(`${data.slice(parent.length + 1)}.new-`))
      rmSync(join(parent, name), { recursive: true });
  }
  const staging = mkdtempSync(`${data}.new-`);
  try {
    const passwordFile = join(staging, 'password');
    writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
    const made = join(staging, 'data');
    mkdirSync(made);
    chmodSync(made, 0o700);
    if (account) for (const path of [staging, passwordFile, made]) chownSync(path, account.uid, account.gid);
    const run = spawnSync(
      initdb,
      [
        `--pgdata=${made}`,
        `--username=${SUPERUSER}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        // Postgres's own locale: the same order on every machine, whatever locales it has.
        '--locale=C',
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        '--no-instructions',
      ],
      { ...runAs(account), env: cleanEnvironment() },
    );
    if (run.status !== 0) {
      const why = run.error?.message ?? lastLines(run.stderr.toString(), 6);
      throw new HearthError('unavailable', `the database could not be made in ${data}: ${why}`);
    }
    writePrivate(join(directory, 'cluster.json'), describeCluster({ password, data, made: false }));
    renameSync(made, data);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
  const cluster = { password, data, made: true };
  writePrivate(join(directory, 'cluster.json'), describeCluster(cluster));
  return cluster;
}

/** Without what would lead libpq or Postgres elsewhere (PGDATA, PGPORT, a locale that is not installed). */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(PG|LC_|LANG)/.test(name));
  return { ...Object.fromEntries(kept), LC_ALL: 'C', TZ: 'UTC' };
}

export function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}
