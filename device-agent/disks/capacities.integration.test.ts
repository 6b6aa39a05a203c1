import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { tempFolder, until } from '#agent/store/store-fixture.ts';
import { readCapacities } from './capacities.ts';

test('disks: a df that hangs with a disk keeps nobody waiting, whenever it begins to', async (t) => {
  const folder = await tempFolder(t, 'df');
  const asked = path.join(folder, 'asked');
  const df = path.join(folder, 'df');
  // Answers once, and then not before it is told to.
  const script = [
    '#!/bin/sh',
    `echo $$ >> ${asked}`,
    `test "$(wc -l < ${asked})" = 1 || while ! test -e ${folder}/go; do sleep 0.05; done`,
    `PATH='${process.env.PATH}'`,
    'exec df "$@"',
  ];
  await writeFile(df, `${script.join('\n')}\n`);
  await chmod(df, 0o755);
  const { PATH } = process.env;
  process.env.PATH = `${folder}:${PATH}`;
  const calls = async () => (await readFile(asked, 'utf8')).trim().split('\n').length;
  try {
    const found = await readCapacities(60_000);
    const root = found?.find(({ mount }) => mount === '/');
    assert.ok(root && root.totalBytes > root.freeBytes && root.freeBytes > 0, JSON.stringify(found));
    assert.equal(await calls(), 1, 'one that hangs after the first would stop the program');
    assert.equal(await readCapacities(100), null);
    assert.equal(await readCapacities(100), null);
    await until(async () => (await calls()) === 2, 'it is asked');
    assert.equal(await calls(), 2, 'not a second one while the first has not come back');
  } finally {
    await writeFile(path.join(folder, 'go'), '');
    assert.notEqual(await readCapacities(60_000), null, 'and again once it answers');
    process.env.PATH = PATH;
  }
});
