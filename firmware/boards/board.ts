import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { HearthError } from '#protocol/errors.ts';

const openwrtSchema = z.strictObject({
  target: z.string().min(1),
  subtarget: z.string().min(1),
  /** ImageBuilder's PROFILE. */
  profile: z.string().min(1),
  /** What opkg and apk call the processor. */
  packageArch: z.string().min(1),
  /** How the file name of the image to flash ends. */
  image: z.string().endsWith('.img.gz'),
});

const boardSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z0-9-]+$/),
    title: z.string().min(1),
    soc: z.string().min(1),
    /** Null: OpenWrt builds nothing for it, and `missing` says what that takes. */
    openwrt: openwrtSchema.nullable(),
    /** Every size it is sold with, MiB. */
    ramMib: z.array(z.int().positive()).min(1),
    /** Ports a disk can go into without an adapter, by the best version they speak. */
    usb: z.array(z.strictObject({ version: z.enum(['2.0', '3.0']), ports: z.int().min(0) })).min(1),
    /** One entry a port. */
    ethernetMbps: z.array(z.int().positive()),
    bootsFrom: z.array(z.string()).min(1),
    /** Where the facts above are from. */
    sources: z.array(z.string()).min(1),
    notes: z.string().optional(),
    missing: z.string().optional(),
  })
  .refine((board) => (board.openwrt === null) === (board.missing !== undefined), {
    message: 'either OpenWrt has a profile, or `missing` says what that takes',
  });

export type BoardFile = z.infer<typeof boardSchema>;
/** A board that an image can be made for. */
export type ImageBoard = BoardFile & { openwrt: NonNullable<BoardFile['openwrt']> };

/** Every board there is a file for, by name. @throws Error naming the file that is not one */
export function readBoards(folder = import.meta.dirname): BoardFile[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.json'));
  return files.toSorted().map((file) => {
    const checked = boardSchema.safeParse(JSON.parse(readFileSync(join(folder, file), 'utf8')));
    if (!checked.success) throw new Error(`${file}: ${z.prettifyError(checked.error)}`);
    if (`${checked.data.name}.json` !== file) throw new Error(`${file} calls itself ${checked.data.name}`);
    return checked.data;
  });
}

/** @throws HearthError `bad_request`: no such board, or none that OpenWrt builds for */
export function imageBoard(name: string, boards = readBoards()): ImageBoard {
  const board = boards.find((one) => one.name === name);
  if (!board) {
    const known = boards.filter(({ openwrt }) => openwrt).map((one) => one.name);
    throw new HearthError('bad_request', `no board ${name}; there are ${known.join(', ')}`);
  }
  const { openwrt } = board;
  if (!openwrt) throw new HearthError('bad_request', `no image for ${board.title}: ${board.missing}`);
  return { ...board, openwrt };
}
