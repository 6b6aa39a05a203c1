import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { isRoot, MIB } from '#agent/store/store-fixture.ts';
import type { ToolName } from '#test/support/tools.ts';
import { findTool, needsTool } from '#test/support/tools.ts';

/** How each file system is made and mounted; those by FUSE need their program. */
const KINDS = {
  ext4: { make: ['mkfs.ext4', '-q', '-b', '4096', '-N', '2048'], label: '-L', mount: ['mount'] },
  exfat: { make: ['mkfs.exfat'], label: '-L', mount: ['mount.exfat-fuse'] },
  ntfs: { make: ['mkfs.ntfs', '-q', '-F'], label: '-L', mount: ['ntfs-3g'] },
  /** Without a journal, which after an error would be read-only until it is mounted anew. */
  ext4plain: {
    make: ['mkfs.ext4', '-q', '-O', '^has_journal', '-b', '4096', '-N', '2048'],
    label: '-L',
    mount: ['mount'],
  },
  vfat: { make: ['mkfs.vfat'], label: '-n', mount: ['mount', '-t', 'vfat'] },
} as const;
export type DiskKind = keyof typeof KINDS;

/** Why disks of a kind cannot be had here; empty when they can. */
export function cannotMake(kind: DiskKind): { skip?: string } {
  const { make, mount } = KINDS[kind];
  const hasLoops = isRoot && findTool('losetup') !== null && spawnSync('losetup', ['-f']).status === 0;
  if (!hasLoops) return { skip: 'needs root and loop devices on Linux' };
  const tools: ToolName[] = [make[0]];
  // What comes with every Linux is not looked for.
  if (mount[0] !== 'mount') tools.push(mount[0]);
  const missing = needsTool(...tools);
  if (missing.skip !== undefined) return missing;
  if (kind === 'vfat' && !readFileSync('/proc/filesystems', 'utf8').includes('vfat')) {
    return { skip: 'this kernel has no vfat' };
  }
  return {};
}

/** A disk to plug in and pull: an image on a loop device of its own, with a real file system. */
export class TestDisk {
  readonly kind: DiskKind;
  readonly image: string;
  readonly #folder: string;
  device = '';
  /** Where it is mounted; '' while it is not. */
  mount = '';
  #at = '';

  constructor(
    t: TestContext,
    kind: DiskKind,
    options: { sizeBytes?: number; label?: string; copyOf?: string } = {},
  ) {
    this.kind = kind;
    this.#folder = mkdtempSync(path.join(os.tmpdir(), 'hearth-image-'));
    this.image = path.join(this.#folder, 'image');
    t.after(() => {
      this.pull();
      rmSync(this.#folder, { recursive: true, force: true });
    });
    if (options.copyOf) {
      execFileSync('cp', ['--sparse=always', options.copyOf, this.image]);
      return;
    }
    const { make, label } = KINDS[kind];
    execFileSync('truncate', ['-s', String(options.sizeBytes ?? 64 * MIB), this.image]);
    const named = options.label ? [label, options.label] : [];
    execFileSync(make[0], [...make.slice(1), ...named, this.image], { stdio: 'ignore' });
  }

  /** Attaches it to a free loop device and mounts it, as the system does with a disk that is plugged in. */
  plugIn(mount: string): void {
    this.device = execFileSync('losetup', ['-f', '--show', this.image], { encoding: 'utf8' }).trim();
    const [program, ...more] = KINDS[this.kind].mount;
    execFileSync(program, [...more, this.device, mount], { stdio: 'ignore' });
    this.mount = mount;
    this.#at = mount;
  }

  /** As when it is pulled: whatever is open on it. */
  pull(): void {
    if (this.mount) this.thaw();
    if (this.mount) spawnSync('umount', ['-l', this.mount]);
    if (this.device) spawnSync('losetup', ['-d', this.device]);
    this.mount = '';
    this.device = '';
  }

  /** As `pull`, in the middle of whatever reads it: what is not in memory is an error from now on. */
  yank(): void {
    const programs = this.#programs();
    for (const pid of programs) process.kill(pid, 'SIGKILL');
    if (programs.length === 0) this.#cutOff();
    this.pull();
  }

  /** Takes the kernel's own file system its device away; the image is as it was at that moment. */
  #cutOff(): void {
    const kept = `${this.image}.kept`;
    execFileSync('fsfreeze', ['-f', this.mount]);
    execFileSync('cp', ['--sparse=always', this.image, kept]);
    truncateSync(this.image, 0);
    execFileSync('losetup', ['-c', this.device]);
    // It fails at what it wants to write now.
    spawnSync('fsfreeze', ['-u', this.mount]);
    renameSync(kept, this.image);
  }

  /** What the kernel has in memory of files on it is forgotten, as far as nobody uses it. */
  forget(files: readonly string[]): void {
    const each = 'for file; do dd if="$file" iflag=nocache count=0 status=none; done';
    execFileSync('sh', ['-c', each, 'forget', ...files]);
  }

  /**
   * From now on nothing that asks this disk gets an answer, as with one that hangs on the bus: for file systems whose
   * program can be stopped.
   */
  freeze(): void {
    for (const pid of this.#programs()) process.kill(pid, 'SIGSTOP');
  }
  thaw(): void {
    for (const pid of this.#programs()) process.kill(pid, 'SIGCONT');
  }

  /** Cuts the device short: what lies beyond is an I/O error of the kernel's, until it is made whole again. */
  resize(bytes: number): void {
    truncateSync(this.image, bytes);
    execFileSync('losetup', ['-c', this.device]);
  }

  /** Processes that serve this mount. */
  #programs(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .filter((pid) => {
        try {
          const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
          return words.includes(this.device) && words.includes(this.#at);
        } catch {
          return false;
        }
      })
      .map(Number);
  }

  remount(mode: 'ro' | 'rw'): void {
    execFileSync('mount', ['-o', `remount,${mode}`, this.mount]);
  }
}
