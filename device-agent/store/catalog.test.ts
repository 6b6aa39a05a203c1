import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CatalogManifest } from './catalog.ts';
import { Catalog, stateOf } from './catalog.ts';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const assetId = (n: number) => `asset-${ALPHABET[n % 32]}${'z0'.repeat(7)}${ALPHABET[(n >> 5) % 32]}`;
const siteId = (n: number) => `site-${String(n).padStart(16, '0')}`;
const sha256 = (n: number) => createHash('sha256').update(String(n)).digest('hex');
const DATES = ['Wed, 01 Jul 2026 10:00:00 GMT', 'wed, 1 jul 2026', '', null];

function manifest(more: {
  asset: number;
  site: number;
  path: string;
  object: number;
  header: number;
}): CatalogManifest {
  return {
    assetId: assetId(more.asset),
    siteId: siteId(more.site),
    path: more.path,
    sha256: sha256(more.object),
    sizeBytes: more.object * 700_000,
    headers: {
      contentType: more.header % 2 ? 'video/mp4' : 'text/html; charset=utf-8',
      cacheControl: more.header > 2 ? 'public, max-age=60' : null,
      lastModified: DATES[more.header % DATES.length] ?? null,
    },
  };
}

/** The same with plain objects: what the catalog is to be, in few words and much memory. */
class Model {
  readonly assets = new Map<
    string,
    { manifest: CatalogManifest; expires: number | null; issued: number; pinned: boolean }
  >();
  readonly objects = new Map<
    string,
    { size: number; state: 'absent' | 'partial' | 'complete'; done: number }
  >();

  assetsOf(hash: string): string[] {
    return [...this.assets.values()].filter((a) => a.manifest.sha256 === hash).map((a) => a.manifest.assetId);
  }
  bytes(): number {
    return [...this.objects.values()].reduce((sum, o) => sum + (o.state === 'complete' ? o.size : o.done), 0);
  }
}

const paths = fc.oneof(
  fc.constantFrom('/a', '/b', '/a/b', `/${'x'.repeat(1000)}`),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).map((text) => `/${text.toWellFormed()}`),
);
const small = (max: number) => fc.integer({ min: 0, max });
const actions = fc.oneof(
  fc.record({
    do: fc.constant('put' as const),
    asset: small(40),
    site: small(3),
    path: paths,
    object: small(12),
    header: small(5),
    expires: fc.option(fc.integer({ min: 1, max: 1e12 })),
    issued: fc.integer({ min: 0, max: 1000 }),
    pinned: fc.boolean(),
  }),
  fc.record({ do: fc.constant('remove' as const), asset: small(40) }),
  fc.record({ do: fc.constant('drop' as const), object: small(12) }),
  fc.record({
    do: fc.constant('state' as const),
    object: small(12),
    state: fc.constantFrom('absent' as const, 'partial' as const, 'complete' as const),
  }),
  fc.record({ do: fc.constant('done' as const), object: small(12), bytes: small(1e6) }),
);

test('the catalog is what a plain map of plain objects would be, after any changes', () => {
  fc.assert(
    fc.property(fc.array(actions, { maxLength: 120 }), (changes) => {
      const catalog = new Catalog();
      const model = new Model();
      for (const change of changes) {
        if (change.do === 'put') {
          const made = manifest(change);
          const { expires, issued, pinned } = change;
          catalog.put(made, expires, issued, pinned);
          model.assets.set(made.assetId, { manifest: made, expires, issued, pinned });
          if (!model.objects.has(made.sha256)) {
            model.objects.set(made.sha256, { size: made.sizeBytes, state: 'absent', done: 0 });
          }
        } else if (change.do === 'remove') {
          const removed = catalog.remove(assetId(change.asset));
          const known = model.assets.get(assetId(change.asset));
          assert.equal(removed?.path, known?.manifest.path);
          model.assets.delete(assetId(change.asset));
        } else {
          const hash = sha256(change.object);
          const object = catalog.objects.get(hash);
          const known = model.objects.get(hash);
          assert.equal(object !== undefined, known !== undefined);
          if (!object || !known) continue;
          if (change.do === 'drop') {
            catalog.objects.delete(hash);
            if (model.assetsOf(hash).length === 0) model.objects.delete(hash);
          } else if (change.do === 'state') {
            if (known.state === 'complete' || change.state === 'complete') known.done = 0;
            object.state = change.state;
            known.state = change.state;
          } else {
            object.bytesDone = change.bytes;
            if (known.state !== 'complete') known.done = change.bytes;
          }
        }
      }
      agree(catalog, model);
    }),
    { numRuns: 300 },
  );
});

function agree(catalog: Catalog, model: Model): void {
  assert.equal(catalog.assetCount, model.assets.size);
  assert.equal(catalog.objectCount, model.objects.size);
  assert.equal(catalog.usedBytes, model.bytes());
  for (const { manifest: made, expires, issued, pinned } of model.assets.values()) {
    const asset = catalog.assets.get(made.assetId);
    assert.ok(asset);
    assert.deepEqual(
      [asset.siteId, asset.path, asset.headers, asset.expiresAtMs, asset.issuedAtMs, asset.pinned],
      [made.siteId, made.path, made.headers, expires, issued, pinned],
    );
    assert.equal(asset.object.sha256, made.sha256);
    const newest = [...model.assets.values()]
      .filter((other) => other.manifest.siteId === made.siteId && other.manifest.path === made.path)
      .reduce((most, other) => Math.max(most, other.issued), 0);
    assert.equal(catalog.find(made.siteId, made.path)?.issuedAtMs, newest);
  }
  for (const [hash, known] of model.objects) {
    const object = catalog.objects.get(hash);
    assert.deepEqual([object?.sizeBytes, object?.state], [known.size, known.state]);
    assert.deepEqual(object?.assetIds.toSorted(), model.assetsOf(hash).toSorted());
  }
  const held = [...model.assets.values()].filter(
    ({ manifest: { sha256: hash } }) => model.objects.get(hash)?.state === 'complete',
  );
  assert.equal(catalog.totals().held, held.length);
  const listed = Array.from(catalog.assets.values(), (asset) => asset.assetId);
  assert.deepEqual(listed.toSorted(), [...model.assets.keys()].toSorted());
  assert.equal(catalog.find(siteId(0), '/not/there'), undefined);
}

test('an entry of what is listed no more is harmless, even when its record is used again', () => {
  const catalog = new Catalog();
  const first = manifest({ asset: 1, site: 1, path: '/a', object: 1, header: 0 });
  const { object } = catalog.put(first, null, 1);
  object.state = 'complete';
  catalog.remove(first.assetId);
  catalog.objects.delete(first.sha256);
  const second = catalog.put(manifest({ asset: 2, site: 1, path: '/b', object: 2, header: 0 }), null, 1);
  object.state = 'complete';
  object.bytesDone = 5;
  object.downloading = true;
  assert.equal(second.object.state, 'absent');
  assert.equal(stateOf(second.object), 'queued');
  assert.equal(catalog.usedBytes, 0);
  assert.deepEqual([object.state, object.assetIds], ['absent', []]);
});

test('names that are no asset ids and no hashes find nothing', () => {
  const catalog = new Catalog();
  for (const name of [
    '',
    'asset-',
    'asset-ILOU000000000000',
    `asset-${'\u{1f600}'.repeat(8)}`,
    'x'.repeat(64),
    'g'.repeat(64),
  ]) {
    assert.equal(catalog.assets.get(name), undefined);
    assert.equal(catalog.objects.get(name), undefined);
  }
});

test('many come and go, and the paths of those that went take no room', () => {
  const catalog = new Catalog();
  for (let round = 0; round < 6; round++) {
    for (let n = 0; n < 1000; n++) {
      catalog.put(
        manifest({ asset: n, site: 1, path: `/${round}/${'y'.repeat(900)}/${n}`, object: n, header: 0 }),
        null,
        round,
      );
    }
  }
  assert.equal(catalog.assetCount, 1000);
  for (let n = 0; n < 1000; n++) {
    assert.ok(catalog.find(siteId(1), `/5/${'y'.repeat(900)}/${n}`), String(n));
    assert.equal(catalog.find(siteId(1), `/4/${'y'.repeat(900)}/${n}`), undefined);
  }
});
