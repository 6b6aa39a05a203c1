import type { Shaper } from '#shaping/shaper.ts';
import type { FromWorker } from './messages.ts';

/** What one connection may send. */
interface Credit {
  /** Granted with a reply, and not asked for yet, bytes. */
  bytes: number;
  /** Responses of this connection that are under way or about to be. */
  jobs: number;
}

interface Wait {
  connection: number;
  granted: (bytes: number) => void;
}

/**
 * The household's line as a worker sees it: every byte is asked for in the main process, where the cap, the month and
 * the turns of the clients are. Flows are connections here; the main process knows whose they are.
 */
export class RemoteLine implements Pick<Shaper, 'take' | 'ask' | 'spend' | 'giveBack'> {
  readonly #send: (message: FromWorker) => void;
  readonly #wake: () => void;
  readonly #credits = new Map<number, Credit>();
  readonly #waits = new Map<number, Wait>();
  #lastWait = 0;
  #spent = 0;
  #back = 0;

  /** @param wake there is something for `tell` */
  constructor(send: (message: FromWorker) => void, wake: () => void) {
    this.#send = send;
    this.#wake = wake;
  }

  /** A response of a connection was decided, and so much granted with it. */
  begin(connection: number, bytes: number): void {
    const credit = this.#credits.get(connection);
    if (credit) {
      credit.bytes += bytes;
      credit.jobs++;
    } else this.#credits.set(connection, { bytes, jobs: 1 });
  }

  /** It has ended. What was granted to nobody else any more goes back. */
  end(connection: number): void {
    const credit = this.#credits.get(connection);
    if (!credit || --credit.jobs > 0) return;
    this.#credits.delete(connection);
    if (credit.bytes > 0) this.giveBack(credit.bytes);
  }

  ask(flow: string, bytes: number, granted: (bytes: number) => void): number | (() => void) {
    const connection = Number(flow);
    const credit = this.#credits.get(connection);
    if (credit && credit.bytes > 0) {
      const given = Math.min(credit.bytes, bytes);
      credit.bytes -= given;
      return given;
    }
    const wait = ++this.#lastWait;
    this.#waits.set(wait, { connection, granted });
    this.#send(['want', wait, connection, bytes]);
    return () => {
      if (this.#waits.delete(wait)) this.#send(['unwant', wait]);
    };
  }

  take(flow: string, bytes: number, signal?: AbortSignal): number | Promise<number> {
    let resolve: (bytes: number) => void = () => undefined;
    const answer = this.ask(flow, bytes, (granted) => {
      signal?.removeEventListener('abort', cancel);
      resolve(granted);
    });
    if (typeof answer === 'number') return answer;
    const cancel = () => {
      answer();
      resolve(0);
    };
    return new Promise((done) => {
      resolve = done;
      if (signal?.aborted) cancel();
      else signal?.addEventListener('abort', cancel, { once: true });
    });
  }

  /** The main process has answered a want. */
  granted(wait: number, bytes: number): void {
    const asked = this.#waits.get(wait);
    if (asked) {
      this.#waits.delete(wait);
      asked.granted(bytes);
    } else if (bytes > 0) this.giveBack(bytes);
  }

  spend(bytes: number): void {
    this.#spent += bytes;
    this.#wake();
  }

  giveBack(bytes: number): void {
    this.#back += bytes;
    this.#wake();
  }

  /** Tells what was spent and given back since the last time. */
  tell(): void {
    if (this.#spent === 0 && this.#back === 0) return;
    const message: FromWorker = ['line', this.#spent, this.#back];
    this.#spent = 0;
    this.#back = 0;
    this.#send(message);
  }
}
