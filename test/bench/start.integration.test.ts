import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { DiskLayout } from '#agent/store/layout.ts';
import { fillDisk, startOn } from './start.ts';

const OBJECTS = 6_000;

test('a box answers while its disk is still read; killed then, it begins anew; the next start knows all at once', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'hearth-start-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const [root, state] = [join(folder, 'disk'), join(folder, 'state')];
  for (const made of [root, state]) mkdirSync(made);
  const key = randomBytes(32);
  fillDisk(root, OBJECTS);
  const first = await startOn(root, state, key, OBJECTS);
  await first.kill();
  const second = await startOn(root, state, key, OBJECTS);
  assert.equal(await second.loaded(), OBJECTS);
  await second.stop();
  assert.ok((await readdir(new DiskLayout(root).home)).includes('index.jsonl'));
  const third = await startOn(root, state, key, OBJECTS);
  assert.equal(await third.loaded(), OBJECTS);
  // Without opening a manifest: what the first start needed for its first thousand, it has for all of them.
  await third.kill();
  const fourth = await startOn(root, state, key, OBJECTS);
  assert.equal(await fourth.loaded(), OBJECTS);
  await fourth.stop();
});
