import * as z from 'zod';
import { timeSchema } from './asset.ts';
import { LIMITS } from './limits.ts';

/** Who is in at a box's dashboard from away, by the fleet's books. No secret is among it. */
export const awaySessionSchema = z.object({
  /** What it is called where it is ended: opens nothing. */
  id: z.uuid(),
  since: timeSchema,
  /** When it ends by itself at the latest. */
  endsAt: timeSchema,
  /** The network it came from, `203.0.113.0/24` or `2001:db8:7::/48`; empty: unknown. */
  from: z.string().max(64),
});
export type AwaySession = z.infer<typeof awaySessionSchema>;

/** To a box that has its dashboard opened from away: all that are in now, newest first; on each change. */
export const awaySessionsSchema = z.object({
  v: z.literal(1),
  sessions: z.array(awaySessionSchema).max(LIMITS.awaySessions),
});

/** From a box that was told of them: its household ends these. Answered by another `away-sessions`. */
export const awayEndSchema = z.object({
  v: z.literal(1),
  at: timeSchema,
  sessions: z.array(z.uuid()).min(1).max(LIMITS.awaySessions),
});
