import { execFileSync, spawnSync } from 'node:child_process';
import { HearthError } from '#protocol/errors.ts';

/** Whom Postgres runs as: null for ourselves; as root an unprivileged account, which Postgres insists on. */
export type PostgresAccount = { name: string; uid: number; gid: number } | null;

/**
 * Finds the account, and makes the system user `postgres` on Linux when we are root and there is none.
 * @throws HearthError `unavailable` when there is none and none can be made
 */
export function postgresAccount(log: (line: string) => void): PostgresAccount {
  if (process.getuid?.() !== 0) return null;
  const found = find('postgres') ?? find('_postgres');
  if (found) return found;
  try {
    log('making the system user "postgres", since Postgres refuses to run as root');
    if (spawnSync('getent', ['group', 'postgres']).status !== 0)
      execFileSync('groupadd', ['--system', 'postgres']);
    const flags = [
      '--system',
      '--no-create-home',
      '--home-dir',
      '/nonexistent',
      '--shell',
      '/usr/sbin/nologin',
    ];
    execFileSync('useradd', [...flags, '--gid', 'postgres', 'postgres'], { stdio: 'pipe' });
  } catch (cause) {
    throw new HearthError(
      'unavailable',
      'Postgres does not run as root, and no system user "postgres" could be made: ' +
        'run as an ordinary user, or set DATABASE_URL to a Postgres of your own',
      { cause },
    );
  }
  const made = find('postgres');
  if (!made) throw new HearthError('unavailable', 'the system user "postgres" was made but cannot be found');
  return made;
}

function find(name: string): PostgresAccount {
  const ids = [spawnSync('id', ['-u', name]), spawnSync('id', ['-g', name])];
  if (ids.some((id) => id.status !== 0)) return null;
  const [uid, gid] = ids.map((id) => Number(id.stdout.toString().trim()));
  return uid && gid ? { name, uid, gid } : null;
}

/** Spawn options that make a child run as the account, in a folder it may enter. */
export function runAs(account: PostgresAccount): { uid?: number; gid?: number; cwd: string } {
  return account ? { uid: account.uid, gid: account.gid, cwd: '/' } : { cwd: '/' };
}

/** True when the account can enter `directory`, every folder above it included. */
export function canEnter(account: PostgresAccount, directory: string): boolean {
  return spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', directory], runAs(account)).status === 0;
}
