import * as z from 'zod';

/** What the household sees of its line: bodies of the box's own API on the LAN. */

const bytes = z.int().min(0);
const rate = z.number().min(0);

/** `GET /api/uplink` */
export const uplinkViewSchema = z.object({
  /** False: content requests are sent back to the router, and nothing is fetched. */
  accepting: z.boolean(),
  reason: z.enum(['paused', 'month_used_up']).nullable(),
  pausedUntil: z.iso.datetime().nullable(),
  /** In force now: by which window of the schedule, and whether only because the time is not known. */
  caps: z.object({
    upBytesPerSecond: bytes.nullable(),
    downBytesPerSecond: bytes.nullable(),
    window: bytes.nullable(),
    strictest: z.boolean(),
  }),
  /** Over the last ten seconds. */
  upBytesPerSecond: rate,
  downBytesPerSecond: rate,
  month: z.object({
    /** 2026-03 in the household's time zone; null while the time is not known. */
    month: z.string().nullable(),
    upBytes: bytes,
    downBytes: bytes,
    /** Reserved when the power went, so perhaps used: they count. */
    unsureBytes: bytes,
    usedBytes: bytes,
    monthlyBytes: bytes.nullable(),
  }),
  /** Responses that wait for their turn. */
  waiting: bytes,
});
export type UplinkView = z.infer<typeof uplinkViewSchema>;

const counts = { upBytes: bytes, downBytes: bytes, requests: bytes };

/** `GET /api/history`; days and hours by the household's clock, oldest first, without those in which nothing went. */
export const uplinkHistorySchema = z.object({
  today: z.string().nullable(),
  timeZone: z.string(),
  hours: z.array(z.object({ hour: z.int().min(0).max(23), ...counts })).max(24),
  days: z.array(z.object({ date: z.string(), ...counts })).max(30),
});
export type UplinkHistory = z.infer<typeof uplinkHistorySchema>;

/** Most bytes one request of the fleet's `/api/v1/uplink-test` gives or takes. */
export const UPLINK_TEST_BYTES = 8 * 1024 * 1024;

/** `POST /api/uplink/test` */
export const uplinkTestSchema = z.object({
  /** What the line took and gave while the test ran; null: could not be measured. */
  upBytesPerSecond: rate.nullable(),
  downBytesPerSecond: rate.nullable(),
  proposed: z.object({ upBytesPerSecond: bytes.nullable(), downBytesPerSecond: bytes.nullable() }),
});
export type UplinkTestResult = z.infer<typeof uplinkTestSchema>;
