import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { readTextIfAny, removeDurably, writeFileDurably } from './durable-file.ts';

test('a durable file is replaced whole, private, and leaves nothing beside it', async (t) => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'hearth-durable-'));
  t.after(() => rm(dir, { recursive: true }));
  const file = path.join(dir, 'secret.json');
  assert.equal(await readTextIfAny(file), null);
  await writeFile(`${file}.tmp`, 'left by a crash', { mode: 0o644 });
  await writeFileDurably(file, 'one');
  await writeFileDurably(file, 'two');
  assert.equal(await readFile(file, 'utf8'), 'two');
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(dir), ['secret.json']);
  await removeDurably(file);
  await removeDurably(file);
  assert.equal(await readTextIfAny(file), null);
});
