import { X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { meetings } from '#fleet/boxes/dial-back.ts';
import type { Database } from '#fleet/database/database.ts';
import { messageOf } from '#protocol/errors.ts';
import { meetsOverTls } from './greeting-tls.ts';
import type { RelayRegister } from './register.ts';
import type { Tunnels } from './tunnels.ts';

const AT_ONCE = 16;
const GATHER_MS = 300;
/** Boxes looked at in one round; the others have theirs next. */
const MOST_AT_ONCE = 1_000;

/** Finds out which of the boxes here can be reached by TLS and their names, once for each connection. */
export class Meetings {
  readonly #parts: {
    db: Database;
    tunnels: Tunnels;
    register: RelayRegister;
    domain: string | null;
    log: Logger;
  };
  /** Boxes met since they came. */
  readonly #met = new Set<string>();
  #round: Promise<void> | null = null;

  constructor(parts: {
    db: Database;
    tunnels: Tunnels;
    register: RelayRegister;
    domain: string | null;
    log: Logger;
  }) {
    this.#parts = parts;
  }

  left(boxId: string): void {
    this.#met.delete(boxId);
  }

  /** Tries those that have a certificate and were not met yet. A round at a time. */
  round(): Promise<void> {
    // Boxes that come together are looked at together.
    this.#round ??= sleep(GATHER_MS)
      .then(() => this.#tryAll())
      .finally(() => {
        this.#round = null;
      });
    return this.#round;
  }

  async #tryAll(): Promise<void> {
    const { db, tunnels, domain, log } = this.#parts;
    const missing = tunnels
      .boxIds()
      .filter((boxId) => !this.#met.has(boxId))
      .sort(() => Math.random() - 0.5)
      .slice(0, MOST_AT_ONCE);
    try {
      const queue = [...(await meetings(db, missing, domain))];
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          for (let next = queue.pop(); next; next = queue.pop()) {
            const [boxId, { serverName, chain }] = next;
            await this.#meet(boxId, serverName, new X509Certificate(chain).fingerprint256);
          }
        }),
      );
    } catch (error) {
      log.warn({ err: messageOf(error) }, 'cannot look up which boxes have certificates; tried again');
    }
  }

  async #meet(boxId: string, serverName: string, issued: string): Promise<void> {
    const { tunnels, register, log } = this.#parts;
    const reason = await meetsOverTls(tunnels, boxId, serverName, issued);
    if (reason !== null) {
      log.debug({ boxId, reason }, 'a box with a certificate was not met over TLS; tried again');
      return;
    }
    await register.met(boxId);
    if (!tunnels.holds(boxId)) return;
    this.#met.add(boxId);
    log.info({ boxId, serverName }, 'clients can reach a box by TLS through this relay');
  }
}
