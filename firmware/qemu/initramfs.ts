import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { BoardKind } from './boards.ts';
import type { CpioEntry } from './cpio.ts';
import { cpioArchive } from './cpio.ts';
import { KernelModules } from './kernel-modules.ts';

const GUEST = join(import.meta.dirname, 'guest');

/**
 * The first root of a board: busybox, the modules it needs, and our scripts. It stays in memory as the root: the
 * program is on the SD card, its libraries are reached through links to there.
 */
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
  const link = (path: string, target: string): CpioEntry => ({ path, kind: 'link', target });
  return cpioArchive([
    ...['bin', 'sbin', 'dev', 'etc', 'lib', 'modules', 'mnt', 'root', 'system'].map(folder),
    { path: 'dev/console', kind: 'character-device', mode: 0o600, major: 5, minor: 1 },
    program('bin/busybox', busybox),
    link('bin/sh', 'busybox'),
    program('init', join(GUEST, 'init')),
    ...['agent-service', 'console', 'usb-stick'].map((name) => program(`sbin/${name}`, join(GUEST, name))),
    text('etc/mdev.conf', readFileSync(join(GUEST, 'mdev.conf'), 'utf8')),
    text('etc/board', `BOARD=${board.name}\nSYSTEM_DEVICE=${board.systemDevice}\n`),
    // "localhost" is the machine that QEMU runs on: a fleet and an origin there have one name for both sides.
    text('etc/hosts', '127.0.0.1 board\n10.0.2.2 localhost host\n'),
    text('etc/resolv.conf', 'nameserver 10.0.2.3\n'),
    text('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n'),
    text('etc/group', 'root:x:0:\n'),
    link(board.loader.slice(1), `/system/lib/${basename(board.loader)}`),
    link(`lib/${board.libraries}`, '/system/lib'),
    text('modules/order', `${modules.map((file) => basename(file)).join('\n')}\n`),
    ...modules.map((file) => program(`modules/${basename(file)}`, file)),
  ]);
}
