import { eq, sql } from 'drizzle-orm';
import type { Logger } from 'pino';
import { z } from 'zod';
import type { Database } from '#fleet/database/database.ts';
import { notify } from '#fleet/database/listen.ts';
import { boxes } from '#fleet/database/schema.ts';
import { messageOf } from '#protocol/errors.ts';
import { newNonce } from '#protocol/ids.ts';
import { clip } from '#protocol/messages.ts';

const ANSWER = z.object({ boxId: z.string(), nonce: z.string() });
const TIMEOUT_MS = 3000;
const AT_ONCE = 32;

/**
 * Asks a box's content server who it is, at the address it claims. That it answers from there is what makes it
 * routable; its own word is not enough.
 * @returns null when it is there, else why not
 */
export async function dial(boxId: string, contentUrl: string): Promise<string | null> {
  const nonce = newNonce();
  try {
    const response = await fetch(`${contentUrl.replace(/\/+$/, '')}/_hearth/health?nonce=${nonce}`, {
      // A box must not make the fleet ask someone else.
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await readAtMost(response, 4096);
    if (response.status !== 200) return `${contentUrl} answered ${response.status}`;
    const answer = ANSWER.safeParse(JSON.parse(text));
    if (!answer.success || answer.data.nonce !== nonce) return `${contentUrl} is not a box`;
    return answer.data.boxId === boxId ? null : `${contentUrl} is another box`;
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return `${contentUrl} cannot be reached: ${messageOf(cause)}`;
  }
}

/** Dials every online box at most every `everyMs`, and again soon where its address changed. @returns how many */
export async function dialBoxes(db: Database, everyMs: number, log: Logger): Promise<number> {
  const rows = await db
    .select()
    .from(boxes)
    .where(
      sql`${boxes.online} AND ${boxes.revokedAt} IS NULL AND ${boxes.heartbeat} IS NOT NULL AND (${boxes.dialledAt} IS NULL
        OR ${boxes.dialledAt} < now() - ${everyMs} * interval '1 millisecond'
        OR ((NOT ${boxes.dialOk} OR ${boxes.dialledUrl} IS DISTINCT FROM ${boxes.heartbeat} ->> 'contentUrl')
          AND ${boxes.dialledAt} < now() - interval '2 seconds'))`,
    )
    .limit(1000);
  const queue = [...rows];
  const worker = async (): Promise<void> => {
    for (let box = queue.pop(); box; box = queue.pop()) {
      const url = box.heartbeat?.contentUrl ?? null;
      const reason = url === null ? 'no heartbeat yet' : await dial(box.id, url);
      const ok = reason === null;
      await db
        .update(boxes)
        .set({ dialOk: ok, dialReason: reason && clip(reason), dialledAt: new Date(), dialledUrl: url })
        .where(eq(boxes.id, box.id));
      if (ok === box.dialOk && url === box.dialledUrl) continue;
      await notify(db, 'boxes', box.id);
      if (!ok) log.warn({ boxId: box.id, reason }, 'the box cannot be reached where it says it serves');
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, rows.length) }, worker));
  return rows.length;
}

async function readAtMost(response: Response, limit: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.length;
    if (size > limit) break;
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}
