import { lstat, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { errnoOf, syncDirectory } from '#agent/durable/durable-file.ts';
import { makeFolder } from './folders.ts';
import type { DiskLayout } from './layout.ts';

const OBJECT = /^[0-9a-f]{64}$/;
const MANIFEST = /^asset-[0-9a-hjkmnp-tv-z]{16}\.json(\.tmp)?$/;
const SHARD = /^[0-9a-hjkmnp-tv-z]{2}$/;
const BEGUN = /^[0-9a-f]{64}(\.journal(\.tmp)?)?$/;
const COUNTED = /^(segment|batches)-\d{12}\.(log|json)(\.tmp)?$/;
/** The index, and what the other household's line has carried. */
const NOTES = /^(index\.jsonl|index\.stale|uplink\.json)(\.tmp)?$/;

/**
 * Makes the content of a disk that was another box's this one's: its objects are set aside, to be verified and used
 * when one of them is wanted; what the other box was to do is forgotten. Killed in between, it can be done again.
 * The marker is to be rewritten afterwards, so that until then the disk is still the other's.
 */
export async function adoptContent(layout: DiskLayout): Promise<void> {
  if (!(await isFolder(layout.home))) return;
  // What the other box was to hold, had begun and had counted is of no use to this one.
  const shards = (await namesIn(layout.assets)).filter((name) => SHARD.test(name));
  const theirs: [string, RegExp][] = [
    [layout.home, NOTES],
    [layout.partial, BEGUN],
    [layout.deliveries, COUNTED],
    [layout.assets, MANIFEST],
    ...shards.map((shard): [string, RegExp] => [path.join(layout.assets, shard), MANIFEST]),
  ];
  for (const [folder, names] of theirs) {
    for (const file of await plainFiles(folder, names)) await rm(file, { force: true });
  }
  await makeFolder(layout.adopted);
  for (const directory of await namesIn(layout.objects)) {
    if (!/^[0-9a-f]{2}$/.test(directory)) continue;
    for (const file of await plainFiles(path.join(layout.objects, directory), OBJECT)) {
      await rename(file, layout.adoptedObject(path.basename(file)));
    }
  }
  await syncDirectory(layout.adopted);
}

/** What came with an adopted disk and nobody has asked for: removed. @returns the bytes that gave */
export async function dropAdopted(layout: DiskLayout): Promise<number> {
  let bytes = 0;
  for (const file of await plainFiles(layout.adopted, OBJECT)) {
    const { size } = await lstat(file);
    await rm(file, { force: true });
    bytes += size;
  }
  return bytes;
}

/** What waits there to be asked for, bytes. */
export async function adoptedBytes(layout: DiskLayout): Promise<number> {
  let bytes = 0;
  for (const file of await plainFiles(layout.adopted, OBJECT)) bytes += (await lstat(file)).size;
  return bytes;
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

async function isFolder(folder: string): Promise<boolean> {
  return (await lstat(folder).catch(() => null))?.isDirectory() ?? false;
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error) => {
    if (errnoOf(error) === 'ENOENT') return [];
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
