import { and, eq, lt } from 'drizzle-orm';
import type { Database } from '#fleet/database/database.ts';
import { notify } from '#fleet/database/listen.ts';
import { boxes } from '#fleet/database/schema.ts';

/** Three heartbeats missed: the connection may stand, but nobody is behind it. Milliseconds. */
export function silentAfterMs(heartbeatMs: number): number {
  return 3 * heartbeatMs + 5000;
}

/**
 * Takes boxes that fell silent for offline. A broker says so of its own at once, unless it was killed itself, or the
 * database was away when it wanted to. The next heartbeat makes a box online again.
 * @returns how many
 */
export async function endSilent(db: Database, heartbeatMs: number, now = new Date()): Promise<number> {
  const silent = await db
    .update(boxes)
    .set({ online: false })
    .where(
      and(eq(boxes.online, true), lt(boxes.lastSeenAt, new Date(now.getTime() - silentAfterMs(heartbeatMs)))),
    )
    .returning({ id: boxes.id });
  for (const { id } of silent) await notify(db, 'boxes', id);
  return silent.length;
}
