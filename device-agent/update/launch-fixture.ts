import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { ProcessGroup } from './group-fixture.ts';

export const LAUNCHER = path.join(import.meta.dirname, 'launch.sh');

export const sha256Of = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex');

/** The line of a choice for an executable. */
export function lineFor(kind: 'trial' | 'kept', file: string, version: string): string {
  return `${kind} ${sha256Of(readFileSync(file))} ${version} ${file}`;
}

/** A launcher over shell scripts in place of agents: each writes its name into `runs`, then does what it was made for. */
export class LauncherFixture {
  readonly stateDir: string;
  readonly folder: string;
  readonly runs: string;
  readonly #t: TestContext;

  constructor(t: TestContext, root: string) {
    this.#t = t;
    this.folder = path.join(root, 'a disk');
    this.stateDir = path.join(root, 'state');
    this.runs = path.join(root, 'runs');
    mkdirSync(path.join(this.stateDir, 'update'), { recursive: true });
    mkdirSync(this.folder);
  }

  /** An executable that notes its start and then runs `body`. */
  script(name: string, body: string): string {
    const file = path.join(this.folder, name);
    const note = `echo "${name} $HEARTH_LAUNCH $HEARTH_LAUNCH_TRIAL,$HEARTH_LAUNCH_KEPT" >> '${this.runs}'`;
    writeFileSync(file, `#!/bin/sh\n${note}\n${body}\n`, { mode: 0o755 });
    return file;
  }

  choose(...lines: string[]): void {
    writeFileSync(this.choiceFile, ['hearth-choice 1', ...lines, 'end', ''].join('\n'));
  }
  get choiceFile(): string {
    return path.join(this.stateDir, 'update', 'choice');
  }

  /** What has been started so far, in order. */
  started(): string[] {
    return existsSync(this.runs) ? readFileSync(this.runs, 'utf8').trimEnd().split('\n') : [];
  }

  /** Starts the launcher as a service manager would. */
  start(packaged: string, env: Record<string, string> = {}, shell = ['/bin/sh']): ChildProcess {
    const group = new ProcessGroup(
      [...shell, LAUNCHER, packaged],
      {
        PATH: process.env.PATH,
        HEARTH_STATE_DIR: this.stateDir,
        HEARTH_PACKAGED_VERSION: '1.0.0',
        ...env,
      },
      'ignore',
    );
    this.#t.after(() => group.kill());
    return group.leader;
  }
}

export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }
  return child.exitCode;
}
