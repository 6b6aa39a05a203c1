import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { LocalPostgres } from '#local/postgres.ts';

/** Set by test/run.ts: the server all test files of one run share, each with databases of its own. */
export const SHARED_POSTGRES = 'HEARTH_TEST_POSTGRES';

/**
 * What is thrown away after the test need not reach the disk. A commit must still reach the kernel before it is
 * acknowledged (synchronous_commit stays on): tests kill servers, and lose nothing by that.
 */
export const THROWAWAY = { fsync: 'off', full_page_writes: 'off' };

export interface TestDatabase {
  url: string;
  close(): Promise<void>;
}

/** A Postgres of this process alone, for tests that kill it. */
export async function ownPostgres(): Promise<{ server: LocalPostgres; directory: string }> {
  const parent = mkdtempSync(join(tmpdir(), 'hearth-test-postgres-'));
  chmodSync(parent, 0o755);
  const directory = join(parent, 'postgres');
  return { server: await LocalPostgres.start({ directory, settings: THROWAWAY }), directory };
}

/** An empty database on the run's shared server, or on one started for this file alone. */
export async function testDatabase(): Promise<TestDatabase> {
  const shared = process.env[SHARED_POSTGRES];
  const name = `test_${randomBytes(8).toString('hex')}`;
  if (shared !== undefined) {
    await administer(shared, `create database ${name}`);
    const url = new URL(shared);
    url.pathname = `/${name}`;
    return { url: url.href, close: () => administer(shared, `drop database if exists ${name} with (force)`) };
  }
  const { server, directory } = await ownPostgres();
  await server.createDatabase(name);
  return {
    url: server.url(name),
    close: async () => {
      await server.destroy();
      rmSync(join(directory, '..'), { recursive: true, force: true });
    },
  };
}

async function administer(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
