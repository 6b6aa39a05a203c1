import type { Readable, Writable } from 'node:stream';
import { HearthError } from '#protocol/errors.ts';

export interface CommandResult {
  code: number;
  output: string;
}

interface Waiter {
  matches: (line: string) => boolean;
  done: (line: string) => void;
}

const KEPT_LINES = 2_000;
/** Twice as long in hex; the guest's terminal takes no longer line than 4,095. */
const MOST_COMMAND_BYTES = 2_000;

/**
 * The serial line of a board: its log, and commands run over it (guest/console is the other end). The last lines
 * are kept.
 */
export class SerialConsole {
  private readonly input: Writable;
  private readonly onLine: (line: string) => void;
  private readonly waiters = new Set<Waiter>();
  private readonly answers = new Map<string, string[]>();
  private lines: string[] = [];
  private rest = '';
  private nextId = 1;
  private running: Promise<unknown> = Promise.resolve();
  private ended: string | null = null;
  private readonly failures = new Set<(reason: Error) => void>();

  constructor(input: Writable, output: Readable, onLine: (line: string) => void) {
    this.input = input;
    this.onLine = onLine;
    input.on('error', () => {});
    output.setEncoding('utf8');
    output.on('data', (text: string) => this.take(text));
  }

  /** The last lines, at most 2,000. */
  log(count = KEPT_LINES): string {
    return [...this.lines, this.rest].slice(-count).join('\n');
  }

  /** Fails whatever waits: nothing more will come. */
  end(reason: string): void {
    this.ended = reason;
    for (const fail of this.failures) fail(new HearthError('unavailable', reason));
  }

  /** The first line from now on that matches. @throws HearthError `unavailable` after `timeoutMs` */
  waitFor(pattern: RegExp, timeoutMs: number): Promise<string> {
    return this.line((line) => pattern.test(line), `no line like ${pattern}`, timeoutMs);
  }

  /**
   * Runs a shell command in the guest, one after another.
   * @param timeoutMs after this it is killed in the guest
   */
  run(command: string, timeoutMs = 60_000): Promise<CommandResult> {
    const result = this.running.then(() => this.execute(command, timeoutMs));
    this.running = result.catch(() => {});
    return result;
  }

  /** Types text as a person would. */
  type(text: string): void {
    this.input.write(text);
  }

  private async execute(command: string, timeoutMs: number): Promise<CommandResult> {
    const encoded = Buffer.from(command).toString('hex');
    if (encoded.length > 2 * MOST_COMMAND_BYTES) {
      throw new HearthError(
        'bad_request',
        `a command of ${encoded.length / 2} bytes is too long for the serial line: ${MOST_COMMAND_BYTES} are taken`,
      );
    }
    const id = `#${this.nextId++}`;
    this.answers.set(id, []);
    // Slower than the guest's own limit, so that its word comes first.
    const closing = this.line(
      (line) => line.startsWith(`${id} end `),
      `the guest does not answer: ${command.slice(0, 80)}`,
      timeoutMs + 20_000,
    );
    this.input.write(`${id} ${Math.ceil(timeoutMs / 1000)} ${encoded}\n`);
    const [, , code, length] = (await closing).split(' ');
    const output = Buffer.from((this.answers.get(id) ?? []).join(''), 'hex');
    this.answers.delete(id);
    if (output.length !== Number(length)) {
      throw new HearthError('unavailable', `${output.length} of ${length} bytes came over the serial line`);
    }
    return { code: Number(code), output: output.toString('utf8') };
  }

  private line(matches: Waiter['matches'], complaint: string, timeoutMs: number): Promise<string> {
    if (this.ended !== null) return Promise.reject(new HearthError('unavailable', this.ended));
    return new Promise((done, fail) => {
      const end = () => {
        clearTimeout(timer);
        this.waiters.delete(waiter);
        this.failures.delete(failed);
      };
      const waiter: Waiter = {
        matches,
        done: (line) => {
          end();
          done(line);
        },
      };
      const failed = (reason: Error) => {
        end();
        fail(reason);
      };
      const timer = setTimeout(
        () =>
          failed(new HearthError('unavailable', `${complaint} in ${timeoutMs} ms; last:\n${this.log(25)}`)),
        timeoutMs,
      );
      this.waiters.add(waiter);
      this.failures.add(failed);
    });
  }

  private take(text: string): void {
    const lines = (this.rest + text.replaceAll('\r', '')).split('\n');
    this.rest = (lines.pop() ?? '').slice(-10_000);
    for (const line of lines) this.one(line);
  }

  private one(line: string): void {
    // The last line of a dump ends with spaces.
    const answer = /^(#\d+) ([0-9a-f]+) *$/.exec(line);
    const collected = answer ? this.answers.get(answer[1] ?? '') : undefined;
    if (collected) {
      collected.push(answer?.[2] ?? '');
      return;
    }
    for (const waiter of this.waiters) if (waiter.matches(line)) waiter.done(line);
    if (/^#\d+ end /.test(line)) return;
    this.lines.push(line);
    if (this.lines.length > KEPT_LINES * 2) this.lines = this.lines.slice(-KEPT_LINES);
    this.onLine(line);
  }
}
