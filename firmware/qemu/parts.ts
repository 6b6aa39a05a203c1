import { globSync } from 'node:fs';
import { join } from 'node:path';
import { HearthError } from '#protocol/errors.ts';
import type { BoardKind } from './boards.ts';
import { DebianArchive, unpackDebian } from './debian.ts';

/** What a board is made of, on the host's disk. */
export interface BoardParts {
  kernel: string;
  /** `lib/modules/<version>` */
  modules: string;
  deviceTree: string | null;
  busybox: string;
}

/** Downloads, checks and unpacks what is not in the cache yet. */
export async function boardParts(
  board: BoardKind,
  log: (line: string) => void,
  refresh = false,
): Promise<BoardParts> {
  const archive = new DebianArchive(board.arch, log);
  const files = await archive.packages([`${board.kernel}>`, 'busybox-static'], refresh);
  const unpacked = async (name: string, patterns: string[]) => {
    const file = files.get(name);
    if (file === undefined) throw new HearthError('internal', `${name} was not downloaded`);
    return unpackDebian(file, patterns);
  };
  const trees = ['./boot/vmlinuz-*', './lib/modules/*'];
  if (board.deviceTree !== null) trees.push(`./usr/lib/linux-image-*/${board.deviceTree}`);
  const kernel = await unpacked(board.kernel, trees);
  const busybox = await unpacked('busybox-static', ['./bin/busybox']);
  return {
    kernel: one(kernel, 'boot/vmlinuz-*'),
    modules: one(kernel, 'lib/modules/*'),
    deviceTree: board.deviceTree === null ? null : one(kernel, `usr/lib/linux-image-*/${board.deviceTree}`),
    busybox: join(busybox, 'bin/busybox'),
  };
}

function one(root: string, pattern: string): string {
  const [found, ...more] = globSync(pattern, { cwd: root });
  if (found === undefined || more.length > 0) {
    throw new HearthError(
      'unavailable',
      `${more.length + (found ? 1 : 0)} of ${pattern} in ${root}, 1 wanted`,
    );
  }
  return join(root, found);
}
