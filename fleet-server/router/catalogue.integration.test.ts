import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { pino } from 'pino';
import {
  addAsset,
  addBox,
  addSite,
  type FleetDatabase,
  fleetDatabase,
} from '#fleet/testing/fleet-database.ts';
import { Catalogue } from './catalogue.ts';

let own: FleetDatabase;
let catalogue: Catalogue;
before(async () => {
  own = await fleetDatabase();
  catalogue = new Catalogue(own.db, 1000, pino({ level: 'silent' }));
});
after(async () => {
  catalogue?.close();
  await own?.close();
});

test('while the database does not answer, what was known counts, and the rest goes to the origin', async () => {
  const { siteId } = await addSite(own.db);
  await addBox(own.db);
  const { assetId } = await addAsset(own.db, siteId, '/known');
  assert.equal((await catalogue.route(siteId, '/known'))?.assetId, assetId);
  const other = new pg.Client({ connectionString: own.url });
  await other.connect();
  await other.query('BEGIN');
  await other.query('LOCK TABLE assets IN ACCESS EXCLUSIVE MODE');
  const later = Date.now() + 3_600_000;
  // Two for the same path: the second must not wait for the first without end.
  const [one, two, unknown] = await Promise.all([
    catalogue.route(siteId, '/known', later),
    catalogue.route(siteId, '/known', later),
    catalogue.route(siteId, '/unknown', later),
  ]);
  assert.deepEqual([one?.assetId, two?.assetId, unknown], [assetId, assetId, null]);
  await other.query('ROLLBACK');
  await other.end();
});
