import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type pg from 'pg';

const MIGRATIONS = new URL('./migrations/', import.meta.url);
/** Any number, the same in every process: only one of them migrates at a time. */
const LOCK = 7_216_000_001;

/**
 * Brings the database to the newest schema: each `NNNN_name.sql` once, in order, each in a transaction.
 * Several processes may call this at once.
 * @returns names of the migrations that were applied
 * @throws when a migration that was applied has been edited since
 */
export async function migrate(pool: pg.Pool): Promise<string[]> {
  const client = await pool.connect();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
    await client.query(
      `CREATE TABLE IF NOT EXISTS schema_migrations (
         name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`,
    );
    const done = await client.query<{ name: string; sha256: string }>(
      'SELECT name, sha256 FROM schema_migrations',
    );
    const applied: string[] = [];
    const names = (await readdir(MIGRATIONS)).filter((name) => name.endsWith('.sql')).sort();
    for (const name of names) {
      const sql = await readFile(new URL(name, MIGRATIONS), 'utf8');
      const sha256 = createHash('sha256').update(sql).digest('hex');
      const before = done.rows.find((row) => row.name === name);
      if (before && before.sha256 !== sha256) {
        throw new Error(`migration ${name} was changed after it was applied: write a new one instead`);
      }
      if (before) continue;
      await client.query('BEGIN');
      try {
        await client.query(sql);
        await client.query('INSERT INTO schema_migrations (name, sha256) VALUES ($1, $2)', [name, sha256]);
        await client.query('COMMIT');
      } catch (error) {
        await client.query('ROLLBACK');
        throw new Error(`migration ${name} failed`, { cause: error });
      }
      applied.push(name);
    }
    return applied;
  } finally {
    // A connection that still holds the lock must not go back into the pool.
    const unlocked = await client.query('SELECT pg_advisory_unlock($1)', [LOCK]).catch(() => null);
    client.release(unlocked === null);
  }
}
