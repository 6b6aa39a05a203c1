import path from 'node:path';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import * as z from 'zod';
import type { ActivityLog } from '#agent/activity/activity.ts';
import { readTextIfAny, writeFileDurably } from '#agent/durable/durable-file.ts';
import type { AwaySession } from '#protocol/away.ts';
import { HearthError } from '#protocol/errors.ts';
import type { BoxAway, BoxAwayKey } from '#protocol/http-box.ts';
import { awayKeyHash, newAwayKey } from '#protocol/ids.ts';
import { dashboardUrl } from '#protocol/relay.ts';
import { flowOfAddress } from '#shaping/shaper.ts';

const fileSchema = z.object({
  v: z.literal(1),
  /** Null: switched off. */
  keySha256: z.string().nullable(),
  since: z.string().nullable(),
  lastUsedAt: z.string().nullable(),
  lastFrom: z.string().nullable(),
});
type Kept = z.infer<typeof fileSchema>;

const NEVER: Kept = { v: 1, keySha256: null, since: null, lastUsedAt: null, lastFrom: null };
/** Requests from away under way at once: beside them clients are served through the same tunnel. */
const MOST_AT_ONCE = 32;
/** Who comes from the same address, or /64 of IPv6, again within this time is the same visit, ms. */
const VISIT_MS = 3_600_000;
/** The last visit is written to the flash this often at most, ms: who has the key has more addresses than it bears. */
const WRITTEN_EVERY_MS = 600_000;

/** Connections from away live so much longer than the switch that ended them, ms. */
const GOODBYE_MS = 250;

export interface AwayParts {
  activity: ActivityLog;
  /** A clock that only grows, ms. */
  monotonic: () => number;
  /** The best known time, ISO 8601. */
  stamp: () => string;
  /** Somebody has to have set a password: else whoever has the key would set the first one. */
  hasPassword: () => boolean;
  boxId: () => string | null;
  /** Relays that carry dashboards, `https://host`. */
  relays: () => readonly string[];
  /** Hands a connection to the dashboard. */
  serve: (connection: Duplex, from: AwayVisitor) => void;
  /** Asks the fleet to end sessions; false: it did not get that. */
  end: (sessions: string[]) => Promise<boolean>;
  isLinked: () => boolean;
  log: Logger;
}

/** Who comes through a relay, by the relay's word. */
export interface AwayVisitor {
  address: string;
  /** The host the browser asked for. */
  host: string;
}

/**
 * The dashboard for its household away from home, through a relay. Off until it is switched on at home, which makes a
 * key: the fleet gets its hash, and lets in who shows it; the dashboard's own password is asked for all the same.
 */
export class Away {
  readonly #file: string;
  readonly #parts: AwayParts;
  readonly #open = new Set<Duplex>();
  readonly #listeners: (() => void)[] = [];
  /** When each network was last here, by the monotonic clock. */
  readonly #visits = new Map<string, number>();
  #kept: Kept = NEVER;
  /** Who is in, as the fleet last told; null: it has not. */
  #sessions: AwaySession[] | null = null;
  /** When a visit was last written, by the monotonic clock. */
  #writtenAtMs = Number.NEGATIVE_INFINITY;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(stateDir: string, parts: AwayParts) {
    this.#file = path.join(stateDir, 'away.json');
    this.#parts = parts;
  }

  /** What was kept; a file that cannot be read counts as off. */
  async open(): Promise<void> {
    const text = await readTextIfAny(this.#file).catch(() => null);
    if (text === null) return;
    try {
      this.#kept = fileSchema.parse(JSON.parse(text));
    } catch {
      this.#parts.log.warn('away.json is damaged: the dashboard from away is off');
    }
  }

  /** What the fleet is told; null: off. */
  get keySha256(): string | null {
    return this.#kept.keySha256;
  }

  /** Called when it was switched on or off. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  view(): BoxAway {
    const { keySha256, since, lastUsedAt, lastFrom } = this.#kept;
    const boxId = this.#parts.boxId();
    const urls = boxId === null ? [] : this.#parts.relays().map((base) => dashboardUrl(base, boxId));
    // What was told before the link broke may be over.
    const sessions = keySha256 !== null && this.#parts.isLinked() ? this.#sessions : null;
    return { on: keySha256 !== null, urls, since, lastUsedAt, lastFrom, sessions };
  }

  /** Switches it on with a new key: who came in by the old one is out. */
  async turnOn(): Promise<BoxAwayKey> {
    const key = newAwayKey();
    await this.#change({ keySha256: awayKeyHash(key), since: this.#parts.stamp() });
    this.#parts.activity.add('away_on');
    return { ...this.view(), key };
  }

  /** The fleet tells who is in now. */
  tell(sessions: AwaySession[]): void {
    this.#sessions = sessions;
  }

  /**
   * Ends sessions; the fleet tells who is left.
   * @throws HearthError `unavailable` when it cannot be asked
   */
  async end(sessions: string[]): Promise<BoxAway> {
    // A fleet that tells of none does not know of ending them.
    if (this.#sessions === null || !(await this.#parts.end(sessions))) {
      throw new HearthError(
        'unavailable',
        'The fleet cannot be asked now. Another key, or switching this off, ends everything at once.',
      );
    }
    this.#parts.activity.add('away_ended', { n: sessions.length });
    return this.view();
  }

  async turnOff(): Promise<BoxAway> {
    if (this.#kept.keySha256 !== null) {
      await this.#change({ keySha256: null, since: null });
      this.#parts.activity.add('away_off');
    }
    return this.view();
  }

  /**
   * Takes a connection a relay has brought.
   * @returns the HTTP status to answer the relay with: 200, and the connection is served
   */
  admit(visitor: AwayVisitor): 200 | 403 | 503 {
    const { hasPassword, log } = this.#parts;
    if (this.#kept.keySha256 === null || !hasPassword()) {
      log.warn(
        { from: visitor.address },
        'somebody asked for the dashboard from away, and it is switched off',
      );
      return 403;
    }
    return this.#open.size >= MOST_AT_ONCE ? 503 : 200;
  }

  /** Serves a connection that was admitted. */
  serve(connection: Duplex, visitor: AwayVisitor): void {
    this.#open.add(connection);
    connection.once('close', () => this.#open.delete(connection));
    connection.on('error', () => undefined);
    this.#noted(visitor);
    this.#parts.serve(connection, visitor);
  }

  close(): void {
    for (const connection of this.#open) connection.destroy();
  }

  /** In the log, in what the household reads, and beside the switch. */
  #noted({ address, host }: AwayVisitor): void {
    const { activity, log, monotonic, stamp } = this.#parts;
    const nowMs = monotonic();
    const network = flowOfAddress(address);
    const lastMs = this.#visits.get(network);
    this.#visits.delete(network);
    this.#visits.set(network, nowMs);
    for (const oldest of this.#visits.keys()) {
      if (this.#visits.size <= 100) break;
      this.#visits.delete(oldest);
    }
    if (lastMs !== undefined && nowMs - lastMs < VISIT_MS) return;
    log.info({ from: address, relay: host }, 'the dashboard is looked at from away');
    activity.add('away_used', { address });
    this.#kept = { ...this.#kept, lastUsedAt: stamp(), lastFrom: address };
    if (nowMs - this.#writtenAtMs < WRITTEN_EVERY_MS) return;
    this.#writtenAtMs = nowMs;
    this.#keep({}).catch(() => undefined);
  }

  async #change(change: Pick<Kept, 'keySha256' | 'since'>): Promise<void> {
    await this.#keep(change);
    // Who switches it off from away is to see that it is off; nobody else gets anything that fast.
    setTimeout(() => this.close(), GOODBYE_MS).unref();
    this.#visits.clear();
    // All of them are over with the key.
    this.#sessions &&= [];
    for (const listener of this.#listeners) listener();
  }

  #keep(change: Partial<Kept>): Promise<void> {
    const done = this.#turn.then(async () => {
      const next = { ...this.#kept, ...change };
      await writeFileDurably(this.#file, JSON.stringify(next), 0o600);
      // Somebody may have come meanwhile.
      this.#kept = { ...this.#kept, ...change };
    });
    this.#turn = done.catch((error: unknown) => {
      this.#parts.log.warn({ reason: String(error) }, 'away.json could not be written');
    });
    return done;
  }
}
