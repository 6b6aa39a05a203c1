import assert from 'node:assert/strict';
import { open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { DiskTurns } from './disk-turns.ts';
import { tempFolder, until } from './store-fixture.ts';

test('turns: what hangs takes no more than its share of the threads, and the rest is done after it', async (t) => {
  const turns = new DiskTurns(8);
  assert.equal(turns.most, 4);
  const file = path.join(await tempFolder(t, 'turns'), 'file');
  await writeFile(file, 'abcdef');
  const handle = await open(file);
  t.after(() => handle.close());
  const hanging: (() => void)[] = [];
  const hang = () => turns.run(() => new Promise<void>((resolve) => hanging.push(resolve)));
  const hung = Array.from({ length: 6 }, hang);
  await until(() => hanging.length === 4 && turns.waiting === 2, 'four have begun');
  const room = Buffer.alloc(3);
  const read = new Promise<number>((resolve, reject) => {
    turns.read(handle.fd, room, 0, 3, 2, (error, bytesRead) => (error ? reject(error) : resolve(bytesRead)));
  });
  const vector = new Promise<number>((resolve, reject) => {
    turns.readv(handle.fd, [Buffer.alloc(2), Buffer.alloc(9)], 0, (error, bytesRead) =>
      error ? reject(error) : resolve(bytesRead),
    );
  });
  assert.equal(turns.waiting, 4);
  await until(() => {
    for (const end of hanging.splice(0)) end();
    return turns.waiting === 0 && turns.underWay === 0;
  }, 'all have had their turn');
  await Promise.all(hung);
  assert.equal(await read, 3);
  assert.equal(String(room), 'cde');
  assert.equal(await vector, 6);
});

test('turns: those that wait when the disk goes are told, those that hang end when they end', async () => {
  const turns = new DiskTurns(4);
  assert.equal(turns.most, 2);
  let end = () => {};
  const hung = turns.run(() => new Promise<void>((resolve) => (end = resolve)));
  const other = turns.run(() => new Promise<void>((resolve) => setTimeout(resolve, 20)));
  const waits = turns.run(async () => 'never');
  const reads = new Promise((resolve, reject) => {
    turns.read(0, Buffer.alloc(1), 0, 1, 0, (error) => (error ? reject(error) : resolve(null)));
  });
  turns.giveUp();
  await assert.rejects(waits, { code: 'ENODEV' });
  await assert.rejects(reads, { code: 'ENODEV' });
  end();
  await Promise.all([hung, other]);
  assert.equal(turns.underWay, 0);
});
