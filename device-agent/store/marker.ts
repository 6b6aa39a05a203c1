import path from 'node:path';
import * as z from 'zod';
import { errnoOf, readTextIfAny, writeFileDurably } from '#agent/durable/durable-file.ts';
import { timeSchema } from '#protocol/asset.ts';
import { boxIdSchema, newId } from '#protocol/ids.ts';

const diskIdSchema = z.string().regex(/^disk-[0-9a-hjkmnp-tv-z]{16}$/);

/** What makes a folder Hearth's disk, and whose. */
export const markerSchema = z.object({
  v: z.literal(1),
  diskId: diskIdSchema,
  boxId: boxIdSchema.nullable(),
  createdAt: timeSchema,
});
export type Marker = z.infer<typeof markerSchema>;

/** The marker in a file; null when there is none, 'damaged' when it is not one. */
export async function readMarker(file: string): Promise<Marker | 'damaged' | null> {
  try {
    const text = await readTextIfAny(file);
    return text === null ? null : markerSchema.parse(JSON.parse(text));
  } catch (error) {
    if (errnoOf(error) !== '') throw error;
    return 'damaged';
  }
}

/** A marker for a disk that begins now. */
export function freshMarker(boxId: string | null, createdAt: string): Marker {
  return { v: 1, diskId: newId('disk'), boxId, createdAt };
}

export async function writeMarker(file: string, marker: Marker): Promise<void> {
  await writeFileDurably(file, `${JSON.stringify(marker)}\n`, 0o644);
}

/** Which disk this box uses, kept where the disk is not. */
export interface DiskMemory {
  read(): Promise<string | null>;
  write(diskId: string): Promise<void>;
}

const rememberedSchema = z.object({ v: z.literal(1), diskId: diskIdSchema });

/** The memory in the state directory. */
export function diskMemoryIn(stateDir: string): DiskMemory {
  const file = path.join(stateDir, 'disk.json');
  return {
    async read() {
      const text = await readTextIfAny(file);
      return text === null ? null : rememberedSchema.parse(JSON.parse(text)).diskId;
    },
    async write(diskId) {
      await writeFileDurably(file, JSON.stringify({ v: 1, diskId }));
    },
  };
}
