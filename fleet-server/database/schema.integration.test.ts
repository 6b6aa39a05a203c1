import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { getTableColumns, getTableName, is } from 'drizzle-orm';
import { PgTable } from 'drizzle-orm/pg-core';
import { pino } from 'pino';
import { type TestDatabase, testDatabase } from '#test/support/postgres.ts';
import { type DatabaseHandle, openDatabase } from './database.ts';
import { migrate } from './migrate.ts';
import * as schema from './schema.ts';

let own: TestDatabase;
let database: DatabaseHandle;
before(async () => {
  own = await testDatabase();
  database = openDatabase(own.url, pino({ level: 'silent' }));
});
after(async () => {
  await database?.close();
  await own?.close();
});

test('processes that start together migrate once', async () => {
  const applied = await Promise.all(Array.from({ length: 4 }, () => migrate(database.pool)));
  assert.equal(applied.flat().filter((name) => name === '0001_main_loop.sql').length, 1);
  assert.deepEqual(await migrate(database.pool), []);
});

test('a migration edited after it was applied is refused', async () => {
  await database.pool.query("UPDATE schema_migrations SET sha256 = 'other'");
  await assert.rejects(migrate(database.pool), /changed after it was applied/);
});

test('the tables drizzle sees are the tables there are', async () => {
  const { rows } = await database.pool.query<{
    table_name: string;
    column_name: string;
    udt_name: string;
    is_nullable: string;
  }>(
    "SELECT table_name, column_name, udt_name, is_nullable FROM information_schema.columns WHERE table_schema = 'public'",
  );
  const real = rows
    .filter((row) => row.table_name !== 'schema_migrations')
    .map(
      (row) =>
        `${row.table_name}.${row.column_name} ${row.udt_name} ${row.is_nullable === 'YES' ? 'null' : 'not null'}`,
    );
  const names: Record<string, string> = {
    bigint: 'int8',
    bigserial: 'int8',
    integer: 'int4',
    boolean: 'bool',
    'text[]': '_text',
    'timestamp with time zone': 'timestamptz',
  };
  const seen = Object.values(schema)
    .filter((table) => is(table, PgTable))
    .flatMap((table) =>
      Object.values(getTableColumns(table)).map((column) => {
        const type = column.getSQLType();
        return `${getTableName(table)}.${column.name} ${names[type] ?? type} ${column.notNull ? 'not null' : 'null'}`;
      }),
    );
  assert.deepEqual(seen.toSorted(), real.toSorted());
});
