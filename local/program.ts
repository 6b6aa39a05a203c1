import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HearthError } from '#protocol/errors.ts';
import { processIdentity } from './processes.ts';

/** The repository's root: where programs are named from. */
export const ROOT = join(import.meta.dirname, '..');
const KEPT_LINES = 200;
const LOG_FILE_BYTES = 10 * 1024 * 1024;

export interface ProgramOptions {
  /** What it is called in messages. */
  name: string;
  /** The script below the repository's root, and its arguments. */
  args: string[];
  /** HEARTH_... variables: the program gets no others of that kind. */
  env: Record<string, string>;
  /** Everything it prints goes here too, the last 10 to 20 MB of it. */
  logFile?: string;
  readyTimeoutMs?: number;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/**
 * One of our programs as a child process: started, ready when it prints a JSON line with msg "ready", its last
 * lines kept for when it fails. It leads its own process group, so that a terminal's Ctrl-C leaves the order of
 * stopping to us.
 */
export class Program {
  readonly name: string;
  readonly pid: number;
  /** What it said in its "ready" line. */
  readonly ready: Readonly<Record<string, unknown>>;
  readonly exited: Promise<Exit>;
  private readonly output: Output;
  private readonly child: ChildProcess;

  private constructor(
    name: string,
    child: ChildProcess,
    exited: Promise<Exit>,
    output: Output,
    ready: Record<string, unknown>,
  ) {
    this.name = name;
    this.child = child;
    this.pid = child.pid ?? -1;
    this.exited = exited;
    this.output = output;
    this.ready = ready;
  }

  /** @throws HearthError `unavailable` with its last lines when it ends or is not ready in time */
  static async start(options: ProgramOptions): Promise<Program> {
    const output = new Output(options.logFile);
    const child = spawn(process.execPath, options.args, {
      cwd: ROOT,
      env: { ...inheritedEnvironment(), ...options.env },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const exited = new Promise<Exit>((done) => {
      child.once('exit', (code, signal) => done({ code, signal }));
      child.once('error', (error) => {
        output.add(`${error}\n`);
        if (child.pid === undefined) done({ code: -1, signal: null });
      });
    });
    const killWithUs = () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    };
    process.once('exit', killWithUs);
    void exited.then(() => process.removeListener('exit', killWithUs));

    const isReady = new Promise<Record<string, unknown>>((done) => {
      output.onReady = done;
    });
    child.stdout?.on('data', (data) => output.add(data));
    child.stderr?.on('data', (data) => output.add(data));
    const timeoutMs = options.readyTimeoutMs ?? 60_000;
    let timer: NodeJS.Timeout | undefined;
    const outcome = await Promise.race([
      isReady.then((ready) => ({ ready })),
      exited.then((exit) => ({ failure: `ended with ${exit.signal ?? exit.code}` })),
      new Promise<{ failure: string }>((done) => {
        timer = setTimeout(() => done({ failure: `was not ready within ${timeoutMs / 1000} s` }), timeoutMs);
      }),
    ]);
    clearTimeout(timer);
    if ('ready' in outcome) return new Program(options.name, child, exited, output, outcome.ready);
    killWithUs();
    await exited;
    throw new HearthError(
      'unavailable',
      `${options.name} ${outcome.failure}. It said last:\n${output.last(15)}`,
    );
  }

  /** `null` once it has ended. See processes.ts. */
  identity(): string | null {
    return processIdentity(this.pid);
  }

  /** The last lines it printed, at most 200. */
  lastLines(count = KEPT_LINES): string {
    return this.output.last(count);
  }

  /** Asks it to end, and kills it when it does not within `graceMs`. Harmless when it has ended. */
  async stop(graceMs = 15_000): Promise<Exit> {
    this.child.kill('SIGTERM');
    const killer = setTimeout(() => this.child.kill('SIGKILL'), graceMs);
    const exit = await this.exited;
    clearTimeout(killer);
    return exit;
  }

  /** SIGKILL: as a power cut would end it. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  /** Sends any signal, such as SIGSTOP to freeze it. */
  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}

class Output {
  onReady: (ready: Record<string, unknown>) => void = () => {};
  private readonly file: string | undefined;
  private fileBytes = 0;
  private lines: string[] = [];
  private rest = '';

  constructor(file: string | undefined) {
    this.file = file;
    if (file !== undefined) writeFileSync(file, '', { mode: 0o600 });
  }

  add(data: Buffer | string): void {
    this.toFile(data);
    const lines = (this.rest + data).split('\n');
    this.rest = (lines.pop() ?? '').slice(-10_000);
    for (const line of lines) {
      if (line.startsWith('{') && line.includes('"ready"')) this.look(line);
    }
    this.lines = [...this.lines, ...lines].slice(-KEPT_LINES);
  }

  last(count: number): string {
    return [...this.lines, this.rest]
      .filter((line) => line !== '')
      .slice(-count)
      .join('\n');
  }

  private look(line: string): void {
    try {
      const parsed = JSON.parse(line) as Record<string, unknown>;
      if (parsed.msg === 'ready') this.onReady(parsed);
    } catch {
      // Not a log line.
    }
  }

  private toFile(data: Buffer | string): void {
    if (this.file === undefined) return;
    if (this.fileBytes > LOG_FILE_BYTES) {
      renameSync(this.file, `${this.file}.1`);
      this.fileBytes = 0;
    }
    appendFileSync(this.file, data, { mode: 0o600 });
    this.fileBytes += data.length;
  }
}

/** Ours without what is meant for another program, or for the test runner. */
function inheritedEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(HEARTH_|DATABASE_URL$|NODE_TEST_CONTEXT$|PG[A-Z]+$)/.test(name),
  );
  return Object.fromEntries(kept);
}
