import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HearthError } from '#protocol/errors.ts';
import type { BoardKind } from './boards.ts';
import { BOARDS } from './boards.ts';
import type { StickFilesystem } from './images.ts';
import { stickImage } from './images.ts';
import type { Machine } from './machine.ts';
import { imageMachine, standInMachine } from './machine.ts';
import { configure } from './openwrt-image.ts';
import { Qemu } from './qemu.ts';
import type { CommandResult, SerialConsole } from './serial.ts';

const STICK = 'stick';

export interface BoardOptions {
  /** A name in boards.ts. */
  board: string;
  memoryMib?: number;
  /** Ports of 127.0.0.1 on the host that lead to ports of the guest. */
  forwards?: { host: number; guest: number }[];
  /** Options of /etc/config/hearth; the disk is the stick, which the agent finds by itself, unless they say otherwise. */
  settings?: Record<string, string>;
  /** Starts the agent when the board is up; with `false` it waits for `startAgent()`. */
  startsAgent?: boolean;
  /** The package to install; without, it is made. */
  ipk?: string;
  /** The text of the root of trust for updates in the package that is made. */
  root?: string;
  /** A whole OpenWrt image to start, with the package in it, in place of Debian's kernel and our card. */
  image?: string;
  stickMib?: number;
  stickFilesystem?: StickFilesystem;
  /** What the board's clock says when it is switched on; `null`: no clock, as on most boards: 1970. */
  clockMs?: number | null;
  /** How long one power-on may last, ms. */
  lifetimeMs?: number;
  /** Asks Debian's archive for newer packages. */
  refresh?: boolean;
  /** Each line of the serial log. */
  onLine?: (line: string) => void;
  /** The board went off by itself: a panic, or the end of its lifetime. */
  onDied?: (reason: string) => void;
  /** What is being prepared. */
  log?: (line: string) => void;
}

const DEFAULT_LIFETIME_MS = 45 * 60_000;
/** On an emulator that shares its processor; 20 s when it does not. */
const AGENT_MS = 480_000;

/**
 * An emulated ARM board with an SD card that holds the installed package, and a USB stick. Card and stick live as
 * long as this object: a power cut and a restart find what was written to them.
 */
export class Board {
  readonly kind: BoardKind;
  private readonly options: BoardOptions;
  private readonly folder: string;
  private readonly settings: Record<string, string>;
  private machine: Machine | null = null;
  private qemu: Qemu | null = null;
  private spoken = '';
  private plugged = true;

  private constructor(kind: BoardKind, options: BoardOptions) {
    this.kind = kind;
    this.options = options;
    this.settings = { disk: 'auto', ...options.settings };
    this.folder = mkdtempSync(join(tmpdir(), 'hearth-board-'));
    process.once('exit', this.remove);
  }

  /** Downloads what is missing and makes card and stick; the board is still off. */
  static async prepare(options: BoardOptions): Promise<Board> {
    const kind = BOARDS[options.board];
    if (!kind) {
      throw new HearthError(
        'bad_request',
        `no board ${options.board}; there are ${Object.keys(BOARDS).join(', ')}`,
      );
    }
    const memoryMib = options.memoryMib ?? kind.maxMemoryMib;
    if (!Number.isInteger(memoryMib) || memoryMib < 128 || memoryMib > kind.maxMemoryMib) {
      throw new HearthError('bad_request', `${kind.name} has 128 to ${kind.maxMemoryMib} MiB of memory`);
    }
    const board = new Board(kind, options);
    try {
      await board.make(memoryMib);
    } catch (error) {
      board.remove();
      throw error;
    }
    return board;
  }

  /** Prepares a board, switches it on and waits until it is up. */
  static async start(options: BoardOptions): Promise<Board> {
    const board = await Board.prepare(options);
    try {
      await board.powerOn();
    } catch (error) {
      await board.close();
      throw error;
    }
    return board;
  }

  get serial(): SerialConsole {
    return this.running().serial;
  }

  get pid(): number {
    return this.running().pid;
  }

  get isOn(): boolean {
    return this.qemu !== null;
  }

  /** What the serial line said last, over all power-ons. */
  log(): string {
    return `${this.spoken}${this.qemu?.serial.log() ?? ''}`.slice(-200_000);
  }

  /**
   * Switches it on and waits until its init is done; the agent may need longer.
   * @param clockMs what its clock says; null: 1970
   */
  async powerOn(clockMs = this.options.clockMs): Promise<void> {
    if (this.qemu || !this.machine) throw new HearthError('conflict', `${this.kind.name} is on already`);
    const stick = join(this.folder, 'stick.img');
    const qemu = await Qemu.start({
      program: this.kind.qemu,
      args: [
        ...this.machine.arguments(clockMs === undefined ? Date.now() : clockMs, this.options.forwards ?? []),
        ...['-blockdev', `driver=raw,node-name=stick-image,file.driver=file,file.filename=${stick}`],
        ...(this.plugged ? ['-device', this.stickArgument()] : []),
      ],
      folder: this.folder,
      lifetimeMs: this.options.lifetimeMs ?? DEFAULT_LIFETIME_MS,
      onLine: this.options.onLine ?? (() => {}),
    });
    this.qemu = qemu;
    void qemu.exited.then((reason) => {
      if (this.qemu !== qemu) return;
      this.forget(qemu, 'off by itself');
      this.options.onDied?.(reason);
    });
    await this.machine.untilUp(qemu.serial);
  }

  /** Changes options of /etc/config/hearth, as a household does in LuCI: the service reads them anew. */
  async configure(settings: Record<string, string>): Promise<void> {
    Object.assign(this.settings, settings);
    await this.mustRun(configure(this.settings), 60_000);
  }

  /** A power cut: what the guest had not written to card or stick is lost. */
  async powerOff(): Promise<void> {
    const qemu = this.qemu;
    if (!qemu) return;
    this.forget(qemu, 'power cut');
    await qemu.kill();
  }

  /** Runs a shell command in the guest. @throws HearthError `unavailable` when it answers nothing in time */
  run(command: string, timeoutMs?: number): Promise<CommandResult> {
    return this.serial.run(command, timeoutMs);
  }

  /** As `run`, but a command that fails is an error. @returns what it printed */
  async mustRun(command: string, timeoutMs?: number): Promise<string> {
    const { code, output } = await this.run(command, timeoutMs);
    if (code !== 0) throw new HearthError('unavailable', `in the guest: ${command}: ${code}: ${output}`);
    return output;
  }

  /** Lets the agent start, when it is off, and waits until it is ready. */
  async startAgent(timeoutMs = AGENT_MS): Promise<void> {
    await this.mustRun('/etc/init.d/hearth enable; /etc/init.d/hearth start', 60_000);
    await this.untilAgentReady(timeoutMs);
  }

  /** Ends the agent by SIGTERM and keeps it from being started again, by a stick that comes too. */
  async stopAgent(timeoutMs = 60_000): Promise<void> {
    const seconds = Math.ceil(timeoutMs / 1000);
    await this.mustRun(
      `/etc/init.d/hearth disable; /etc/init.d/hearth stop; for i in $(seq ${seconds}); do [ -n "$(agent-pid)" ] || exit 0; sleep 1; done; exit 1`,
      timeoutMs + 20_000,
    );
  }

  /** Until its dashboard answers. @throws HearthError `unavailable` with the log when it does not in time */
  async untilAgentReady(timeoutMs = AGENT_MS): Promise<void> {
    const seconds = Math.ceil(timeoutMs / 1000);
    const port = this.settings.lan_port ?? '7070';
    const script = `for i in $(seq ${seconds}); do wget -q -O /dev/null http://127.0.0.1:${port}/ && exit 0; sleep 1; done 2> /dev/null; exit 1`;
    const { code } = await this.run(script, timeoutMs + 20_000);
    if (code !== 0) {
      throw new HearthError('unavailable', `the agent is not ready in ${seconds} s:\n${this.serial.log(40)}`);
    }
  }

  /** Pulls the stick out, whatever goes on. */
  async pullStick(): Promise<void> {
    await this.running().qmp.unplug(STICK, 120_000);
    this.plugged = false;
  }

  /** Puts it back. */
  async plugStick(): Promise<void> {
    const { driver, ...rest } = this.stickDevice();
    await this.running().qmp.execute('device_add', { driver, ...rest });
    this.plugged = true;
  }

  /** Switches it off and throws card and stick away. */
  async close(): Promise<void> {
    await this.powerOff();
    this.remove();
  }

  private readonly remove = (): void => {
    process.removeListener('exit', this.remove);
    rmSync(this.folder, { recursive: true, force: true });
  };

  private forget(qemu: Qemu, why: string): void {
    this.qemu = null;
    this.spoken = `${this.spoken}${qemu.serial.log()}\n-- ${why} --\n`.slice(-100_000);
  }

  private running(): Qemu {
    if (!this.qemu) throw new HearthError('conflict', `${this.kind.name} is off`);
    return this.qemu;
  }

  private stickDevice() {
    return { driver: 'usb-storage', id: STICK, bus: this.kind.usbBus, drive: 'stick-image', removable: true };
  }

  private stickArgument(): string {
    const words = Object.entries(this.stickDevice()).map(([name, value]) =>
      name === 'driver' ? String(value) : `${name}=${value === true ? 'on' : value}`,
    );
    return words.join(',');
  }

  private async make(memoryMib: number): Promise<void> {
    const { kind, folder, options, settings } = this;
    const { image, stickFilesystem, log = () => {} } = options;
    const machine = {
      memoryMib,
      stickFilesystem,
      settings,
      ipk: options.ipk,
      root: options.root ?? null,
      startsAgent: options.startsAgent ?? true,
      refresh: options.refresh ?? false,
      log,
    };
    this.machine =
      image === undefined
        ? await standInMachine(kind, folder, machine)
        : await imageMachine(kind, folder, image, machine);
    await stickImage(join(folder, 'stick.img'), options.stickMib ?? 512, stickFilesystem);
  }
}
