import assert from 'node:assert/strict';
import { readdir, readFile, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { Catalog } from '#agent/store/catalog.ts';
import { makeFolder } from '#agent/store/folders.ts';
import { DiskLayout } from '#agent/store/layout.ts';
import { Snapshot } from '#agent/store/snapshot.ts';
import { MIB, manifestFor, mountTmpfs, needsRoot } from '#agent/store/store-fixture.ts';
import { writeFileDurably } from './durable-file.ts';

test(
  'durable: what a full disk does not take leaves the old as it was, and nothing that keeps its room',
  needsRoot,
  async (t) => {
    const root = await mountTmpfs(t, MIB);
    const layout = new DiskLayout(root);
    await makeFolder(layout.home);
    const file = path.join(layout.home, 'note.json');
    await writeFileDurably(file, 'old');
    const catalog = new Catalog();
    const snapshot = new Snapshot(layout);
    await snapshot.write(catalog);
    for (let index = 0; index < 2_000; index++) {
      catalog.put(
        manifestFor(Buffer.from(`${index}`), 'http://127.0.0.1/', { path: `/${'x'.repeat(200)}/${index}` }),
        null,
        1,
      );
    }
    await writeFile(path.join(root, 'mine'), Buffer.alloc(MIB / 2));
    const before = await statfs(root);
    await assert.rejects(writeFileDurably(file, Buffer.alloc(MIB)), { code: 'ENOSPC' });
    await assert.rejects(snapshot.write(catalog), { code: 'ENOSPC' });
    assert.equal(await readFile(file, 'utf8'), 'old');
    assert.deepEqual((await readdir(layout.home)).sort(), ['index.jsonl', 'note.json']);
    assert.equal((await statfs(root)).bavail, before.bavail);
  },
);
