import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { tempFolder } from '#agent/store/store-fixture.ts';
import { LAUNCHER } from './launch-fixture.ts';

export interface LaunchedBoxOptions {
  /** The packaged agent: a bundle. */
  packaged: string;
  packagedVersion: string;
  /** The root of trust its package brings. */
  root: string;
  env: Record<string, string>;
  /** A folder whose owner removes it and ends the box: it outlives the test that made it. */
  keep?: string;
}

/** A real box: launcher, agent, and what they start, in a process group of its own whose power can be cut. */
export class LaunchedBox {
  readonly stateDir: string;
  readonly disk: string;
  readonly log: string[] = [];
  readonly #options: LaunchedBoxOptions;
  readonly #rootFile: string;
  #launcher: ChildProcess | null = null;

  private constructor(options: LaunchedBoxOptions, folders: [string, string]) {
    this.#options = options;
    [this.stateDir, this.disk] = folders;
    this.#rootFile = path.join(this.stateDir, 'root.json');
  }

  static async make(t: TestContext, options: LaunchedBoxOptions): Promise<LaunchedBox> {
    const { keep } = options;
    const make = (name: string) => (keep ? mkdtemp(path.join(keep, `${name}-`)) : tempFolder(t, name));
    const folders: [string, string] = [await make('box-state'), await make('box-disk')];
    const box = new LaunchedBox(options, folders);
    await writeFile(box.#rootFile, options.root);
    if (!keep) t.after(() => box.cutPower());
    return box;
  }

  get updateDir(): string {
    return path.join(this.stateDir, 'update');
  }

  start(env: Record<string, string> = {}): void {
    const { packaged, packagedVersion } = this.#options;
    const child = spawn('/bin/sh', [LAUNCHER, process.execPath, packaged], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: {
        PATH: process.env.PATH,
        HEARTH_BIND: '127.0.0.1',
        HEARTH_LAN_PORT: '0',
        HEARTH_CONTENT_PORT: '0',
        HEARTH_TLS_PORT: '0',
        HEARTH_DISK_ON_ROOT: 'yes',
        HEARTH_DISK_FLOOR_BYTES: '0',
        HEARTH_DISK_PROBE_MS: '200',
        HEARTH_RETRY_MS: '200',
        HEARTH_DRAIN_MS: '500',
        HEARTH_UP_BYTES_PER_SECOND: '0',
        HEARTH_DOWN_BYTES_PER_SECOND: '0',
        HEARTH_MONTHLY_BYTES: '0',
        HEARTH_PORT_MAPPING: 'off',
        HEARTH_STATE_DIR: this.stateDir,
        HEARTH_DISK: this.disk,
        HEARTH_UPDATE_ROOT: this.#rootFile,
        HEARTH_UPDATE_RUNNER: process.execPath,
        HEARTH_PACKAGED_VERSION: packagedVersion,
        ...this.#options.env,
        ...env,
      },
    });
    this.#launcher = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (piece) => this.log.push(...String(piece).split('\n').filter(Boolean)));
    }
  }

  /** Ends the launcher and everything it has started, at once. */
  async cutPower(): Promise<void> {
    const launcher = this.#launcher;
    if (!launcher?.pid) return;
    this.#launcher = null;
    try {
      process.kill(-launcher.pid, 'SIGKILL');
    } catch {
      // Nothing of it is left.
    }
    if (launcher.exitCode === null && launcher.signalCode === null) await once(launcher, 'exit');
  }

  /** Ends it as its service manager would. @returns the exit status */
  async stop(): Promise<number | null> {
    const launcher = this.#launcher;
    if (!launcher) return null;
    const exited = once(launcher, 'exit');
    launcher.kill('SIGTERM');
    await exited;
    this.#launcher = null;
    return launcher.exitCode;
  }

  /** A look at the log for who has to find out why a test failed. */
  tail(): string {
    return this.log.slice(-30).join('\n');
  }
}
