import { createHash } from 'node:crypto';
import { eq, inArray, sql } from 'drizzle-orm';
import type { Database, Transaction } from '#fleet/database/database.ts';
import { assets, deliveryBatches, deliveryLines, deliveryTokens, sites } from '#fleet/database/schema.ts';
import { accountOf, post } from '#fleet/ledger/ledger.ts';
import { fillKeyFor, settleToken } from '#protocol/delivery-token.ts';
import { isHearthError } from '#protocol/errors.ts';
import type { Deliveries, Delivery } from '#protocol/messages.ts';
import { clip } from '#protocol/messages.ts';

/** How deliveries become money. */
export interface Tariff {
  /** What a tenant pays for 10^9 bytes, micro-credits. */
  pricePerGb: bigint;
  boxSharePercent: bigint;
}

export type Settlement =
  | { outcome: 'settled'; acceptedBytes: number; reason: null; repeated: boolean }
  | { outcome: 'refused'; acceptedBytes: 0; reason: string; repeated: boolean };

/** A token's reports are taken for this long after it expired: a box may have been offline. */
const LATE_REPORT_MS = 30 * 86_400_000;

/**
 * Settles a batch, all of it or nothing: for each line the least of what the box claims, what is left of the
 * entitlement the router issued, and nothing where the token was not issued for this box. The same batch again
 * gives the same answer and moves no money; another content under its id is refused.
 */
export async function settle(
  db: Database,
  boxId: string,
  batch: Deliveries,
  sealKey: Buffer,
  tariff: Tariff,
): Promise<Settlement> {
  const contentSha256 = createHash('sha256').update(JSON.stringify(batch.lines)).digest();
  return db.transaction(async (tx) => {
    // A box that reconnects may have two batches under way, which would wait for each other's tokens in a circle.
    await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended(${boxId}, 1))`);
    const fresh = await tx
      .insert(deliveryBatches)
      .values({ boxId, batchId: batch.batchId, contentSha256, acceptedBytes: 0 })
      .onConflictDoNothing()
      .returning({ batchId: deliveryBatches.batchId });
    if (fresh.length === 0) return repeatedBatch(tx, boxId, batch.batchId, contentSha256);

    const settled = await settleLines(tx, boxId, batch.lines, sealKey, tariff);
    let acceptedBytes = 0;
    for (const line of settled) acceptedBytes += line.acceptedBytes;
    await tx
      .update(deliveryBatches)
      .set({ acceptedBytes })
      .where(sql`${deliveryBatches.boxId} = ${boxId} AND ${deliveryBatches.batchId} = ${batch.batchId}`);
    await tx.insert(deliveryLines).values(
      settled.map(({ line, acceptedBytes: accepted, micro, reason }) => ({
        boxId,
        batchId: batch.batchId,
        siteId: line.siteId,
        assetId: line.assetId,
        claimedBytes: line.bytes,
        acceptedBytes: accepted,
        requests: line.requests,
        microCredits: micro.box,
        charged: micro.tenant,
        reason,
      })),
    );
    await pay(tx, boxId, batch.batchId, settled);
    return { outcome: 'settled', acceptedBytes, reason: null, repeated: false };
  });
}

interface SettledLine {
  line: Delivery;
  tenantId: string | null;
  acceptedBytes: number;
  micro: { tenant: bigint; box: bigint };
  reason: string;
}

async function settleLines(
  tx: Transaction,
  boxId: string,
  lines: Delivery[],
  sealKey: Buffer,
  tariff: Tariff,
): Promise<SettledLine[]> {
  const places = await tx
    .select({ assetId: assets.id, path: assets.path, siteId: sites.id, tenantId: sites.tenantId })
    .from(assets)
    .innerJoin(sites, eq(assets.siteId, sites.id))
    .where(inArray(assets.id, [...new Set(lines.map((line) => line.assetId))]));
  const settled: SettledLine[] = [];
  for (const line of lines) {
    const refuse = (reason: string, tenantId: string | null = null): SettledLine => ({
      line,
      tenantId,
      acceptedBytes: 0,
      micro: { tenant: 0n, box: 0n },
      reason: clip(reason),
    });
    const place = places.find((found) => found.assetId === line.assetId && found.siteId === line.siteId);
    if (!place) {
      settled.push(refuse('unknown_asset'));
      continue;
    }
    const covers = line.prefix.endsWith('/')
      ? place.path.startsWith(line.prefix)
      : place.path === line.prefix;
    if (!covers) {
      settled.push(refuse('token_out_of_prefix', place.tenantId));
      continue;
    }
    try {
      const token = settleToken(line.token, { boxId, siteId: line.siteId, prefix: line.prefix }, sealKey);
      if (token.expiresAtMs + LATE_REPORT_MS < Date.now()) {
        settled.push(refuse('too_late', place.tenantId));
        continue;
      }
      const acceptedBytes = await drawDown(tx, boxId, token, line.bytes);
      settled.push({
        line,
        tenantId: place.tenantId,
        acceptedBytes,
        micro: priceOf(acceptedBytes, tariff),
        reason: acceptedBytes < line.bytes ? 'issued' : 'claimed',
      });
    } catch (error) {
      if (!isHearthError(error)) throw error;
      const isFill = error.code === 'token_forged' && isFillToken(line, boxId, sealKey);
      settled.push(refuse(isFill ? 'fill' : error.code, place.tenantId));
    }
  }
  return settled;
}

/** Sent to another box, not to a client: nobody pays, or two boxes could fill each other for money. */
function isFillToken(line: Delivery, boxId: string, sealKey: Buffer): boolean {
  try {
    settleToken(line.token, { boxId, siteId: line.siteId, prefix: line.prefix }, fillKeyFor(sealKey));
    return true;
  } catch (error) {
    if (!isHearthError(error)) throw error;
    return false;
  }
}

/** Takes bytes from what a token entitles to; the row lock makes concurrent batches take turns. */
async function drawDown(
  tx: Transaction,
  boxId: string,
  token: { serial: string; maxBytes: number; expiresAtMs: number },
  claimedBytes: number,
): Promise<number> {
  const serial = Buffer.from(token.serial, 'hex');
  await tx
    .insert(deliveryTokens)
    .values({
      serial,
      boxId,
      maxBytes: token.maxBytes,
      acceptedBytes: 0,
      expiresAt: new Date(token.expiresAtMs),
    })
    .onConflictDoNothing();
  const [row] = await tx.select().from(deliveryTokens).where(eq(deliveryTokens.serial, serial)).for('update');
  if (!row) throw new Error('a row just written is missing');
  const accepted = Math.min(claimedBytes, row.maxBytes - row.acceptedBytes);
  if (accepted > 0) {
    await tx
      .update(deliveryTokens)
      .set({ acceptedBytes: row.acceptedBytes + accepted })
      .where(eq(deliveryTokens.serial, serial));
  }
  return accepted;
}

/** Rounds down twice: a tenant is never charged for more than was delivered, nor the fleet made to add to it. */
export function priceOf(bytes: number, tariff: Tariff): { tenant: bigint; box: bigint } {
  const tenant = (BigInt(bytes) * tariff.pricePerGb) / 1_000_000_000n;
  return { tenant, box: (tenant * tariff.boxSharePercent) / 100n };
}

/** One transfer for each tenant in the batch: tenant pays, box and fleet receive. */
async function pay(tx: Transaction, boxId: string, batchId: string, settled: SettledLine[]): Promise<void> {
  const byTenant = new Map<string, { tenant: bigint; box: bigint; bytes: number }>();
  for (const { tenantId, micro, acceptedBytes } of settled) {
    if (tenantId === null || micro.tenant === 0n) continue;
    const sum = byTenant.get(tenantId) ?? { tenant: 0n, box: 0n, bytes: 0 };
    byTenant.set(tenantId, {
      tenant: sum.tenant + micro.tenant,
      box: sum.box + micro.box,
      bytes: sum.bytes + acceptedBytes,
    });
  }
  // Sorted: batches of two boxes that open the accounts of the same tenants must not wait in a circle.
  for (const [tenantId, sum] of [...byTenant].sort(([a], [b]) => (a < b ? -1 : 1))) {
    await post(tx, {
      kind: 'delivery',
      idempotencyKey: `delivery:${boxId}:${batchId}:${tenantId}`,
      memo: `${sum.bytes} bytes delivered`,
      entries: new Map([
        [accountOf.tenant(tenantId), -sum.tenant],
        [accountOf.box(boxId), sum.box],
        [accountOf.fees(), sum.tenant - sum.box],
      ]),
    });
  }
}

async function repeatedBatch(
  tx: Transaction,
  boxId: string,
  batchId: string,
  contentSha256: Buffer,
): Promise<Settlement> {
  const [first] = await tx
    .select()
    .from(deliveryBatches)
    .where(sql`${deliveryBatches.boxId} = ${boxId} AND ${deliveryBatches.batchId} = ${batchId}`);
  if (first?.contentSha256.equals(contentSha256)) {
    return { outcome: 'settled', acceptedBytes: first.acceptedBytes, reason: null, repeated: true };
  }
  return {
    outcome: 'refused',
    acceptedBytes: 0,
    reason: 'another batch was settled under this id',
    repeated: true,
  };
}
