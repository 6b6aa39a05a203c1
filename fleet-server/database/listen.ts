import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'drizzle-orm';
import pg from 'pg';
import type { Logger } from 'pino';
import { messageOf } from '#protocol/errors.ts';
import type { Queryable } from './database.ts';

/** Channels of LISTEN/NOTIFY: they wake whoever waits; the truth is in the tables. */
export const CHANNELS = {
  /** Payload: a box id that has commands to be sent. */
  commands: 'hearth_commands',
  /** Payload: a box id whose desired state changed, or empty for all. */
  desired: 'hearth_desired',
  /** Payload: an asset id that routes otherwise from now on, or empty for all. */
  routes: 'hearth_routes',
  /** Payload: a box id whose standing changed (online, routable, revoked). */
  boxes: 'hearth_boxes',
} as const;
export type Channel = keyof typeof CHANNELS;

/** Tells the listeners; within a transaction, when it commits. */
export async function notify(db: Queryable, channel: Channel, payload = ''): Promise<void> {
  await db.execute(sql`SELECT pg_notify(${CHANNELS[channel]}, ${payload})`);
}

/** The same for many payloads in one statement. */
export async function notifyEach(
  db: Queryable,
  channel: Channel,
  payloads: readonly string[],
): Promise<void> {
  await db.execute(
    sql`SELECT pg_notify(${CHANNELS[channel]}, payload) FROM unnest(${sql.param([...payloads])}::text[]) AS payload`,
  );
}

export interface Listener {
  close(): Promise<void>;
}

/**
 * Listens on one connection, and on a new one when that is lost. After every (re)connection `handlers` are each
 * called once with an empty payload, since notifications may have been missed.
 */
export function listen(
  url: string,
  handlers: Partial<Record<Channel, (payload: string) => void>>,
  log: Logger,
): Listener {
  const stopping = new AbortController();
  const channels = Object.keys(handlers) as Channel[];
  let client: pg.Client | undefined;

  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const current = new pg.Client({
        connectionString: url,
        application_name: 'hearth listen',
        keepAlive: true,
      });
      client = current;
      const ended = new Promise<void>((resolve) => {
        current.once('end', resolve);
        // Not once: a second error without a listener would end the process.
        current.on('error', () => resolve());
      });
      try {
        await current.connect();
        current.on('notification', ({ channel, payload }) => {
          const name = channels.find((key) => CHANNELS[key] === channel);
          if (name) handlers[name]?.(payload ?? '');
        });
        for (const name of channels) await current.query(`LISTEN ${CHANNELS[name]}`);
        for (const name of channels) handlers[name]?.('');
        await ended;
      } catch (error) {
        log.debug({ err: messageOf(error) }, 'cannot listen to the database');
      }
      await current.end().catch(() => undefined);
      if (stopping.signal.aborted) return;
      log.warn('the database connection for notifications is lost; trying again');
      await sleep(1000, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  };
  const running = run();
  return {
    async close() {
      stopping.abort();
      await client?.end().catch(() => undefined);
      await running;
    },
  };
}
