import type { Socket } from 'node:net';

const LINE_END = 0x0a;

/**
 * Messages over a pipe between two processes of this program, a batch to a line. What is sent within one turn of the
 * event loop goes in one batch, with one system call: a message costs a few microseconds and not a hundred.
 */
export class Channel<Out, In> {
  readonly #pipe: Socket;
  readonly #onMessage: (message: In) => void;
  /** Pieces of a line that has not ended. */
  #rest: Buffer[] = [];
  #waiting: Out[] = [];
  #isFlushSet = false;
  #closed = false;

  /**
   * @param onClose the other side has gone; called once
   * @param beforeFlush may send more with a batch that is about to go
   */
  constructor(
    pipe: Socket,
    on: { message: (message: In) => void; close: () => void; beforeFlush?: () => void },
  ) {
    this.#pipe = pipe;
    this.#onMessage = on.message;
    this.#beforeFlush = on.beforeFlush ?? (() => undefined);
    pipe.on('data', (bytes: Buffer) => this.#read(bytes));
    pipe.on('error', () => undefined);
    pipe.on('close', () => {
      this.#closed = true;
      on.close();
    });
    pipe.on('end', () => pipe.destroy());
  }

  readonly #beforeFlush: () => void;

  send(message: Out): void {
    if (this.#closed) return;
    this.#waiting.push(message);
    this.wake();
  }

  /** `beforeFlush` has something to say. */
  wake(): void {
    if (this.#isFlushSet) return;
    this.#isFlushSet = true;
    setImmediate(this.#flushLater);
  }

  readonly #flushLater = (): void => {
    this.#isFlushSet = false;
    this.flush();
  };

  /** Sends what waits now; `sent`: called when the other side's kernel has it. */
  flush(sent?: () => void): void {
    if (this.#closed) return;
    this.#beforeFlush();
    if (this.#waiting.length === 0) {
      sent?.();
      return;
    }
    const batch = `${JSON.stringify(this.#waiting)}\n`;
    this.#waiting = [];
    this.#pipe.write(batch, sent && (() => sent()));
  }

  close(): void {
    this.#pipe.destroy();
  }

  #read(bytes: Buffer): void {
    let from = 0;
    for (let end = bytes.indexOf(LINE_END); end >= 0; end = bytes.indexOf(LINE_END, from)) {
      const line = bytes.subarray(from, end);
      from = end + 1;
      const whole = this.#rest.length === 0 ? line : Buffer.concat([...this.#rest, line]);
      this.#rest = [];
      for (const message of JSON.parse(whole.toString()) as In[]) this.#onMessage(message);
    }
    if (from < bytes.length) this.#rest.push(from === 0 ? bytes : bytes.subarray(from));
    // Answers go at once: who asked waits for them.
    this.flush();
  }
}
