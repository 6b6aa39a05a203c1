import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type FleetDatabase, fleetDatabase } from '#fleet/testing/fleet-database.ts';
import { isHearthError } from '#protocol/errors.ts';
import { balanceOf, post } from './ledger.ts';

let own: FleetDatabase;
before(async () => {
  own = await fleetDatabase();
  await own.query("INSERT INTO ledger_accounts (id, kind) VALUES ('tenant:t', 'tenant'), ('box:b', 'box')");
});
after(() => own?.close());

const request = (key: string, amount = 5n) => ({
  kind: 'delivery' as const,
  idempotencyKey: key,
  memo: 'test',
  entries: new Map([
    ['tenant:t', -amount],
    ['box:b', amount],
  ]),
});

test('a balanced transfer is written once, however often it is asked for', async () => {
  const first = await own.db.transaction((tx) => post(tx, request('a')));
  const again = await own.db.transaction((tx) => post(tx, request('a')));
  assert.deepEqual(again, { id: first.id, repeated: true });
  assert.equal(await balanceOf(own.db, 'box:b'), 5n);
  assert.equal(await balanceOf(own.db, 'tenant:t'), -5n);
});

test('the same key for something else is refused', async () => {
  await assert.rejects(
    own.db.transaction((tx) => post(tx, request('a', 6n))),
    (error) => isHearthError(error, 'idempotency_conflict'),
  );
  assert.equal(await balanceOf(own.db, 'box:b'), 5n);
});

test('many at once with one key pay once', async () => {
  const results = await Promise.allSettled(
    Array.from({ length: 8 }, () => own.db.transaction((tx) => post(tx, request('race')))),
  );
  assert.equal(results.filter((one) => one.status === 'fulfilled' && !one.value.repeated).length, 1);
  assert.equal(await balanceOf(own.db, 'box:b'), 10n);
});

test('an unbalanced transfer is refused before it reaches the database', async () => {
  const entries = new Map([
    ['tenant:t', -5n],
    ['box:b', 6n],
  ]);
  await assert.rejects(
    own.db.transaction((tx) => post(tx, { ...request('c'), entries })),
    (error) => isHearthError(error, 'ledger_unbalanced'),
  );
});

const raw = (...entries: [string, number | string][]) => {
  const id = `xfr-${Math.random()}`;
  const values = entries.map(([account, amount]) => `('${id}', '${account}', ${amount})`).join(', ');
  return `BEGIN;
    INSERT INTO ledger_transfers (id, kind, idempotency_key, request_sha256, memo) VALUES ('${id}', 'x', '${id}', '', '');
    ${values && `INSERT INTO ledger_entries VALUES ${values};`}
    COMMIT`;
};

test('the database itself refuses what is not balanced', async () => {
  const unbalanced = [
    raw(['tenant:t', -5], ['box:b', 6]),
    raw(['box:b', 5]),
    raw(),
    raw(['tenant:t', '-9007199254740993'], ['box:b', '9007199254740992']),
  ];
  for (const sql of unbalanced) {
    await assert.rejects(own.query(sql), /is not balanced/);
    await own.query('ROLLBACK');
  }
  await own.query(raw(['tenant:t', -1], ['box:b', 1]));
  assert.equal(await balanceOf(own.db, 'box:b'), 11n);
});

test('history can be neither changed, deleted nor added to', async () => {
  await assert.rejects(
    own.query("UPDATE ledger_entries SET amount = 7 WHERE account_id = 'box:b'"),
    /append-only/,
  );
  await assert.rejects(own.query('DELETE FROM ledger_entries'), /append-only/);
  await assert.rejects(own.query("UPDATE ledger_transfers SET memo = 'x'"), /append-only/);
  await assert.rejects(own.query('TRUNCATE ledger_entries'), /append-only/);
  await own.query("INSERT INTO ledger_accounts (id, kind) VALUES ('box:thief', 'box')");
  await assert.rejects(
    own.query("INSERT INTO ledger_entries SELECT id, 'box:thief', 100 FROM ledger_transfers LIMIT 1"),
    /is not balanced/,
  );
});
