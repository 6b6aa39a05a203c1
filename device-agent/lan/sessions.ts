import { createHash, randomBytes } from 'node:crypto';

const MOST_SESSIONS = 32;
const IDLE_MS = 12 * 3_600_000;
const LONGEST_MS = 14 * 86_400_000;

/** Logged-in browsers, in memory: by the hash of their cookie, bounded, ending by themselves. */
export class Sessions {
  readonly #now: () => number;
  readonly #sessions = new Map<string, { startedAtMs: number; seenAtMs: number }>();

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
    if (secret === null) return false;
    const key = hashOf(secret);
    const session = this.#sessions.get(key);
    if (!session) return false;
    const now = this.#now();
    if (now - session.seenAtMs > IDLE_MS || now - session.startedAtMs > LONGEST_MS) {
      this.#sessions.delete(key);
      return false;
    }
    session.seenAtMs = now;
    return true;
  }

  end(secret: string | null): void {
    if (secret !== null) this.#sessions.delete(hashOf(secret));
  }
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('base64');
}
