import { createHash } from 'node:crypto';
import type { CatalogManifest } from '#agent/store/catalog.ts';
import { Catalog } from '#agent/store/catalog.ts';

/** `index-program.ts catalog|plain <objects>`: fills an index, and prints what it takes, as JSON. */
const what = process.argv[2];
const objects = Number(process.argv[3]);

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const SITES = Array.from({ length: 20 }, (_, n) => `site-${String(n).padStart(16, '0')}`);

/** As a video site has them: some directories deep, 47 bytes long on average. */
function pathOf(n: number): string {
  return `/video/${Math.floor(n / 1000)}/season-${n % 9}/1080p/segment-${String(n).padStart(10, '0')}.m4s`;
}

function manifestOf(n: number): CatalogManifest {
  const sha256 = createHash('sha256').update(String(n)).digest();
  let assetId = 'asset-';
  for (let at = 0; at < 16; at++) assetId += ALPHABET[(sha256[at] ?? 0) & 31];
  return {
    assetId,
    siteId: SITES[n % SITES.length] ?? '',
    path: pathOf(n),
    sha256: sha256.toString('hex'),
    sizeBytes: 1 + ((n * 7919) % 4_000_000),
    headers: {
      contentType: 'video/iso.segment',
      cacheControl: 'public, max-age=31536000',
      lastModified: new Date(1_700_000_000_000 + n * 60_000).toUTCString(),
    },
  };
}

interface Index {
  add(manifest: CatalogManifest): void;
  find(siteId: string, path: string): boolean;
}

/** What one would write without thinking of memory: one object for each, in three Maps. */
class PlainIndex implements Index {
  readonly byId = new Map<string, object>();
  readonly bySha = new Map<string, object>();
  readonly byPath = new Map<string, { object: { state: string } }>();
  add(manifest: CatalogManifest): void {
    const object = {
      sha256: manifest.sha256,
      sizeBytes: manifest.sizeBytes,
      assetIds: new Set([manifest.assetId]),
      state: 'complete',
      bytesDone: manifest.sizeBytes,
      downloading: false,
      failure: null,
      verifiedAt: null,
      damage: null,
    };
    const { assetId, siteId, path, headers } = manifest;
    const asset = { assetId, siteId, path, headers, expiresAtMs: null, issuedAtMs: 1, object };
    this.byId.set(assetId, asset);
    this.bySha.set(object.sha256, object);
    this.byPath.set(siteId + path, asset);
  }
  find(siteId: string, path: string): boolean {
    return this.byPath.get(siteId + path)?.object.state === 'complete';
  }
}

class OurIndex implements Index {
  readonly catalog = new Catalog();
  add(manifest: CatalogManifest): void {
    this.catalog.put(manifest, null, 1).object.state = 'complete';
  }
  find(siteId: string, path: string): boolean {
    return this.catalog.find(siteId, path)?.object.state === 'complete';
  }
}

function settledRss(): number {
  for (let round = 0; round < 4; round++) globalThis.gc?.();
  return process.memoryUsage.rss();
}

const made: Index = what === 'plain' ? new PlainIndex() : new OurIndex();
for (let n = 0; n < 2_000; n++) manifestOf(n);
const before = settledRss();
for (let n = 0; n < objects; n++) made.add(manifestOf(n));
const rssBytes = settledRss() - before;

const asked = Array.from({ length: 20_000 }, (_, n) => (n * 104_729) % objects);
const keys = asked.map((n) => ({ siteId: SITES[n % SITES.length] ?? '', path: pathOf(n) }));
let best = Number.POSITIVE_INFINITY;
for (let round = 0; round < 8; round++) {
  const startedAt = process.hrtime.bigint();
  for (const { siteId, path } of keys) if (!made.find(siteId, path)) throw new Error(`${path} is not found`);
  best = Math.min(best, Number(process.hrtime.bigint() - startedAt) / keys.length);
}
console.log(JSON.stringify({ objects, rssBytes, lookupNs: best }));
