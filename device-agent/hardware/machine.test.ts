import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { tempFolder, until } from '#agent/store/store-fixture.ts';
import { askMachine } from './machine.ts';

test('machine: asked in a process of its own; who asks meanwhile shares the answer', async () => {
  const [one, other] = await Promise.all([askMachine(), askMachine()]);
  assert.equal(one, other);
  assert.ok((one.cpu?.cores ?? 0) >= 1, JSON.stringify(one.faults));
  assert.notEqual(one.os?.kernel, '');
  assert.notEqual(await askMachine(), one);
});

test('machine: what ends without a word, says something else, or does not answer is an error', async (t) => {
  const folder = await tempFolder(t, 'machine');
  const script = (name: string, text: string) => {
    const file = path.join(folder, `${name}.cjs`);
    writeFileSync(file, text);
    return file;
  };
  await assert.rejects(askMachine(script('ends', '')), /ended without a word/);
  await assert.rejects(askMachine(script('lies', 'process.send({ cpu: 1 }); setInterval(() => 0, 1000);')));
  const pidFile = path.join(folder, 'pid');
  const hangs = `require('node:fs').writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)); for (;;);`;
  await assert.rejects(askMachine(script('hangs', hangs), 5_000), { name: 'AbortError' });
  const pid = readFileSync(pidFile, 'utf8');
  await until(() => !existsSync(`/proc/${pid}`), 'it is ended');
});
