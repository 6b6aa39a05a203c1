import { and, desc, eq, gte, sql } from 'drizzle-orm';
import type { Queryable } from '#fleet/database/database.ts';
import { assets, deliveryLines, sites } from '#fleet/database/schema.ts';
import { clip, type Earnings, PROTOCOL_VERSION } from '#protocol/messages.ts';
import { accountOf, balanceOf } from './ledger.ts';

const DAYS = 30;
const LINES = 20;
const HOURS = 48;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/**
 * What a box has earned. The one function that computes it: the LAN dashboard, the console and the CLI show this
 * object as it is. Until two-phase settlement and payouts come, all that is settled is final, and nothing is
 * pending, held back or paid out.
 */
export async function earningsOf(db: Queryable, boxId: string, now = new Date()): Promise<Earnings> {
  const today = Math.floor(now.getTime() / DAY_MS) * DAY_MS;
  const firstDay = new Date(today - (DAYS - 1) * DAY_MS);
  const hour = sql<string>`to_char(${deliveryLines.settledAt} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:00:00"Z"')`;
  const final = await balanceOf(db, accountOf.box(boxId));
  const perHour = await db
    .select({
      at: hour,
      microCredits: sql<string>`sum(${deliveryLines.microCredits})`,
      bytes: sql`sum(${deliveryLines.acceptedBytes})`.mapWith(Number),
      requests: sql`sum(${deliveryLines.requests})`.mapWith(Number),
    })
    .from(deliveryLines)
    // A day more: where the sun rises earlier than in Greenwich, a household's first day has begun by then.
    .where(
      and(
        eq(deliveryLines.boxId, boxId),
        gte(deliveryLines.settledAt, new Date(firstDay.getTime() - DAY_MS)),
      ),
    )
    .groupBy(hour)
    .orderBy(hour);
  const lines = await db
    .select({
      at: deliveryLines.settledAt,
      siteHostname: sites.hostname,
      path: assets.path,
      claimedBytes: deliveryLines.claimedBytes,
      acceptedBytes: deliveryLines.acceptedBytes,
      microCredits: deliveryLines.microCredits,
      reason: deliveryLines.reason,
    })
    .from(deliveryLines)
    .leftJoin(assets, eq(assets.id, deliveryLines.assetId))
    .leftJoin(sites, eq(sites.id, assets.siteId))
    .where(eq(deliveryLines.boxId, boxId))
    .orderBy(desc(deliveryLines.settledAt), desc(deliveryLines.id))
    .limit(LINES);
  return {
    v: PROTOCOL_VERSION,
    boxId,
    asOf: now.toISOString(),
    totals: { estimate: String(final), pending: '0', held: '0', final: String(final), paid: '0' },
    days: Array.from({ length: DAYS }, (_, index) => {
      const date = new Date(firstDay.getTime() + index * DAY_MS).toISOString().slice(0, 10);
      const hours = perHour.filter(({ at }) => at.startsWith(date));
      return {
        date,
        microCredits: String(hours.reduce((sum, { microCredits }) => sum + BigInt(microCredits), 0n)),
        bytes: hours.reduce((sum, { bytes }) => sum + bytes, 0),
        requests: hours.reduce((sum, { requests }) => sum + requests, 0),
      };
    }),
    hours: perHour.filter(({ at }) => now.getTime() - Date.parse(at) < HOURS * HOUR_MS),
    hourly: hourlyOf(perHour, now),
    lines: lines.map((line) => ({
      ...line,
      at: line.at.toISOString(),
      siteHostname: clip(line.siteHostname),
      path: clip(line.path),
      microCredits: String(line.microCredits),
    })),
  };
}

/** Every hour from the first with anything in it to the last. */
function hourlyOf(
  perHour: readonly { at: string; microCredits: string }[],
  now: Date,
): NonNullable<Earnings['hourly']> {
  const firstMs = Date.parse(perHour[0]?.at ?? now.toISOString());
  const microCredits: string[] = [];
  for (const hour of perHour) {
    const index = (Date.parse(hour.at) - firstMs) / HOUR_MS;
    while (microCredits.length < index) microCredits.push('0');
    microCredits.push(hour.microCredits);
  }
  return { from: new Date(firstMs).toISOString(), microCredits };
}
