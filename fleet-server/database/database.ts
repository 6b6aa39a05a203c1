import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import type { Logger } from 'pino';
import * as schema from './schema.ts';

export type Database = NodePgDatabase<typeof schema>;
/** A transaction: what `Database.transaction` hands out. */
export type Transaction = Parameters<Parameters<Database['transaction']>[0]>[0];
/** Either: for functions that read or write within whatever the caller has. */
export type Queryable = Database | Transaction;

export interface DatabaseHandle {
  db: Database;
  pool: pg.Pool;
  close(): Promise<void>;
}

/** Opens a pool. Errors of idle connections (a restarted database) are logged; the next query gets a new one. */
export function openDatabase(url: string, log: Logger, maxConnections = 10): DatabaseHandle {
  const pool = new pg.Pool({
    connectionString: url,
    max: maxConnections,
    connectionTimeoutMillis: 10_000,
    // A query that hangs must not hold a connection for ever.
    statement_timeout: 30_000,
    // Nor may a server that is gone without a word, or frozen.
    query_timeout: 35_000,
    keepAlive: true,
    application_name: 'hearth',
  });
  pool.on('error', (error) => log.warn({ err: error.message }, 'lost an idle database connection'));
  // A connection that dies while checked out reports to itself as well as to its query.
  pool.on('connect', (client) => client.on('error', () => undefined));
  return { db: drizzle(pool, { schema }), pool, close: () => pool.end() };
}

/** True for errors that mean the database is away or busy for now (deadlock, timeout), and a later try may work. */
export function isDatabaseAway(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const code = (at as { code?: unknown }).code;
    if (
      typeof code === 'string' &&
      /^(08|57P0[123]|57014|40001|40P01|53300|ECONN|EPIPE|ETIMEDOUT|ENOTFOUND)/.test(code)
    )
      return true;
    if (
      /Connection terminated|timeout exceeded when trying to connect|Client has encountered/.test(at.message)
    ) {
      return true;
    }
  }
  return false;
}

/** True when the database cannot store a value whatever is done (SQLSTATE class 22: NUL in text, out of range). */
export function isValueRefused(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const code = (at as { code?: unknown }).code;
    if (typeof code === 'string' && /^22[0-9A-Z]{3}$/.test(code)) return true;
  }
  return false;
}
