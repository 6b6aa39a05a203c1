import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

const PATIENCE_MS = 60_000;

/** A program of ours on one of the machines, with its log. */
export class Logged {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  #rest = '';
  #errors = '';

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.on('data', (piece) => {
      const parts = (this.#rest + String(piece)).split('\n');
      this.#rest = parts.pop() ?? '';
      this.lines.push(...parts);
    });
    child.stderr?.on('data', (piece) => {
      this.#errors = `${this.#errors}${piece}`.slice(-5_000);
    });
  }

  /** Waits for a log line with this message, from line `from` on. */
  async said(message: string, from = 0): Promise<Record<string, unknown>> {
    return until(
      `"${message}"`,
      () => this.found(message, from),
      () => this.text(),
    );
  }

  found(message: string, from = 0): Record<string, unknown> | null {
    for (const line of this.lines.slice(from)) {
      if (!line.includes(message)) continue;
      const entry = JSON.parse(line) as Record<string, unknown>;
      if (entry.msg === message) return entry;
    }
    return null;
  }

  text(): string {
    return `${this.lines.slice(-60).join('\n')}\n${this.#errors}`;
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const exited = once(this.child, 'exit');
      this.child.kill(signal);
      await exited;
    }
    return this.child.exitCode;
  }
}

/** What a client tells of its download, a line of JSON each time. */
export interface Told {
  what: 'begun' | 'from' | 'broken' | 'done';
  /** Where it downloads from, `host:port`. */
  from?: string;
  sha256?: string;
  why?: string;
}

/** A download under way. */
export class Download {
  readonly #log: Logged;

  constructor(child: ChildProcess) {
    this.#log = new Logged(child);
  }

  get told(): Told[] {
    return this.#log.lines.map((line) => JSON.parse(line) as Told);
  }

  /** Waits until it has told this. */
  said(what: Told['what']): Promise<Told> {
    return until(
      `the client is ${what}`,
      () => this.told.find((one) => one.what === what),
      () => this.#log.text(),
      2 * PATIENCE_MS,
    );
  }
}

/** Waits until it is so. @throws with `about` when it is not in time */
export async function until<T>(
  what: string,
  probe: () => T | null | undefined | false | Promise<T | null | undefined | false>,
  about: () => string = () => '',
  timeoutMs = PATIENCE_MS,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (performance.now() > deadline) throw new Error(`not in time: ${what}\n${about()}`);
    await sleep(100);
  }
}
