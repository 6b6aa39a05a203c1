import assert from 'node:assert/strict';
import { open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { tempFolder, until } from '#agent/store/store-fixture.ts';
import { OpenFiles } from './open-files.ts';

async function rig(t: TestContext, limit: number) {
  const folder = await tempFolder(t, 'files');
  const names = Array.from({ length: 20 }, (_, n) => `f${n}`);
  for (const name of names) await writeFile(path.join(folder, name), name);
  let opened = 0;
  const closed: string[] = [];
  const files = new OpenFiles(async (name) => {
    const handle = await open(path.join(folder, name));
    opened++;
    const close = handle.close.bind(handle);
    handle.close = async () => {
      await close();
      closed.push(name);
    };
    return handle;
  }, limit);
  t.after(() => files.close());
  const stillOpen = () => opened - closed.length;
  return { files, names, closed, stillOpen, folder };
}

test('open files: one withdrawn by its own reader does not stay listed, and the bound holds after it', async (t) => {
  const { files, names, stillOpen } = await rig(t, 3);
  const bad = await files.acquire('f0');
  files.withdraw('f0');
  files.release(bad);
  assert.equal(files.idle, 0);
  await until(() => stillOpen() === 0, 'it is closed');
  for (const name of names.slice(1)) files.release(await files.acquire(name));
  await until(() => stillOpen() === 3, 'only as many stay open as may');
});

test('open files: none is closed under a reader, whatever order things come in', async (t) => {
  const { files, closed, stillOpen } = await rig(t, 1);
  const opening = files.acquire('f1');
  files.withdraw('f1', true);
  const first = await opening;
  assert.equal(first.damaged, true, 'known to be bad before it was open');
  const again = files.acquire('f1');
  files.release(first);
  const second = await again;
  assert.equal(second.damaged, false);
  const { buffer, bytesRead } = await second.handle.read(Buffer.alloc(10), 0, 10, 0);
  assert.equal(buffer.toString('utf8', 0, bytesRead), 'f1');
  await until(() => closed.length === 1, 'the first is closed');
  // Waited for while another lets go of it and the cache is full.
  const third = files.acquire('f1');
  files.release(second);
  files.release(await files.acquire('f2'));
  files.release(await files.acquire('f3'));
  const reader = await third;
  assert.equal((await reader.handle.read(Buffer.alloc(2), 0, 2, 0)).bytesRead, 2);
  files.release(reader);
  files.close();
  await until(() => stillOpen() === 0, 'all are closed');
});

test('open files: what cannot be opened is tried again', async (t) => {
  const { files, folder } = await rig(t, 1);
  await assert.rejects(Promise.all([files.acquire('new'), files.acquire('new')]), { code: 'ENOENT' });
  await writeFile(path.join(folder, 'new'), 'x');
  files.release(await files.acquire('new'));
  assert.equal(files.idle, 1);
});
