import { readdir } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { errnoOf, readText, removeDurably, writeFileDurably } from '#agent/durable/durable-file.ts';
import type { AssetManifest } from '#protocol/asset.ts';
import { assetManifestSchema } from '#protocol/asset.ts';
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
});
export type ManifestRecord = z.infer<typeof recordSchema>;

const NAME = /^(asset-[0-9a-hjkmnp-tv-z]{16})\.json$/;

/** The assets the fleet wants here, one durable file each. */
export class ManifestFiles {
  readonly #layout: DiskLayout;

  constructor(layout: DiskLayout) {
    this.#layout = layout;
  }

  async write(asset: AssetManifest, expiresAtMs: number | null, issuedAtMs: number): Promise<void> {
    const record: ManifestRecord = { v: 1, asset, expiresAtMs, issuedAtMs };
    await writeFileDurably(this.#layout.manifest(asset.assetId), JSON.stringify(record));
  }

  async read(assetId: string): Promise<ManifestRecord> {
    return recordSchema.parse(JSON.parse(await readText(this.#layout.manifest(assetId))));
  }

  async remove(assetId: string): Promise<void> {
    await removeDurably(this.#layout.manifest(assetId));
  }

  /**
   * Reads them all, one at a time.
   * @param damaged told the file name of what cannot be read as a manifest
   */
  async *all(damaged: (name: string) => void): AsyncGenerator<ManifestRecord> {
    let names: string[];
    try {
      names = await readdir(this.#layout.assets);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return;
      throw error;
    }
    for (const name of names) {
      const assetId = NAME.exec(name)?.[1];
      if (!assetId) continue;
      let record: ManifestRecord | null = null;
      try {
        record = await this.read(assetId);
      } catch {
        // Whatever is wrong with one, the others count. A disk that has gone is looked at by others.
      }
      if (record?.asset.assetId === assetId) yield record;
      else damaged(path.join(this.#layout.assets, name));
    }
  }
}
