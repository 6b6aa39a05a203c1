import { join } from 'node:path';
import type { Program } from '#local/program.ts';
import { startAgent } from '#local/programs.ts';

export interface TestBoxOptions {
  label: string;
  /** Folder of its state and its disk. */
  directory: string;
  lanPort: number;
  contentPort: number;
  fleetUrl: string;
  claimCode: string;
  env: Record<string, string>;
}

/** One agent process that can be killed and started again with the same identity, disk and ports. */
export class TestBox {
  /** Set once it is enrolled. */
  id = '';
  readonly label: string;
  readonly stateDir: string;
  readonly disk: string;
  readonly contentUrl: string;
  readonly lanUrl: string;
  private readonly options: TestBoxOptions;
  private program: Program | null = null;
  private spoken = '';

  constructor(options: TestBoxOptions) {
    this.options = options;
    this.label = options.label;
    this.stateDir = join(options.directory, 'state');
    this.disk = join(options.directory, 'disk');
    this.contentUrl = `http://127.0.0.1:${options.contentPort}`;
    this.lanUrl = `http://127.0.0.1:${options.lanPort}`;
  }

  get contentPort(): number {
    return this.options.contentPort;
  }

  get pid(): number {
    return this.running().pid;
  }

  /**
   * @param script another build of the agent than the sources
   * @param more environment for this start only
   */
  async start(script?: string, more: Record<string, string> = {}): Promise<void> {
    const { label, lanPort, contentPort, fleetUrl, claimCode, env } = this.options;
    this.program = await startAgent({
      name: label,
      script,
      stateDir: this.stateDir,
      disk: this.disk,
      lanPort,
      contentPort,
      fleetUrl,
      claimCode: this.id === '' ? claimCode : undefined,
      env: {
        HEARTH_HEARTBEAT_MS: '500',
        HEARTH_DELIVERY_FLUSH_MS: '200',
        HEARTH_RETRY_MS: '300',
        HEARTH_DISK_PROBE_MS: '200',
        HEARTH_DRAIN_MS: '1000',
        ...env,
        ...more,
      },
    });
  }

  /** SIGKILL, as when the plug is pulled. */
  async kill(): Promise<void> {
    await this.running().kill();
    this.forget();
  }

  async stop(): Promise<void> {
    await this.program?.stop();
    this.forget();
  }

  signal(signal: NodeJS.Signals): void {
    this.running().signal(signal);
  }

  get isRunning(): boolean {
    return this.program !== null;
  }

  log(): string {
    return `${this.spoken}${this.program?.lastLines() ?? ''}`;
  }

  private forget(): void {
    this.spoken = `${this.log()}\n-- ended --\n`.slice(-20_000);
    this.program = null;
  }

  private running(): Program {
    if (!this.program) throw new Error(`${this.label} is not running`);
    return this.program;
  }
}
