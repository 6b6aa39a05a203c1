import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { BoardKind } from './boards.ts';
import type { CpioEntry } from './cpio.ts';
import { cpioArchive } from './cpio.ts';
import { KernelModules } from './kernel-modules.ts';

const GUEST = join(import.meta.dirname, 'guest');

/** The first root of a board: busybox and the modules it needs to come to its card, which then is the root. */
export function initramfs(board: BoardKind, busybox: string, modulesFolder: string): Buffer {
  const modules = new KernelModules(modulesFolder).inLoadOrder(board.modules);
  const folder = (path: string): CpioEntry => ({ path, kind: 'folder' });
  const text = (path: string, data: string): CpioEntry => ({
    path,
    kind: 'file',
    mode: 0o644,
    data: Buffer.from(data),
  });
  const program = (path: string, from: string): CpioEntry => ({
    path,
    kind: 'file',
    mode: 0o755,
    data: readFileSync(from),
  });
  return cpioArchive([
    ...['bin', 'dev', 'etc', 'modules', 'card'].map(folder),
    { path: 'dev/console', kind: 'character-device', mode: 0o600, major: 5, minor: 1 },
    program('bin/busybox', busybox),
    { path: 'bin/sh', kind: 'link', target: 'busybox' },
    program('init', join(GUEST, 'first-init')),
    text('etc/board', `BOARD=${board.name}\nSYSTEM_DEVICE=${board.systemDevice}\n`),
    text('modules/order', `${modules.map((file) => basename(file)).join('\n')}\n`),
    ...modules.map((file) => program(`modules/${basename(file)}`, file)),
  ]);
}
