import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import {
  appendDurably,
  discard,
  errnoOf,
  PLAIN_FILE,
  readTextIfAny,
  removeDurably,
  syncDirectory,
} from '#agent/durable/durable-file.ts';
import { LIMITS } from '#protocol/limits.ts';
import type { Catalog } from './catalog.ts';
import { catalogRecord } from './catalog-fields.ts';
import type { DiskLayout } from './layout.ts';

const HEAD = '{"hearth":"index","v":1}\n';
const LONGEST_LINE = 16_384;
const USUAL_LINE = 320;
const MOST_ASSETS = LIMITS.indexPages * LIMITS.indexEntriesPerPage;
const WRITE_BYTES = 256 * 1024;
/** Changes noted beside it; with more it is not worth having. */
const MOST_DOUBTS = 20_000;
const MOST_STALE_BYTES = 1024 * 1024;

/**
 * What the catalog knew, in one file, so that a start need not open a file for each asset. Only a hint: an asset
 * without its manifest file is forgotten, an object without its file is not held, and the rest is compared with the
 * manifests in the background. What would make it lie, another manifest for an asset it names, is noted durably
 * beside it before that is written.
 */
export class Snapshot {
  readonly #layout: DiskLayout;
  #exists = true;
  #doubts = 0;

  constructor(layout: DiskLayout) {
    this.#layout = layout;
  }

  get #file(): string {
    return path.join(this.#layout.home, 'index.jsonl');
  }
  get #staleFile(): string {
    return path.join(this.#layout.home, 'index.stale');
  }

  /**
   * Fills an empty catalog with what it says.
   * @returns false when there is none that can be used; the catalog is empty then
   */
  async read(catalog: Catalog): Promise<boolean> {
    this.#exists = true;
    const usable = await this.#readInto(catalog).catch((error) => {
      this.#exists = errnoOf(error) !== 'ENOENT';
      return false;
    });
    if (!usable) catalog.clear();
    return usable;
  }

  /** Replaces it with what the catalog says now. Nothing may change in the catalog meanwhile. */
  async write(catalog: Catalog): Promise<void> {
    const temporary = `${this.#file}.tmp`;
    await rm(temporary, { force: true });
    const handle = await open(temporary, 'wx', 0o600);
    const hash = createHash('sha256');
    try {
      let text = HEAD;
      const flush = async () => {
        hash.update(text);
        await handle.appendFile(text);
        text = '';
        await breathe();
      };
      for (const { assetId, siteId, path: assetPath, headers, object, ...asset } of linesOf(catalog)) {
        text += `${JSON.stringify([
          assetId,
          siteId,
          assetPath,
          headers.contentType,
          headers.cacheControl,
          headers.lastModified,
          asset.expiresAtMs,
          asset.issuedAtMs,
          asset.pinned ? 1 : 0,
          object.sha256,
          object.sizeBytes,
          object.verifiedAtS,
          object.hits,
          object.lastUsedS,
          object.heat,
          object.isHeld ? 1 : 0,
        ])}\n`;
        if (text.length >= WRITE_BYTES) await flush();
      }
      await flush();
      await handle.appendFile(`${JSON.stringify({ sha256: hash.digest('hex') })}\n`);
      await handle.sync();
    } catch (error) {
      await discard(handle, temporary);
      throw error;
    }
    await handle.close();
    await rename(temporary, this.#file);
    await syncDirectory(this.#layout.home);
    // Last: noted once more than needed does no harm.
    await rm(this.#staleFile, { force: true });
    this.#exists = true;
    this.#doubts = 0;
  }

  /** From now on it is not to be believed on this asset. Before its manifest changes or goes. */
  async doubt(assetId: string): Promise<void> {
    if (!this.#exists) return;
    if (this.#doubts++ < MOST_DOUBTS) {
      try {
        // A line cut off by a crash must not run into this one.
        await appendDurably(this.#staleFile, `\n${assetId}\n`);
        return;
      } catch (error) {
        // Not a byte is left: the next start takes longer, but what is to go can go.
        if (!['ENOSPC', 'EDQUOT'].includes(errnoOf(error))) throw error;
      }
    }
    await removeDurably(this.#file);
    this.#exists = false;
  }

  async #doubted(): Promise<string[]> {
    const text = await readTextIfAny(this.#staleFile, MOST_STALE_BYTES);
    const lines = (text ?? '').split('\n').filter((line) => line !== '');
    this.#doubts = lines.length;
    return lines;
  }

  async #readInto(catalog: Catalog): Promise<boolean> {
    const handle = await open(this.#file, constants.O_RDONLY | PLAIN_FILE);
    try {
      const { size } = await handle.stat();
      if (size > MOST_ASSETS * LONGEST_LINE) return false;
      catalog.reserve(Math.min(MOST_ASSETS, size / USUAL_LINE));
      const hash = createHash('sha256');
      let rest = '';
      let isFirst = true;
      let digest: string | null = null;
      const input = createReadStream('', {
        fd: handle,
        autoClose: false,
        encoding: 'utf8',
        highWaterMark: WRITE_BYTES,
      });
      for await (const part of input) {
        const lines = (rest + part).split('\n');
        rest = lines.pop() ?? '';
        if (rest.length > LONGEST_LINE) return false;
        for (const line of lines) {
          if (digest !== null) return false;
          if (isFirst) {
            if (`${line}\n` !== HEAD) return false;
            isFirst = false;
          } else if (line.startsWith('[')) {
            if (!takeLine(catalog, JSON.parse(line))) return false;
          } else {
            digest = String(JSON.parse(line).sha256);
            continue;
          }
          hash.update(`${line}\n`);
        }
      }
      if (digest === null || digest !== hash.digest('hex')) return false;
    } finally {
      await handle.close();
    }
    // Those are read anew, with what the snapshot has never heard of.
    for (const assetId of await this.#doubted()) catalog.remove(assetId);
    return true;
  }
}

function* linesOf(catalog: Catalog) {
  const { objects } = catalog.tables;
  for (const {
    assetId,
    siteId,
    path: assetPath,
    headers,
    object,
    expiresAtMs,
    issuedAtMs,
    pinned,
  } of catalog.assets.values()) {
    const { row, sha256, sizeBytes } = object;
    yield {
      assetId,
      siteId,
      path: assetPath,
      headers,
      expiresAtMs,
      issuedAtMs,
      pinned,
      object: {
        sha256,
        sizeBytes,
        verifiedAtS: objects.verifiedAtS(row),
        hits: objects.hits(row),
        lastUsedS: objects.lastUsedS(row),
        heat: objects.heat(row),
        isHeld: objects.isComplete(row),
      },
    };
  }
}

const whole = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

/** @returns false when the line is not one we wrote */
function takeLine(catalog: Catalog, line: unknown): boolean {
  if (!Array.isArray(line) || line.length !== 16) return false;
  const [assetId, siteId, path, contentType, cacheControl, lastModified, expiresAtMs, issuedAtMs, pinned] =
    line;
  const [sha256, sizeBytes, verifiedAtS, hits, lastUsedS, heat, isHeld] = line.slice(9);
  const headers = { contentType, cacheControl, lastModified };
  const record = catalogRecord({
    assetId,
    siteId,
    path,
    headers,
    sha256,
    sizeBytes,
    expiresAtMs,
    issuedAtMs,
  });
  if (!record) return false;
  if (![verifiedAtS, hits, lastUsedS].every((value) => whole(value) && value < 2 ** 32)) return false;
  if (typeof heat !== 'number') return false;
  const { object } = catalog.put(record.manifest, record.expiresAtMs, record.issuedAtMs, pinned === 1);
  catalog.tables.objects.setVerifiedAtS(object.row, verifiedAtS);
  catalog.tables.objects.setUse(object.row, { hits, lastUsedS, heat });
  if (isHeld === 1) object.state = 'complete';
  return true;
}
