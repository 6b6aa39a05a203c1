import { cpSync, globSync, mkdirSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { HearthError } from '#protocol/errors.ts';
import type { BoardKind } from './boards.ts';
import { DebianArchive, unpackDebian } from './debian.ts';
import { nodeFromNpm } from './npm-node.ts';

/** What a board is made of, on the host's disk. */
export interface BoardParts {
  kernel: string;
  /** `lib/modules/<version>` */
  modules: string;
  deviceTree: string | null;
  busybox: string;
  node: string;
  /** Shared libraries that Node needs, the loader among them. */
  libraries: string[];
}

const LIBRARIES = ['libc6', 'libstdc++6', 'libgcc-s1', 'libatomic1'];
const NEEDED = /^(ld-linux-.*|libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s|libatomic)\.so(\.\d+)+$/;

/** Downloads, checks and unpacks what is not in the cache yet. */
export async function boardParts(
  board: BoardKind,
  log: (line: string) => void,
  refresh = false,
): Promise<BoardParts> {
  const archive = new DebianArchive(board.arch, log);
  const files = await archive.packages([`${board.kernel}>`, 'busybox-static', ...LIBRARIES], refresh);
  const unpacked = async (name: string, patterns: string[]) => {
    const file = files.get(name);
    if (file === undefined) throw new HearthError('internal', `${name} was not downloaded`);
    return unpackDebian(file, patterns);
  };
  const trees = ['./boot/vmlinuz-*', './lib/modules/*'];
  if (board.deviceTree !== null) trees.push(`./usr/lib/linux-image-*/${board.deviceTree}`);
  const kernel = await unpacked(board.kernel, trees);
  const busybox = await unpacked('busybox-static', ['./bin/busybox']);
  const libraries: string[] = [];
  for (const name of LIBRARIES) {
    const root = await unpacked(name, ['*/lib/*.so*']);
    libraries.push(...globSync('**/*.so*', { cwd: root }).map((file) => join(root, file)));
  }
  return {
    kernel: one(kernel, 'boot/vmlinuz-*'),
    modules: one(kernel, 'lib/modules/*'),
    deviceTree: board.deviceTree === null ? null : one(kernel, `usr/lib/linux-image-*/${board.deviceTree}`),
    busybox: join(busybox, 'bin/busybox'),
    node: await nodeFromNpm(board.node, log),
    libraries: libraries.filter((file) => NEEDED.test(basename(file))),
  };
}

/** Copies libraries under the names programs ask for; in packages most of those are links. */
export function copyLibraries(libraries: string[], folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const file of libraries) cpSync(realpathSync(file), join(folder, basename(file)));
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
