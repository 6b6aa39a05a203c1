import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { earningsOf } from '#fleet/ledger/earnings.ts';
import { accountOf, balanceOf } from '#fleet/ledger/ledger.ts';
import { listSites } from '#fleet/sites/sites.ts';
import {
  addAsset,
  addBox,
  addSite,
  type FleetDatabase,
  fleetDatabase,
} from '#fleet/testing/fleet-database.ts';
import { deliveryKeyFor, mintToken, sealKeyFor } from '#protocol/delivery-token.ts';
import { newId } from '#protocol/ids.ts';
import { type Deliveries, type Delivery, encodeDown } from '#protocol/messages.ts';
import { priceOf, settle } from './settle.ts';

const secret = randomBytes(32);
const sealKey = sealKeyFor(secret);
const tariff = { pricePerGb: 10_000_000_000n, boxSharePercent: 80n };
let own: FleetDatabase;
let boxId: string;
let site: { siteId: string; tenantId: string };
let asset: { assetId: string };
before(async () => {
  own = await fleetDatabase();
  boxId = await addBox(own.db);
  site = await addSite(own.db);
  asset = await addAsset(own.db, site.siteId, '/hls/1.ts');
});
after(() => own?.close());

const token = (maxBytes: number, over: { boxId?: string; expiresAtMs?: number } = {}) =>
  mintToken(
    { boxId, siteId: site.siteId, prefix: '/hls/', maxBytes, expiresAtMs: Date.now() + 60_000, ...over },
    deliveryKeyFor(secret, over.boxId ?? boxId),
    sealKey,
  );
const line = (bytes: number, text: string, over: Partial<Delivery> = {}): Delivery => ({
  token: text,
  siteId: site.siteId,
  prefix: '/hls/',
  assetId: asset.assetId,
  bytes,
  requests: 1,
  ...over,
});
const batch = (...lines: Delivery[]): Deliveries => ({
  v: 1,
  at: new Date().toISOString(),
  batchId: newId('dlv'),
  lines,
});
const reasons = async () =>
  (
    await own.query(
      'SELECT reason, accepted_bytes::int AS bytes FROM delivery_lines ORDER BY id DESC LIMIT 1',
    )
  )[0];

test('a box is paid for what it delivered, the tenant charged, the fleet keeps its part', async () => {
  const settled = await settle(own.db, boxId, batch(line(1000, token(5000))), sealKey, tariff);
  assert.deepEqual(settled, { outcome: 'settled', acceptedBytes: 1000, reason: null, repeated: false });
  const { tenant, box } = priceOf(1000, tariff);
  assert.equal(tenant, 10_000n);
  assert.equal(box, 8_000n);
  assert.equal(await balanceOf(own.db, accountOf.box(boxId)), box);
  assert.equal(await balanceOf(own.db, accountOf.tenant(site.tenantId)), -tenant);
  assert.equal(await balanceOf(own.db, accountOf.fees()), tenant - box);
});

test('the same batch again moves no money; another content under its id is refused', async () => {
  const sent = batch(line(10, token(5000)));
  await settle(own.db, boxId, sent, sealKey, tariff);
  const balance = await balanceOf(own.db, accountOf.box(boxId));
  const again = await settle(own.db, boxId, { ...sent, at: new Date(0).toISOString() }, sealKey, tariff);
  assert.deepEqual(again, { outcome: 'settled', acceptedBytes: 10, reason: null, repeated: true });
  const other = { ...sent, lines: [line(11, token(5000))] };
  assert.equal((await settle(own.db, boxId, other, sealKey, tariff)).outcome, 'refused');
  assert.equal(await balanceOf(own.db, accountOf.box(boxId)), balance);
});

test('at most what was issued is accepted, over however many batches', async () => {
  const issued = token(100);
  const claims = [60, 60, 60];
  const accepted: number[] = [];
  for (const bytes of claims)
    accepted.push((await settle(own.db, boxId, batch(line(bytes, issued)), sealKey, tariff)).acceptedBytes);
  assert.deepEqual(accepted, [60, 40, 0]);
  assert.deepEqual(await reasons(), { reason: 'issued', bytes: 0 });
});

test('batches sent at the same moment do not overdraw a token', async () => {
  const issued = token(100);
  const results = await Promise.all(
    Array.from({ length: 6 }, () => settle(own.db, boxId, batch(line(50, issued)), sealKey, tariff)),
  );
  assert.equal(
    results.reduce((sum, one) => sum + one.acceptedBytes, 0),
    100,
  );
});

test('what was not issued to this box, for this site and path, is worth nothing', async () => {
  const other = await addBox(own.db);
  const elsewhere = await addAsset(own.db, site.siteId, '/film.mp4');
  const cases: [Delivery, string][] = [
    [line(10, 'garbage'), 'token_malformed'],
    [line(10, token(100, { boxId: other })), 'token_forged'],
    // The box can make the check itself, but not the seal.
    [
      line(
        10,
        mintToken(
          { boxId, siteId: site.siteId, prefix: '/hls/', maxBytes: 1e12, expiresAtMs: Date.now() + 1e6 },
          deliveryKeyFor(secret, boxId),
          randomBytes(32),
        ),
      ),
      'token_forged',
    ],
    [line(10, token(100), { assetId: elsewhere.assetId }), 'token_out_of_prefix'],
    [line(10, token(100), { assetId: newId('asset') }), 'unknown_asset'],
    [line(10, token(100), { siteId: newId('site') }), 'unknown_asset'],
    [line(10, token(100, { expiresAtMs: Date.now() - 31 * 86_400_000 })), 'too_late'],
  ];
  const before = await balanceOf(own.db, accountOf.box(boxId));
  for (const [one, reason] of cases) {
    const { outcome, acceptedBytes } = await settle(own.db, boxId, batch(one), sealKey, tariff);
    assert.deepEqual([outcome, acceptedBytes], ['settled', 0], reason);
    assert.equal((await reasons())?.reason, reason);
  }
  assert.equal(await balanceOf(own.db, accountOf.box(boxId)), before);
});

test('batches of one box at the same moment, over the same tokens and tenants, all settle', async () => {
  const busy = await addBox(own.db);
  const sites = [await addSite(own.db), await addSite(own.db)];
  const lines: Delivery[] = [];
  for (const { siteId } of sites) {
    const { assetId } = await addAsset(own.db, siteId, '/x/a');
    for (let index = 0; index < 10; index++) {
      const scope = { boxId: busy, siteId, prefix: '/x/', maxBytes: 1000, expiresAtMs: Date.now() + 60_000 };
      const text = mintToken(scope, deliveryKeyFor(secret, busy), sealKey);
      lines.push({ token: text, siteId, prefix: '/x/', assetId, bytes: 100, requests: 1 });
    }
  }
  const results = await Promise.all(
    Array.from({ length: 12 }, (_, turn) =>
      settle(own.db, busy, batch(...(turn % 2 === 0 ? lines : lines.toReversed())), sealKey, tariff),
    ),
  );
  const accepted = results.reduce((sum, one) => sum + one.acceptedBytes, 0);
  assert.equal(accepted, lines.length * 1000);
  assert.equal(await balanceOf(own.db, accountOf.box(busy)), priceOf(accepted, tariff).box);
});

test('a site is charged for what was delivered of it, not for all of its tenant', async () => {
  const sibling = newId('site');
  await own.query(
    `INSERT INTO sites (id, hostname, origin, tenant_id) VALUES ($1, 'sibling.test', 'http://o.test', $2)`,
    [sibling, site.tenantId],
  );
  const listed = await listSites(own.db, 'http://router.test');
  const charged = (id: string) => BigInt(listed.find((one) => one.id === id)?.charged ?? '-1');
  assert.equal(charged(sibling), 0n);
  assert.equal(charged(site.siteId), -(await balanceOf(own.db, accountOf.tenant(site.tenantId))));
});

test('earnings are the ledger, line by line', async () => {
  const earnings = await earningsOf(own.db, boxId);
  assert.equal(BigInt(earnings.totals.final), await balanceOf(own.db, accountOf.box(boxId)));
  assert.equal(earnings.days.length, 30);
  const days = earnings.days.reduce((sum, day) => sum + BigInt(day.microCredits), 0n);
  assert.equal(days, BigInt(earnings.totals.final));
  assert.equal(earnings.days.at(-1)?.date, earnings.asOf.slice(0, 10));
  const hours = earnings.hours ?? [];
  assert.ok(hours.length > 0 && hours.every(({ at }) => /^\d{4}-\d\d-\d\dT\d\d:00:00Z$/.test(at)));
  assert.equal(
    hours.reduce((sum, hour) => sum + BigInt(hour.microCredits), 0n),
    BigInt(earnings.totals.final),
  );
  const hourly = earnings.hourly?.microCredits ?? [];
  assert.equal(earnings.hourly?.from.slice(0, 13), hours[0]?.at.slice(0, 13));
  assert.equal(
    hourly.reduce((sum, credits) => sum + BigInt(credits), 0n),
    BigInt(earnings.totals.final),
  );
  encodeDown('earnings', earnings);
  // Two days on they are days and no hours any more.
  const later = await earningsOf(own.db, boxId, new Date(Date.now() + 3 * 86_400_000));
  assert.deepEqual(later.hours, []);
  assert.deepEqual(later.hourly, earnings.hourly);
  assert.equal(
    later.days.reduce((sum, day) => sum + BigInt(day.microCredits), 0n),
    days,
  );
  assert.ok(earnings.lines.some((one) => one.path === '/hls/1.ts' && one.reason === 'claimed'));
  // Hours apart are as far apart in the list, and those between are nothing; what is older than a month and a day is out.
  await own.query(
    `UPDATE delivery_lines SET settled_at = now() - interval '50 hours' WHERE id = (SELECT min(id) FROM delivery_lines WHERE box_id = $1)`,
    [boxId],
  );
  const apart = (await earningsOf(own.db, boxId)).hourly?.microCredits ?? [];
  assert.ok(apart.length >= 50 && apart.length <= 52, `${apart.length}`);
  assert.ok(apart.slice(1, 49).every((credits) => credits === '0'));
  assert.equal(
    apart.reduce((sum, credits) => sum + BigInt(credits), 0n),
    BigInt(earnings.totals.final),
  );
  const old = await earningsOf(own.db, boxId, new Date(Date.now() + 33 * 86_400_000));
  assert.deepEqual(old.hourly?.microCredits, []);
});
