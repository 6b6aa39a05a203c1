import { lstat, opendir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import {
  errnoOf,
  readText,
  removeDurably,
  syncDirectory,
  writeFileDurably,
} from '#agent/durable/durable-file.ts';
import type { AssetManifest } from '#protocol/asset.ts';
import { assetManifestSchema } from '#protocol/asset.ts';
import { makeFolder } from './folders.ts';
import type { DiskLayout } from './layout.ts';

/** The last moment that ISO 8601 writes with four digits for the year. */
export const LATEST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

const recordSchema = z.object({
  v: z.literal(1),
  asset: assetManifestSchema,
  /** Fleet time, ms since 1970; null: until deleted. */
  expiresAtMs: z.number().max(LATEST_MS).nullable(),
  /** When the fleet issued the command this comes from, ms since 1970. */
  issuedAtMs: z.number(),
  /** Never evicted. */
  pinned: z.boolean().default(false),
});
export type ManifestRecord = z.infer<typeof recordSchema>;

const NAME = /^(asset-[0-9a-hjkmnp-tv-z]{16})\.json$/;
const TEMPORARY = /^asset-[0-9a-hjkmnp-tv-z]{16}\.json\.tmp$/;
const SHARD = /^[0-9a-hjkmnp-tv-z]{2}$/;

/**
 * The assets the fleet wants here, one durable file each, in folders by the first two letters of the random part of
 * the id: one folder with 100,000 names is slow on FAT. Boxes once kept them all in one folder; what lies there is
 * read, and moved when it is written or audited.
 */
export class ManifestFiles {
  readonly #layout: DiskLayout;

  constructor(layout: DiskLayout) {
    this.#layout = layout;
  }

  async write(
    asset: AssetManifest,
    expiresAtMs: number | null,
    issuedAtMs: number,
    pinned: boolean,
  ): Promise<void> {
    const record: ManifestRecord = { v: 1, asset, expiresAtMs, issuedAtMs, pinned };
    await this.#makeShard(asset.assetId);
    await writeFileDurably(this.#layout.manifest(asset.assetId), JSON.stringify(record));
    await rm(this.#layout.oldManifest(asset.assetId), { force: true });
  }

  /** @throws Error when there is none, or it is not what it should be */
  async read(assetId: string): Promise<ManifestRecord> {
    const text = await readText(this.#layout.manifest(assetId)).catch((error) => {
      if (errnoOf(error) !== 'ENOENT') throw error;
      return readText(this.#layout.oldManifest(assetId));
    });
    const record = recordSchema.parse(JSON.parse(text));
    if (record.asset.assetId !== assetId) throw new Error(`the manifest of ${assetId} is another's`);
    return record;
  }

  /** Where one was listed. */
  fileOf(assetId: string, isOld: boolean): string {
    return isOld ? this.#layout.oldManifest(assetId) : this.#layout.manifest(assetId);
  }

  /** The old place first: killed in between, the newer word is still there. */
  async remove(assetId: string): Promise<void> {
    await removeDurably(this.#layout.oldManifest(assetId));
    await removeDurably(this.#layout.manifest(assetId)).catch((error) => {
      // There never was a folder for it.
      if (errnoOf(error) !== 'ENOENT') throw error;
    });
  }

  /** Moves one from where they all once lay. Killed at any moment, it is in one of the two places. */
  async settle(assetId: string): Promise<void> {
    const old = this.#layout.oldManifest(assetId);
    if (!(await isFile(old))) return;
    if (await isFile(this.#layout.manifest(assetId))) {
      await rm(old, { force: true });
      return;
    }
    await this.#makeShard(assetId);
    await rename(old, this.#layout.manifest(assetId));
    await syncDirectory(this.#layout.manifestShard(assetId));
  }

  /**
   * Every asset id that has a file, without looking into it; some may come twice, first where they once lay. What a
   * crash left is removed.
   */
  async *list(): AsyncGenerator<{ assetId: string; isOld: boolean }> {
    const shards: string[] = [];
    for await (const { name, isFolder } of entriesOf(this.#layout.assets)) {
      const assetId = NAME.exec(name)?.[1];
      if (assetId && !isFolder) yield { assetId, isOld: true };
      else if (isFolder && SHARD.test(name)) shards.push(name);
    }
    for (const shard of shards) {
      const folder = path.join(this.#layout.assets, shard);
      for await (const { name, isFolder } of entriesOf(folder)) {
        const assetId = NAME.exec(name)?.[1];
        if (assetId && path.basename(this.#layout.manifestShard(assetId)) === shard && !isFolder)
          yield { assetId, isOld: false };
        else if (TEMPORARY.test(name) && !isFolder) await rm(path.join(folder, name), { force: true });
      }
    }
  }

  async #makeShard(assetId: string): Promise<void> {
    const made = await makeFolder(this.#layout.manifestShard(assetId));
    if (made) await syncDirectory(this.#layout.assets);
  }
}

async function isFile(name: string): Promise<boolean> {
  return (await lstat(name).catch(() => null))?.isFile() ?? false;
}

/** Names of a folder, a few at a time; none when it is not there. Links and the like are files that fail later. */
async function* entriesOf(folder: string): AsyncGenerator<{ name: string; isFolder: boolean }> {
  let directory: Awaited<ReturnType<typeof opendir>>;
  try {
    directory = await opendir(folder, { bufferSize: 1024 });
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw error;
  }
  for await (const entry of directory) yield { name: entry.name, isFolder: entry.isDirectory() };
}
