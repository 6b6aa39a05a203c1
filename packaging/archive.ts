import { rmSync } from 'node:fs';
import { runTool } from '#firmware/qemu/run-tool.ts';

/**
 * Writes a tar in GNU's format that is the same wherever it is made: owners 0:0, names sorted, one time for all.
 * @param epochS seconds since 1970
 * @returns `file`
 */
export async function pack(folder: string, file: string, members: string[], epochS: number): Promise<string> {
  const options = [
    '--format=gnu',
    '--numeric-owner',
    '--owner=0',
    '--group=0',
    '--sort=name',
    `--mtime=@${epochS}`,
  ];
  await runTool('tar', [...options, '-c', '-f', file, '-C', folder, ...members]);
  return file;
}

/**
 * gzip's format without name and time, by libdeflate, which packs Node 4 % smaller than gzip -9. Its output depends on
 * its version alone, not on the processor as zlib's may.
 */
export async function compress(file: string, to = `${file}.gz`): Promise<void> {
  const script = 'libdeflate-gzip -12 -c < "$1" > "$2"';
  await runTool('sh', [
    '-c',
    `command -v libdeflate-gzip > /dev/null || exit 127; ${script}`,
    'sh',
    file,
    to,
  ]).catch((error: unknown) => {
    if (!String(error).includes('failed with 127')) throw error;
    return runTool('libdeflate-gzip', ['-h'], { debian: 'libdeflate-tools' });
  });
  rmSync(file);
}
