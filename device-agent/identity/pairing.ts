import type { Logger } from 'pino';
import type { Backoff } from '#agent/time/backoff.ts';
import { backoffMs, wait } from '#agent/time/backoff.ts';
import { HearthError, isHearthError, messageOf } from '#protocol/errors.ts';
import { enrol } from './enrol.ts';
import type { Identity, StateDirectory } from './identity.ts';

/** A fleet, and a code it gave out. */
export interface Invitation {
  fleetUrl: string;
  claimCode: string;
}

export interface PairingOptions {
  state: StateDirectory;
  stamp: () => string;
  backoff: Backoff;
  log: Logger;
  onPaired: (identity: Identity) => Promise<void>;
}

/** These will not go away by asking again. */
const FINAL = ['claim_invalid', 'csr_invalid', 'insecure_fleet_url', 'bad_request'] as const;

/** At least so long between two tries, ms. */
const WAIT_MS = 500;

/** Pairs the box, by the household's hand or by itself; one attempt at a time. */
export class Pairing {
  readonly #options: PairingOptions;
  #abort = new AbortController();
  #running: Promise<void> | null = null;
  #problem: string | null = null;
  #closed = false;

  constructor(options: PairingOptions) {
    this.#options = options;
  }

  get active(): boolean {
    return this.#running !== null;
  }
  /** Why the last attempt failed, for a person. */
  get problem(): string | null {
    return this.#problem;
  }

  /**
   * Pairs now; an attempt of the box's own gives way.
   * @throws HearthError why it failed
   */
  async pair(fleetUrl: string, claimCode: string): Promise<void> {
    // Several may be asked for at once: each ends the one before it, and none runs beside another.
    while (this.#running) await this.#stop();
    let failure: unknown = this.#closed
      ? new HearthError('unavailable', 'The box is being switched off.')
      : null;
    await this.#start(async (signal) => {
      try {
        await this.#once(fleetUrl, claimCode, signal);
      } catch (error) {
        failure = signal.aborted
          ? new HearthError('conflict', 'Another attempt to pair this box has begun.', { cause: error })
          : error;
      }
    });
    if (failure) throw failure;
  }

  /**
   * Pairs by itself, with one invitation after the other, asking again until a fleet has taken one or all are
   * refused for good. Returns at once.
   */
  keepTrying(invitations: readonly Invitation[]): void {
    void this.#start(async (signal) => {
      let open = [...invitations];
      for (let attempt = 0; open.length > 0 && !signal.aborted; attempt++) {
        const invitation = open[attempt % open.length] as Invitation;
        try {
          await this.#once(invitation.fleetUrl, invitation.claimCode, signal);
          return;
        } catch (error) {
          if (signal.aborted) return;
          const final = FINAL.some((code) => isHearthError(error, code));
          this.#options.log.warn({ reason: messageOf(error), final }, 'the box could not be paired');
          if (final) open = open.filter((other) => other !== invitation);
        }
        await wait(WAIT_MS + backoffMs(this.#options.backoff, attempt), signal);
      }
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#stop();
  }

  #start(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#abort = new AbortController();
    const running = work(this.#abort.signal).finally(() => {
      if (this.#running === running) this.#running = null;
    });
    this.#running = running;
    return running;
  }

  async #stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #once(fleetUrl: string, claimCode: string, signal: AbortSignal): Promise<void> {
    const { state, stamp, onPaired, log } = this.#options;
    try {
      const identity = await enrol(state, fleetUrl, claimCode, stamp, signal);
      this.#problem = null;
      log.info({ boxId: identity.boxId, fleetUrl }, 'the box is paired');
      await onPaired(identity);
    } catch (error) {
      this.#problem = messageOf(error);
      throw error;
    }
  }
}
