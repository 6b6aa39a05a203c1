import { once } from 'node:events';
import { mkdtemp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { tempFolder } from '#agent/store/store-fixture.ts';
import { ProcessGroup } from './group-fixture.ts';
import { LAUNCHER } from './launch-fixture.ts';

export interface LaunchedBoxOptions {
  /** The packaged agent: a bundle. */
  packaged: string;
  packagedVersion: string;
  /** The root of trust its package brings. */
  root: string;
  env: Record<string, string>;
  /** The program of an unpacked package, which knows of itself what the launcher must be told. */
  program?: string;
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
  #launcher: ProcessGroup | null = null;

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
    const { packaged, packagedVersion, program } = this.#options;
    const told = {
      HEARTH_UPDATE_ROOT: this.#rootFile,
      HEARTH_UPDATE_RUNNER: process.execPath,
      HEARTH_PACKAGED_VERSION: packagedVersion,
    };
    const group = new ProcessGroup(
      program === undefined ? ['/bin/sh', LAUNCHER, process.execPath, packaged] : [program],
      {
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
        ...(program === undefined && told),
        ...this.#options.env,
        ...env,
      },
      'pipe',
    );
    this.#launcher = group;
    for (const stream of [group.leader.stdout, group.leader.stderr]) {
      stream?.on('data', (piece) => this.log.push(...String(piece).split('\n').filter(Boolean)));
    }
  }

  /** Ends the launcher and everything it has started, at once. */
  async cutPower(): Promise<void> {
    const launcher = this.#launcher;
    this.#launcher = null;
    await launcher?.kill();
  }

  /** Ends it as its service manager would. @returns the exit status */
  async stop(): Promise<number | null> {
    const leader = this.#launcher?.leader;
    if (!leader) return null;
    const exited = once(leader, 'exit');
    leader.kill('SIGTERM');
    await exited;
    this.#launcher = null;
    return leader.exitCode;
  }

  /** Of the dashboard, once what runs now has said that it is ready. */
  get lanUrl(): string {
    const ready = this.log.findLast((line) => line.includes('"msg":"ready"')) ?? '{}';
    return (JSON.parse(ready) as { lanUrl?: string }).lanUrl ?? '';
  }

  /** A look at the log for who has to find out why a test failed. */
  tail(): string {
    return this.log.slice(-30).join('\n');
  }
}
