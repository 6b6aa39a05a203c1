import { globSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DebianArchive, unpackDebian } from '#firmware/qemu/debian.ts';
import { HearthError } from '#protocol/errors.ts';
import type { Target } from '../targets.ts';

const PACKAGES = ['libc6', 'libstdc++6', 'libgcc-s1', 'libatomic1'];
/** As programs ask for them; their whole versions are other names of the same files. */
const NEEDED = /^(ld-linux-.*|libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s|libatomic)\.so\.\d+$/;

/**
 * The C and C++ libraries that nodejs.org's builds of Node need, from Debian, the loader among them.
 * @returns the name programs ask for, and the file
 */
export async function nodeLibraries(
  target: Target,
  log: (line: string) => void,
): Promise<{ name: string; file: string }[]> {
  const files = await new DebianArchive(target.debian, log).packages(PACKAGES);
  const found = new Map<string, string>();
  for (const name of PACKAGES) {
    const file = files.get(name);
    if (file === undefined) throw new HearthError('internal', `${name} was not downloaded`);
    const root = await unpackDebian(file, ['*/lib/*.so*']);
    for (const library of globSync('**/*.so*', { cwd: root })) {
      const target = join(root, library);
      // In packages most names are links.
      if (NEEDED.test(basename(library))) found.set(basename(library), realpathSync(target));
    }
  }
  if (!found.has(target.loader)) {
    throw new HearthError('unavailable', `Debian's libc6 for ${target.debian} has no ${target.loader}`);
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, file]) => ({ name, file }));
}
