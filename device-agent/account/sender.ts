import type { DownMessage } from '#protocol/messages.ts';
import type { Account } from './account.ts';

/** Batches under way at once. */
const IN_FLIGHT = 16;
/** A batch without an answer is sent again after this long, ms. */
const RESEND_MS = 30_000;

/** Sends batches, oldest first, a few at a time, each again until the fleet has answered it. */
export class BatchSender {
  readonly #account: Account;
  readonly #publish: (payload: Buffer) => Promise<boolean>;
  readonly #sentAtMs = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  #pumping = false;
  #again = false;

  /** @param publish resolves to false when the link is down */
  constructor(account: Account, publish: (payload: Buffer) => Promise<boolean>) {
    this.#account = account;
    this.#publish = publish;
    this.#timer = setInterval(() => this.pump(), RESEND_MS / 6);
    this.#timer.unref();
  }

  /** A new connection: whatever was under way may be lost. */
  restart(): void {
    this.#sentAtMs.clear();
    this.pump();
  }

  /** Sends what is due. Cheap to call. */
  pump(): void {
    this.#again = true;
    if (this.#pumping) return;
    this.#pumping = true;
    void this.#run().finally(() => {
      this.#pumping = false;
    });
  }

  /** @returns false when the batch was not known */
  async acknowledged(ack: DownMessage<'deliveries-ack'>): Promise<boolean> {
    this.#sentAtMs.delete(ack.batchId);
    const known = await this.#account.settled(ack.batchId);
    this.pump();
    return known;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #run(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      for (const batchId of this.#account.sendable(IN_FLIGHT)) {
        const sentAtMs = this.#sentAtMs.get(batchId);
        if (sentAtMs !== undefined && performance.now() - sentAtMs < RESEND_MS) continue;
        const payload = await this.#account.payloadOf(batchId);
        if (payload === null) continue;
        this.#sentAtMs.set(batchId, performance.now());
        if (!(await this.#publish(Buffer.from(payload)))) {
          this.#sentAtMs.delete(batchId);
          return;
        }
      }
    }
  }
}
