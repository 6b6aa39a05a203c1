/** An entry of an archive. A path has no leading slash; folders come before what is in them. */
export type CpioEntry =
  | { path: string; kind: 'folder' }
  | { path: string; kind: 'file'; mode: number; data: Buffer }
  | { path: string; kind: 'link'; target: string }
  | { path: string; kind: 'character-device'; mode: number; major: number; minor: number };

const TYPE = { folder: 0o040000, file: 0o100000, link: 0o120000, 'character-device': 0o020000 } as const;

/**
 * An archive in the "newc" form the kernel unpacks as its first root, owned by root throughout and without times,
 * so that the same entries give the same bytes. Made here because the kernel needs /dev/console before anything
 * runs, and only root may make a device node in a folder.
 * Source: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
 */
export function cpioArchive(entries: CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  for (const [index, entry] of entries.entries()) parts.push(...record(entry, index + 1));
  parts.push(...header('TRAILER!!!', { inode: 0, mode: 0, size: 0, major: 0, minor: 0 }));
  return Buffer.concat(parts);
}

function record(entry: CpioEntry, inode: number): Buffer[] {
  const data =
    entry.kind === 'file' ? entry.data : entry.kind === 'link' ? Buffer.from(entry.target) : Buffer.alloc(0);
  const permissions = 'mode' in entry ? entry.mode : entry.kind === 'link' ? 0o777 : 0o755;
  const { major, minor } = entry.kind === 'character-device' ? entry : { major: 0, minor: 0 };
  return [
    ...header(entry.path, { inode, mode: TYPE[entry.kind] | permissions, size: data.length, major, minor }),
    data,
    padding(data.length),
  ];
}

function header(
  name: string,
  { inode, mode, size, major, minor }: Record<'inode' | 'mode' | 'size' | 'major' | 'minor', number>,
): Buffer[] {
  const nameBytes = Buffer.from(`${name}\0`);
  // inode, mode, uid, gid, links, mtime, size, device (2), device it is (2), length of the name, checksum
  const fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, major, minor, nameBytes.length, 0];
  const text = `070701${fields.map((field) => field.toString(16).toUpperCase().padStart(8, '0')).join('')}`;
  return [Buffer.from(text), nameBytes, padding(text.length + nameBytes.length)];
}

/** Everything begins at a multiple of four bytes. */
function padding(lengthBytes: number): Buffer {
  return Buffer.alloc((4 - (lengthBytes % 4)) % 4);
}
