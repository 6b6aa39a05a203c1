import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { runTool } from './run-tool.ts';

const SECTOR_BYTES = 512;
/** Where the one partition of a stick begins, as fdisk would put it. */
const PARTITION_BYTES = 1024 * 1024;
/** What a stick's file system is; households have the second. */
export type StickFilesystem = 'ext4' | 'vfat';
const PARTITION_TYPE = { ext4: 0x83, vfat: 0x0c };

/** An image that is one ext4 file system holding what is in `folder`. No root and no mount is needed. */
export async function ext4Image(file: string, sizeMib: number, folder: string | null): Promise<void> {
  emptyImage(file, sizeMib);
  await mkfs(file, sizeMib * 1024, folder, []);
}

/** A USB stick as it is bought: a partition table and one partition. */
export async function stickImage(
  file: string,
  sizeMib: number,
  filesystem: StickFilesystem = 'ext4',
): Promise<void> {
  emptyImage(file, sizeMib);
  const sizeKib = sizeMib * 1024 - PARTITION_BYTES / 1024;
  if (filesystem === 'ext4') await mkfs(file, sizeKib, null, [`offset=${PARTITION_BYTES}`]);
  else await makeFat(file, sizeKib);
  const image = openSync(file, 'r+');
  writeSync(
    image,
    partitionTable(
      PARTITION_BYTES / SECTOR_BYTES,
      (sizeKib * 1024) / SECTOR_BYTES,
      PARTITION_TYPE[filesystem],
    ),
    0,
    64 + 2,
    446,
  );
  closeSync(image);
}

/** The end of a master boot record: four entries, of which one is used, and its signature. */
function partitionTable(firstSector: number, sectors: number, type: number): Buffer {
  const table = Buffer.alloc(66);
  // Its place in cylinders, heads and sectors is beyond what they can say, and so all ones.
  table.set([0, 0xfe, 0xff, 0xff, type, 0xfe, 0xff, 0xff]);
  table.writeUInt32LE(firstSector, 8);
  table.writeUInt32LE(sectors, 12);
  table.set([0x55, 0xaa], 64);
  return table;
}

function emptyImage(file: string, sizeMib: number): void {
  rmSync(file, { force: true });
  const image = openSync(file, 'w');
  ftruncateSync(image, sizeMib * 1024 * 1024);
  closeSync(image);
}

async function makeFat(file: string, sizeKib: number): Promise<void> {
  const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` };
  const offset = String(PARTITION_BYTES / SECTOR_BYTES);
  const words = ['--offset', offset, '-h', offset, '-F', '32', '-n', 'HEARTH', file, String(sizeKib)];
  await runTool('mkfs.vfat', words, { env, debian: 'dosfstools' });
}

async function mkfs(file: string, sizeKib: number, folder: string | null, extended: string[]): Promise<void> {
  // Debian keeps it in /usr/sbin, which is not in everyone's PATH.
  const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` };
  await runTool(
    'mkfs.ext4',
    [
      ...['-q', '-F', '-L', 'hearth', '-E', ['root_owner=0:0', ...extended].join(',')],
      ...(folder === null ? [] : ['-d', folder]),
      ...[file, `${sizeKib}k`],
    ],
    { env, debian: 'e2fsprogs' },
  );
}
