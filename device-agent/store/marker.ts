import path from 'node:path';
import * as z from 'zod';
import { errnoOf, readTextIfAny, writeFileDurably } from '#agent/durable/durable-file.ts';
import { timeSchema } from '#protocol/asset.ts';
import { boxIdSchema, newId } from '#protocol/ids.ts';

const diskIdSchema = z.string().regex(/^disk-[0-9a-hjkmnp-tv-z]{16}$/);
const agentIdSchema = z.string().regex(/^agent-[0-9a-hjkmnp-tv-z]{16}$/);

/** What makes a folder Hearth's disk, and whose. */
export const markerSchema = z.object({
  v: z.literal(1),
  diskId: diskIdSchema,
  /** Null before the box is paired. */
  boxId: boxIdSchema.nullable(),
  /** Who uses it, paired or not; absent in markers of before agents had names of their own. */
  agentId: agentIdSchema.optional(),
  createdAt: timeSchema,
});
export type Marker = z.infer<typeof markerSchema>;

/** Who looks at a disk. */
export interface Self {
  /** Id of the disk this box uses; null before it has one. */
  remembered: string | null;
  /** Null before the box is paired. */
  boxId: string | null;
  agentId: string;
}

/**
 * Whose a disk is: by the disk the box remembers, its name at the fleet, or its own. `free`: an agent that was not
 * paired has left it without a name; nobody can tell who that was.
 */
export function whose(marker: Marker, self: Self): 'ours' | 'free' | 'foreign' {
  const { diskId, boxId, agentId } = marker;
  if (diskId === self.remembered || agentId === self.agentId) return 'ours';
  if (boxId !== null && boxId === self.boxId) return 'ours';
  return boxId === null && agentId === undefined ? 'free' : 'foreign';
}

/** The marker in a file; null when there is none, 'damaged' when it is not one. */
export async function readMarker(file: string): Promise<Marker | 'damaged' | null> {
  try {
    const text = await readTextIfAny(file);
    return text === null ? null : markerSchema.parse(JSON.parse(text));
  } catch (error) {
    // Where the folder of a copy should be there may be anything.
    if (errnoOf(error) === 'ENOTDIR') return null;
    if (errnoOf(error) !== '') throw error;
    return 'damaged';
  }
}

/** The marker of a disk that is this box's from now on. @param known the one it has, if it stays the same disk */
export function markerFor(self: Self, createdAt: string, known: Marker | null = null): Marker {
  const { boxId, agentId } = self;
  if (known === null) return { v: 1, diskId: newId('disk'), boxId, agentId, createdAt };
  return { ...known, boxId: boxId ?? known.boxId, agentId };
}

export async function writeMarker(file: string, marker: Marker): Promise<void> {
  await writeFileDurably(file, `${JSON.stringify(marker)}\n`, 0o644);
}

/** Which disk this box uses, and who it is itself, kept where the disk is not. */
export interface DiskMemory {
  read(): Promise<string | null>;
  write(diskId: string): Promise<void>;
  /** Made at the first call, and the same ever after: before a disk is marked it must be known whose mark that is. */
  agentId(): Promise<string>;
}

const rememberedSchema = z.object({ v: z.literal(1), diskId: diskIdSchema });
const nameSchema = z.object({ v: z.literal(1), agentId: agentIdSchema });

/** The memory in the state directory. */
export function diskMemoryIn(stateDir: string): DiskMemory {
  const file = path.join(stateDir, 'disk.json');
  let name: Promise<string> | null = null;
  return {
    async read() {
      const text = await readTextIfAny(file);
      return text === null ? null : rememberedSchema.parse(JSON.parse(text)).diskId;
    },
    async write(diskId) {
      await writeFileDurably(file, JSON.stringify({ v: 1, diskId }));
    },
    async agentId() {
      name ??= nameIn(path.join(stateDir, 'agent.json'));
      try {
        return await name;
      } catch (error) {
        name = null;
        throw error;
      }
    },
  };
}

async function nameIn(file: string): Promise<string> {
  const text = await readTextIfAny(file);
  try {
    if (text !== null) return nameSchema.parse(JSON.parse(text)).agentId;
  } catch {
    // Not one of ours: a new name does no harm, the disk is known by its id.
  }
  const agentId = newId('agent');
  await writeFileDurably(file, JSON.stringify({ v: 1, agentId }));
  return agentId;
}
