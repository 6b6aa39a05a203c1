import { randomUUID } from 'node:crypto';
import type { Budget } from '#shaping/shaper.ts';
import { LATER } from '#shaping/shaper.ts';
import type { WallTime } from './schedule.ts';
import type { Count, MonthCount, UsageFile } from './usage-file.ts';
import { MOST_DAYS, MOST_HOURS, MOST_MONTHS, readUsage, writeUsage } from './usage-file.ts';

export interface UsageParts {
  /** Null while the time is not known. */
  wall: () => WallTime | null;
  /** True once the time is certain: what was counted before may have gone to a wrong month. */
  timeIsSure: () => boolean;
  /** Bytes a month may take, both ways together; null: no bound. */
  monthlyBytes: () => number | null;
  now: () => number;
  /** What waited for the book-keeping, or for a new month, can go on. */
  onRoom: () => void;
  onTrouble: (error: unknown) => void;
}

/** Written when so much time has passed, if anything was counted, ms: what a power cut can take from the charts. */
const WRITE_MS = 600_000;
/** After a write that failed, ms. */
const AGAIN_MS = 60_000;
/** One reservation: this part of the quota within these bounds, bytes. So much can a power cut over-count. */
const RESERVE_PART = 1 / 500;
const LEAST_RESERVE = 16 * 1024 * 1024;
const MOST_RESERVE = 1024 * 1024 * 1024;
/** The month of bytes counted before the time was known at all. */
const UNKNOWN = 'unknown';

/**
 * Counts what goes over the line by month, day and hour, and holds the month to its quota. The disk always says at
 * least what was used: before bytes go, a reservation that covers them has been written; one that was open when the
 * power went counts as used. Without a quota nothing is reserved, and a power cut loses ten minutes of the charts.
 */
export class Usage {
  readonly #parts: UsageParts;
  readonly #session: string;
  readonly #months = new Map<string, MonthCount>();
  readonly #days = new Map<string, Count>();
  readonly #hours = new Map<string, Count>();
  #current = UNKNOWN;
  /** Counted, and not yet put down under a month. */
  #pending: Count = { up: 0, down: 0, requests: 0 };
  /** What this run counted before it was sure of the time. */
  #unsureOfTime: Count = { up: 0, down: 0, requests: 0 };
  /** Bytes of this run, both ways. The two bounds below are on this scale. */
  #total = 0;
  #quotaTo = Number.POSITIVE_INFINITY;
  #reservedTo = Number.POSITIVE_INFINITY;
  /** From here on the next reservation is written. */
  #renewAt = Number.POSITIVE_INFINITY;
  #file: string | null = null;
  #mergedOne = false;
  #writing: Promise<void> | null = null;
  #writtenAtMs: number;
  #writtenTotal = 0;
  #failedAtMs: number | null = null;
  #closed = false;

  constructor(parts: UsageParts, session: string = randomUUID()) {
    this.#parts = parts;
    this.#session = session;
    this.#writtenAtMs = parts.now();
    this.#turn();
    this.#bound();
  }

  readonly up: Budget = this.#budget('up');
  readonly down: Budget = this.#budget('down');

  addRequests(count: number): void {
    this.#pending.requests += count;
  }

  /** True when the month's quota has been used. */
  get usedUp(): boolean {
    return this.#total >= this.#quotaTo;
  }

  /** The month so far. `unsureBytes` were reserved when the power went. */
  month(): {
    month: string | null;
    upBytes: number;
    downBytes: number;
    unsureBytes: number;
    usedBytes: number;
  } {
    this.#fold();
    const { up, down, unsure } = this.#monthCount();
    const month = this.#current === UNKNOWN ? null : this.#current;
    return { month, upBytes: up, downBytes: down, unsureBytes: unsure, usedBytes: up + down + unsure };
  }

  /** For the charts, oldest first: the hours of today and the days kept, with what was counted. */
  history(): { hours: ({ hour: number } & Count)[]; days: ({ date: string } & Count)[] } {
    this.#fold();
    const today = this.#parts.wall()?.date;
    const hours: ({ hour: number } & Count)[] = [];
    for (const [key, count] of this.#hours) {
      if (key.slice(0, 10) === today) hours.push({ hour: Number(key.slice(11)), ...count });
    }
    const days = Array.from(this.#days, ([date, count]) => ({ date, ...count }));
    return {
      hours: hours.sort((a, b) => a.hour - b.hour),
      days: days.sort((a, b) => (a.date < b.date ? -1 : 1)),
    };
  }

  /** What was sent today, and the requests answered; null while the time is not known. */
  today(): { bytes: number; requests: number } | null {
    this.#fold();
    const wall = this.#parts.wall();
    if (!wall) return null;
    const count = this.#days.get(wall.date);
    return { bytes: count?.up ?? 0, requests: count?.requests ?? 0 };
  }

  /** The quota, or the time zone, may be another now. */
  settingsChanged(): void {
    this.#fold();
    this.#bound();
    this.#write();
  }

  /** To be called every second or so. */
  tick(): void {
    this.#fold();
    const since = this.#parts.now() - this.#writtenAtMs;
    const waitMs = this.#failedAtMs === null ? WRITE_MS : AGAIN_MS;
    if (since >= waitMs && this.#total !== this.#writtenTotal) this.#write();
  }

  /** Where counts are kept from now on; null: the disk takes no writes, and they stay in memory meanwhile. */
  async useFile(file: string | null): Promise<void> {
    while (this.#writing) await this.#writing;
    if (file === null) {
      this.#file = null;
      this.#bound();
      this.#parts.onRoom();
      return;
    }
    const found = await readUsage(file);
    // What this very run wrote it has in memory, and more.
    if (found && found.session !== this.#session) this.#merge(found);
    this.#file = file;
    this.#failedAtMs = null;
    this.#fold();
    this.#bound();
    this.#write();
    await this.#writing;
  }

  /** Puts down what was counted, exactly; nothing can be taken afterwards. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#quotaTo = Number.NEGATIVE_INFINITY;
    while (this.#writing) await this.#writing;
    this.#fold();
    if (this.#file) await this.#put(this.#file, 0).catch((error) => this.#parts.onTrouble(error));
  }

  #budget(direction: 'up' | 'down'): Budget {
    const count = (bytes: number) => {
      this.#total += bytes;
      this.#pending[direction] += bytes;
      if (this.#total >= this.#renewAt) this.#write();
    };
    return {
      take: (bytes) => {
        if (this.#total >= this.#quotaTo) return 0;
        const room = Math.min(bytes, this.#quotaTo - this.#total, this.#reservedTo - this.#total);
        if (room <= 0) return LATER;
        count(room);
        return room;
      },
      force: count,
      giveBack: (bytes) => count(-bytes),
    };
  }

  #monthCount(): MonthCount {
    let month = this.#months.get(this.#current);
    if (!month) {
      month = { up: 0, down: 0, unsure: 0 };
      this.#months.set(this.#current, month);
    }
    return month;
  }

  /** Puts what was counted down under its month, day and hour. */
  #fold(): void {
    const turned = this.#turn();
    const { up, down, requests } = this.#pending;
    if (up !== 0 || down !== 0 || requests !== 0) {
      this.#pending = { up: 0, down: 0, requests: 0 };
      const counts: { up: number; down: number; requests?: number }[] = [this.#monthCount()];
      if (!this.#parts.timeIsSure()) counts.push(this.#unsureOfTime);
      const wall = this.#parts.wall();
      if (wall) {
        counts.push(entryOf(this.#days, wall.date, MOST_DAYS));
        counts.push(entryOf(this.#hours, `${wall.date}T${String(wall.hour).padStart(2, '0')}`, MOST_HOURS));
      }
      for (const count of counts) {
        // What was given back may have been taken in the hour before.
        count.up = Math.max(0, count.up + up);
        count.down = Math.max(0, count.down + down);
        if (count.requests !== undefined) count.requests += requests;
      }
    }
    if (!turned) return;
    this.#bound();
    this.#write();
    this.#parts.onRoom();
  }

  /** @returns true when another month has begun */
  #turn(): boolean {
    const month = this.#parts.wall()?.month ?? this.#current;
    const sure = this.#parts.timeIsSure();
    const before = this.#current;
    if (month !== before) {
      this.#current = month;
      const count = this.#monthCount();
      const stray = before === UNKNOWN ? this.#months.get(UNKNOWN) : this.#unsureOfTime;
      count.up += stray?.up ?? 0;
      count.down += stray?.down ?? 0;
      this.#months.delete(UNKNOWN);
      forgetOldest(this.#months, MOST_MONTHS, month);
    }
    if (sure) this.#unsureOfTime = { up: 0, down: 0, requests: 0 };
    return month !== before;
  }

  /** Sets the bounds anew: the quota's, and the reservation's, which holds nothing until it is written. */
  #bound(): void {
    if (this.#closed) return;
    const limit = this.#parts.monthlyBytes();
    const { up, down, unsure } = this.#monthCount();
    const pending = this.#pending.up + this.#pending.down;
    this.#quotaTo =
      limit === null ? Number.POSITIVE_INFINITY : this.#total + limit - up - down - unsure - pending;
    if (limit === null || this.#file === null || this.#failedAtMs !== null) {
      this.#reservedTo = Number.POSITIVE_INFINITY;
      this.#renewAt = Number.POSITIVE_INFINITY;
    } else {
      this.#reservedTo = this.#total;
      this.#renewAt = this.#total;
    }
  }

  /** Writes the counts and the next reservation, unless that is under way. */
  #write(): void {
    const file = this.#file;
    if (!file || this.#writing || this.#closed) return;
    // Not at once: what is written may itself find that a month has turned, and come here again.
    this.#writing = Promise.resolve()
      .then(() => this.#renew(file))
      .then(() => {
        this.#failedAtMs = null;
      })
      .catch((error) => {
        // The household's disk troubles are no reason to stop serving what can be served.
        this.#failedAtMs = this.#parts.now();
        this.#bound();
        this.#parts.onTrouble(error);
      })
      .finally(() => {
        this.#writing = null;
        this.#writtenAtMs = this.#parts.now();
        this.#parts.onRoom();
        // A quota that was set, or a month that began, while this was under way.
        if (this.#total >= this.#renewAt && this.#reservedTo <= this.#total) this.#write();
      });
  }

  async #renew(file: string): Promise<void> {
    this.#fold();
    const limit = this.#parts.monthlyBytes();
    const current = this.#current;
    const reserve =
      limit === null ? 0 : Math.floor(Math.min(MOST_RESERVE, Math.max(LEAST_RESERVE, limit * RESERVE_PART)));
    const from = this.#total;
    this.#renewAt = Number.POSITIVE_INFINITY;
    await this.#put(file, reserve);
    const isStale = limit !== this.#parts.monthlyBytes() || current !== this.#current;
    if (limit === null || isStale) {
      this.#bound();
    } else {
      this.#reservedTo = from + reserve;
      this.#renewAt = from + reserve / 2;
    }
  }

  async #put(file: string, reserve: number): Promise<void> {
    const total = this.#total;
    await writeUsage(file, {
      v: 1,
      session: this.#session,
      current: this.#current,
      reserve,
      months: Object.fromEntries(this.#months),
      days: Object.fromEntries(this.#days),
      hours: Object.fromEntries(this.#hours),
    });
    this.#writtenTotal = total;
  }

  /** Takes up what another run wrote. */
  #merge(found: UsageFile): void {
    const open = found.months[found.current] ?? { up: 0, down: 0, unsure: 0 };
    const months = { ...found.months, [found.current]: { ...open, unsure: open.unsure + found.reserve } };
    // The first is this box's past, to which this run adds. Another disk's is the past of the same line, if it is
    // ours at all: of the two the larger.
    const both = this.#mergedOne ? Math.max : (a: number, b: number) => a + b;
    const join = <T extends object>(into: Map<string, T>, from: Record<string, T>) => {
      for (const [key, theirs] of Object.entries(from)) {
        const ours = into.get(key);
        into.set(key, ours ? (joinCounts(ours, theirs, both) as T) : theirs);
      }
    };
    join(this.#months, months);
    join(this.#days, found.days);
    join(this.#hours, found.hours);
    this.#mergedOne = true;
    // While the time is not known, the last month known goes on.
    if (this.#current === UNKNOWN && found.current !== UNKNOWN) {
      const stray = this.#monthCount();
      this.#months.delete(UNKNOWN);
      this.#current = found.current;
      const count = this.#monthCount();
      count.up += stray.up;
      count.down += stray.down;
    }
    forgetOldest(this.#months, MOST_MONTHS, this.#current);
    forgetOldest(this.#days, MOST_DAYS);
    forgetOldest(this.#hours, MOST_HOURS);
  }
}

function entryOf(counts: Map<string, Count>, key: string, most: number): Count {
  let count = counts.get(key);
  if (!count) {
    count = { up: 0, down: 0, requests: 0 };
    counts.set(key, count);
    forgetOldest(counts, most, key);
  }
  return count;
}

/** Keys sort by time. */
function forgetOldest(counts: Map<string, unknown>, most: number, except?: string): void {
  while (counts.size > most) {
    let oldest: string | null = null;
    for (const key of counts.keys()) if (key !== except && (oldest === null || key < oldest)) oldest = key;
    if (oldest === null) return;
    counts.delete(oldest);
  }
}

function joinCounts(ours: object, theirs: object, both: (a: number, b: number) => number): object {
  const mine = ours as Record<string, number>;
  return Object.fromEntries(
    Object.entries(theirs as Record<string, number>).map(([name, value]) => [
      name,
      both(mine[name] ?? 0, value),
    ]),
  );
}
