import { lstat, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { errnoOf, syncDirectory } from '#agent/durable/durable-file.ts';
import { makeFolder } from './folders.ts';
import type { DiskLayout } from './layout.ts';
import { isFolder, PART_NAME, PARTS, removeParts } from './object-file.ts';

const OBJECT = /^[0-9a-f]{64}$/;
const HEX = /^[0-9a-f]{2}$/;
/** Compressed copies say of themselves what they are copies of: another box's word for it is not taken. */
const ENCODED = /^[0-9a-f]{64}\.[a-z]+\.[0-9a-f]{64}$/;
const MANIFEST = /^asset-[0-9a-hjkmnp-tv-z]{16}\.json(\.tmp)?$/;
const SHARD = /^[0-9a-hjkmnp-tv-z]{2}$/;
const BEGUN = /^[0-9a-f]{64}(\.journal(\.tmp)?)?$/;
const COUNTED = /^(segment|batches)-\d{12}\.(log|json)(\.tmp)?$/;
/** The index, what was put out, what the other household's line has carried, and whose the disk was. */
const NOTES = /^(index\.jsonl|index\.stale|evicted\.log|uplink\.json|disk\.json)(\.tmp)?$/;

/**
 * Makes the content of a disk that was another box's this one's: its objects are set aside, to be verified and used
 * when one of them is wanted; what the other box was to do is forgotten. Killed in between, it can be done again.
 * The marker is to be rewritten afterwards, so that until then the disk is still the other's.
 */
export async function adoptContent(layout: DiskLayout): Promise<void> {
  if (!(await isFolder(layout.home))) return;
  // What the other box was to hold, had begun and had counted is of no use to this one.
  const below = async (folder: string, shard: RegExp, names: RegExp) => {
    const shards = (await namesIn(folder)).filter((name) => shard.test(name));
    return shards.map((name): [string, RegExp] => [path.join(folder, name), names]);
  };
  const theirs: [string, RegExp][] = [
    [layout.home, NOTES],
    [layout.partial, BEGUN],
    [layout.deliveries, COUNTED],
    [layout.assets, MANIFEST],
    ...(await below(layout.assets, SHARD, MANIFEST)),
    ...(await below(layout.encodings, HEX, ENCODED)),
  ];
  for (const [folder, names] of theirs) {
    for (const file of await plainFiles(folder, names)) await rm(file, { force: true });
  }
  await removeAllParts(layout.partial);
  await makeFolder(layout.adopted);
  for (const directory of await namesIn(layout.objects)) {
    if (!HEX.test(directory)) continue;
    const folder = path.join(layout.objects, directory);
    for (const found of [...(await plainFiles(folder, OBJECT)), ...(await partsIn(folder))]) {
      const place = path.join(layout.adopted, path.basename(found));
      // From an adoption before: the same bytes, as far as anybody knows.
      if (PARTS.test(path.basename(found))) await removeParts(place);
      await rename(found, place);
    }
  }
  await syncDirectory(layout.adopted);
}

/** What came with an adopted disk and nobody has asked for: removed. */
export async function dropAdopted(layout: DiskLayout): Promise<void> {
  for (const file of await plainFiles(layout.adopted, OBJECT)) await rm(file, { force: true });
  await removeAllParts(layout.adopted);
}

/** What waits there to be asked for, bytes. */
export async function adoptedBytes(layout: DiskLayout): Promise<number> {
  const files = await plainFiles(layout.adopted, OBJECT);
  for (const parts of await partsIn(layout.adopted)) files.push(...(await plainFiles(parts, PART_NAME)));
  let bytes = 0;
  for (const file of files) bytes += (await lstat(file)).size;
  return bytes;
}

/** Folders of parts, as objects too large for one file have them. */
async function partsIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await namesIn(folder)) {
    const parts = path.join(folder, name);
    if (PARTS.test(name) && (await isFolder(parts))) found.push(parts);
  }
  return found;
}

async function removeAllParts(folder: string): Promise<void> {
  for (const parts of await partsIn(folder)) await removeParts(parts);
}

async function plainFiles(folder: string, pattern: RegExp): Promise<string[]> {
  if (!(await isFolder(folder))) return [];
  const files: string[] = [];
  for (const name of await namesIn(folder)) {
    const file = path.join(folder, name);
    if (pattern.test(name) && (await lstat(file).catch(() => null))?.isFile()) files.push(file);
  }
  return files;
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error) => {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error))) return [];
    throw error;
  });
}

/** How long what came with an adopted disk may wait to be asked for, ms. */
const KEEP_MS = 24 * 3_600_000;

/** What came with an adopted disk, as long as it lies there: counted, and removed when there is use for its room. */
export class Leftovers {
  readonly #layout: DiskLayout;
  readonly #keepMs: number;
  #timer: NodeJS.Timeout | null = null;
  #bytes = 0;

  constructor(layout: DiskLayout, keepMs = KEEP_MS) {
    this.#layout = layout;
    this.#keepMs = keepMs;
  }

  /** As far as is known: what was taken up since is counted as the store's as well, until the next look. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The disk is there: looks at what it brought. */
  async look(): Promise<void> {
    this.close();
    this.#bytes = await adoptedBytes(this.#layout);
    if (this.#bytes === 0) return;
    this.#timer = setTimeout(() => void this.drop().catch(() => undefined), this.#keepMs);
    this.#timer.unref();
  }

  /** There is better use for the room. */
  async drop(): Promise<void> {
    if (this.#bytes === 0) return;
    await dropAdopted(this.#layout);
    this.#bytes = 0;
    this.close();
  }

  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
