import { createHash, randomBytes } from 'node:crypto';

const MOST_SESSIONS = 32;
const IDLE_MS = 12 * 3_600_000;
const LONGEST_MS = 14 * 86_400_000;

/** Logged-in browsers, in memory: by the hash of their cookie, bounded, ending by themselves. */
export class Sessions {
  readonly #now: () => number;
  readonly #sessions = new Map<string, { startedAtMs: number; seenAtMs: number }>();
  readonly #listeners: (() => void)[] = [];

  /** @param now a clock that only grows, ms */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Begins one; returns the cookie's value. The oldest gives way when there are too many. */
  begin(): string {
    const secret = randomBytes(32).toString('base64url');
    const now = this.#now();
    this.#sessions.set(hashOf(secret), { startedAtMs: now, seenAtMs: now });
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size <= MOST_SESSIONS) break;
      this.#sessions.delete(oldest);
    }
    return secret;
  }

  /** Whether a cookie's value is that of a live session, which thereby lives on. */
  isLive(secret: string | null): boolean {
    const session = this.#find(secret);
    if (session) session.seenAtMs = this.#now();
    return session !== null;
  }

  /** The same without keeping it alive: an open page alone is nobody at the keyboard. */
  isKnown(secret: string | null): boolean {
    return this.#find(secret) !== null;
  }

  end(secret: string | null): void {
    if (secret !== null && this.#sessions.delete(hashOf(secret))) this.#tell();
  }

  endAll(): void {
    this.#sessions.clear();
    this.#tell();
  }

  /** Called after sessions were ended by somebody. */
  onEnd(listener: () => void): void {
    this.#listeners.push(listener);
  }

  #find(secret: string | null): { startedAtMs: number; seenAtMs: number } | null {
    if (secret === null) return null;
    const key = hashOf(secret);
    const session = this.#sessions.get(key);
    if (!session) return null;
    const now = this.#now();
    if (now - session.seenAtMs <= IDLE_MS && now - session.startedAtMs <= LONGEST_MS) return session;
    this.#sessions.delete(key);
    return null;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('base64');
}
