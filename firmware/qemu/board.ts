import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AGENT_ENVIRONMENT } from '#agent/build.ts';
import { HearthError } from '#protocol/errors.ts';
import type { BoardKind } from './boards.ts';
import { BOARDS } from './boards.ts';
import type { StickFilesystem } from './images.ts';
import { ext4Image, stickImage } from './images.ts';
import { initramfs } from './initramfs.ts';
import type { BoardParts } from './parts.ts';
import { boardParts, copyLibraries } from './parts.ts';
import { Qemu } from './qemu.ts';
import type { CommandResult, SerialConsole } from './serial.ts';

/** The repository's root. */
const ROOT = join(import.meta.dirname, '..', '..');
/** An SD card; QEMU wants a power of two. */
const CARD_MIB = 512;
const STICK = 'stick';

export interface BoardOptions {
  /** A name in boards.ts. */
  board: string;
  memoryMib?: number;
  /** Ports of 127.0.0.1 on the host that lead to ports of the guest. */
  forwards?: { host: number; guest: number }[];
  /** HEARTH_... of the agent; the disk, the state, the dashboard's folder and Node's switches are set here. */
  agentEnv?: Record<string, string>;
  /** Starts the agent when the board is up; with `false` it waits for `startAgent()`. */
  startsAgent?: boolean;
  /** The agent as `npm run build:agent` makes it. */
  bundle?: string;
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

/** With the tables for the names that Debian's kernel asks for by itself. */
const FAT_MODULES = ['vfat', 'nls_cp437', 'nls_ascii'];
const DEFAULT_LIFETIME_MS = 45 * 60_000;
const BOOT_MS = 240_000;
/** On an emulator that shares its processor; 20 s when it does not. */
const AGENT_MS = 240_000;

/**
 * An emulated ARM board with an SD card that holds Node and the agent, and a USB stick. Card and stick live as long
 * as this object: a power cut and a restart find what was written to them.
 */
export class Board {
  readonly kind: BoardKind;
  private readonly options: BoardOptions;
  private readonly parts: BoardParts;
  private readonly folder: string;
  private qemu: Qemu | null = null;
  private spoken = '';
  private plugged = true;

  private constructor(kind: BoardKind, options: BoardOptions, parts: BoardParts) {
    this.kind = kind;
    this.options = options;
    this.parts = parts;
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
    const log = options.log ?? (() => {});
    const board = new Board(kind, options, await boardParts(kind, log, options.refresh));
    try {
      log('making the card and the stick');
      await board.makeImages();
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

  /** Switches it on and waits until its init is done; the agent may need longer. */
  async powerOn(): Promise<void> {
    if (this.qemu) throw new HearthError('conflict', `${this.kind.name} is on already`);
    const qemu = await Qemu.start({
      program: this.kind.qemu,
      args: this.qemuArguments(),
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
    await qemu.serial.waitFor(/^board: up after/, BOOT_MS);
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

  /** Lets the agent start, when the board was started without, and waits until it is ready. */
  async startAgent(timeoutMs = AGENT_MS): Promise<void> {
    await this.mustRun('rm -f /run/agent.off');
    await this.untilAgentReady(timeoutMs);
  }

  /** Ends the agent by SIGTERM and keeps it from being started again. */
  async stopAgent(timeoutMs = 60_000): Promise<void> {
    const seconds = Math.ceil(timeoutMs / 1000);
    await this.mustRun(
      `touch /run/agent.off; pid=$(cat /run/agent.pid) || exit 0; kill $pid; for i in $(seq ${seconds}); do [ -d /proc/$pid ] || exit 0; sleep 1; done; exit 1`,
      timeoutMs + 10_000,
    );
  }

  /** @throws HearthError `unavailable` with the log when it is not ready in time */
  async untilAgentReady(timeoutMs = AGENT_MS): Promise<void> {
    const seconds = Math.ceil(timeoutMs / 1000);
    const script = `for i in $(seq ${seconds}); do [ -s /run/agent.ready ] && exit 0; sleep 1; done; exit 1`;
    const { code } = await this.run(script, timeoutMs + 20_000);
    if (code !== 0) {
      throw new HearthError('unavailable', `the agent is not ready in ${seconds} s:\n${this.serial.log(40)}`);
    }
  }

  /** Pulls the stick out, whatever goes on. */
  async pullStick(): Promise<void> {
    await this.running().qmp.unplug(STICK, 20_000);
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

  private async makeImages(): Promise<void> {
    const { kind, parts, options } = this;
    const card = join(this.folder, 'card');
    mkdirSync(join(card, 'bin'), { recursive: true });
    mkdirSync(join(card, 'state'), { mode: 0o700 });
    cpSync(parts.node, join(card, 'bin', 'node'));
    copyLibraries(parts.libraries, join(card, 'lib'));
    const bundle = options.bundle ?? join(ROOT, 'dist', 'agent');
    if (globSync('main.*js', { cwd: bundle }).length !== 1) {
      throw new HearthError('not_found', `there is no agent in ${bundle}: npm run build:agent makes it`);
    }
    cpSync(bundle, join(card, 'agent'), { recursive: true });
    const webui = join(ROOT, 'dist', 'webui', 'box');
    if (existsSync(webui)) cpSync(webui, join(card, 'webui'), { recursive: true });
    const env = {
      HEARTH_STATE_DIR: '/system/state',
      HEARTH_DISK: '/mnt/usb',
      HEARTH_WEBUI_DIR: '/system/webui',
      ...AGENT_ENVIRONMENT,
      ...options.agentEnv,
    };
    const quoted = Object.entries(env).map(
      ([name, value]) => `${name}='${value.replaceAll("'", "'\\''")}'\n`,
    );
    writeFileSync(join(card, 'agent.env'), quoted.join(''), { mode: 0o600 });
    await ext4Image(join(this.folder, 'card.img'), CARD_MIB, card);
    rmSync(card, { recursive: true });
    await stickImage(join(this.folder, 'stick.img'), options.stickMib ?? 512, options.stickFilesystem);
    const modules = options.stickFilesystem === 'vfat' ? [...kind.modules, ...FAT_MODULES] : kind.modules;
    const booted = initramfs({ ...kind, modules }, parts.busybox, parts.modules);
    writeFileSync(join(this.folder, 'initramfs'), booted);
  }

  private qemuArguments(): string[] {
    const { kind, parts, options, folder } = this;
    const memoryMib = options.memoryMib ?? kind.maxMemoryMib;
    const clockMs = options.clockMs === undefined ? Date.now() : options.clockMs;
    const words = [
      `console=${kind.console}`,
      'panic=5',
      // QEMU's board has one size only: the kernel is told to leave the rest alone.
      ...(kind.fixedMemoryMib === null ? [] : [`mem=${memoryMib}M`]),
      ...(clockMs === null ? [] : [`hearth.time=${Math.floor(clockMs / 1000)}`]),
      ...(options.startsAgent === false ? ['hearth.agent=off'] : []),
    ];
    const forwards = (options.forwards ?? [])
      .map(({ host, guest }) => `,hostfwd=tcp:127.0.0.1:${host}-:${guest}`)
      .join('');
    const card = join(folder, 'card.img');
    const stick = `driver=raw,node-name=stick-image,file.driver=file,file.filename=${join(folder, 'stick.img')}`;
    const device = Object.entries(this.stickDevice()).map(([name, value]) =>
      name === 'driver' ? String(value) : `${name}=${value === true ? 'on' : value}`,
    );
    return [
      ...kind.machine,
      ...['-m', `${kind.fixedMemoryMib ?? memoryMib}M`],
      ...['-kernel', parts.kernel, '-initrd', join(folder, 'initramfs'), '-append', words.join(' ')],
      ...(parts.deviceTree === null ? [] : ['-dtb', parts.deviceTree]),
      ...kind.systemDisk.map((word) => (word.endsWith('file=') ? `${word}${card}` : word)),
      ...kind.network(forwards),
      ...['-blockdev', stick],
      ...(this.plugged ? ['-device', device.join(',')] : []),
    ];
  }
}
