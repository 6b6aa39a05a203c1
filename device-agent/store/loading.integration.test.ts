import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { ManifestFiles } from './manifest-files.ts';
import { ObjectFiles } from './object-files.ts';
import { hold, manifestFor, openStore, until } from './store-fixture.ts';

const GONE = Object.assign(new Error('no such file'), { code: 'ENOENT' });

for (const away of ['for a moment', 'and put back, as was noticed'] as const) {
  test(`store: what could not be read while the disk was away ${away} is no reason to let go of anything`, async (t) => {
    const first = await openStore(t);
    const bytes = randomBytes(10_000);
    const manifest = manifestFor(bytes, 'http://127.0.0.1/', { path: '/a' });
    await hold(first.store, bytes, manifest);
    await first.store.close();
    await first.disk.close();
    const { read } = ManifestFiles.prototype;
    const { sizeOf } = ObjectFiles.prototype;
    let disk: typeof first.disk | null = null;
    const tries = { read: 0, sizeOf: 0 };
    /** The first try finds nothing; what comes after it finds what lies there. */
    const fails = async (what: keyof typeof tries): Promise<boolean> => {
      if (away === 'for a moment') return ++tries[what] === 1;
      if (disk === null || what === 'read' || ++tries.sizeOf > 1) return false;
      await disk.hold('letting_go', 'a test');
      await disk.resume();
      return true;
    };
    t.mock.method(ManifestFiles.prototype, 'read', async function (this: ManifestFiles, assetId: string) {
      if (await fails('read')) throw GONE;
      return read.call(this, assetId);
    });
    t.mock.method(ObjectFiles.prototype, 'sizeOf', async function (this: ObjectFiles, sha256: string) {
      return (await fails('sizeOf')) ? null : sizeOf.call(this, sha256);
    });
    const again = await openStore(t, first);
    const told: string[] = [];
    again.store.on(({ type }) => told.push(type));
    disk = again.disk;
    const enough = away === 'for a moment' ? 2 : 1;
    await until(() => tries.sizeOf >= enough, 'it is compared with the disk');
    if (away === 'for a moment') assert.ok(tries.read >= 2);
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(again.store.catalog.find(manifest.siteId, '/a')?.object.state, 'complete');
    assert.deepEqual(told, []);
    await again.store.close();
  });
}
