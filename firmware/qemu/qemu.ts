import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { HearthError } from '#protocol/errors.ts';
import { Qmp } from './qmp.ts';
import { SerialConsole } from './serial.ts';

export interface QemuOptions {
  program: string;
  args: string[];
  /** Where its monitor's socket is made. */
  folder: string;
  /** After this it is killed whatever goes on, ms. */
  lifetimeMs: number;
  onLine: (line: string) => void;
}

/**
 * A QEMU process with its serial line and its monitor. It runs at low priority and dies with this process, even when
 * that is killed.
 */
export class Qemu {
  readonly pid: number;
  readonly serial: SerialConsole;
  /** Settles with why, when it has ended. */
  readonly exited: Promise<string>;
  readonly qmp: Qmp;
  private readonly child: ChildProcess;

  private constructor(child: ChildProcess, serial: SerialConsole, exited: Promise<string>, qmp: Qmp) {
    this.child = child;
    this.pid = child.pid ?? -1;
    this.serial = serial;
    this.exited = exited;
    this.qmp = qmp;
  }

  /** @throws HearthError `unavailable` when it is not installed or ends at once, with its words */
  static async start({ program, args, folder, lifetimeMs, onLine }: QemuOptions): Promise<Qemu> {
    const socket = join(folder, 'monitor');
    const all = [
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
      ...['-serial', 'stdio', '-qmp', `unix:${socket},server=on,wait=off`],
      ...args,
    ];
    const command = ['-n', '10', 'setpriv', '--pdeathsig', 'KILL', program, ...all];
    const child = spawn('nice', command, { stdio: ['pipe', 'pipe', 'pipe'] });
    const serial = new SerialConsole(child.stdin, child.stdout, onLine);
    let words = '';
    child.stderr.on('data', (data) => {
      words = `${words}${data}`.slice(-2_000);
    });
    const exited = new Promise<string>((done) => {
      child.once('error', (error) => done(`${program}: ${error.message}`));
      child.once('exit', (code, signal) => {
        const missing = code === 127 ? ' (apt-get install qemu-system-arm)' : '';
        done(`${program} ended with ${signal ?? code}${missing}: ${words.trim()}`);
      });
    });
    const kill = () => child.kill('SIGKILL');
    const lifetime = setTimeout(kill, lifetimeMs);
    lifetime.unref();
    process.once('exit', kill);
    void exited.then((reason) => {
      clearTimeout(lifetime);
      process.removeListener('exit', kill);
      serial.end(reason);
    });
    try {
      const failed = exited.then((reason) => new HearthError('unavailable', reason));
      const qmp = await Promise.race([Qmp.connect(socket), failed]);
      if (qmp instanceof HearthError) throw qmp;
      return new Qemu(child, serial, exited, qmp);
    } catch (error) {
      kill();
      throw error;
    }
  }

  /** The plug is pulled: nothing in the guest's memory survives. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
    this.qmp.close();
  }
}
