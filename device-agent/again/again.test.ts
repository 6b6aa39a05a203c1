import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { argumentsBefore } from './again.ts';

test('started again as this program was, by another loader too', () => {
  assert.deepEqual(argumentsBefore('/x/main.cjs', ['node', '--a', '/x/main.cjs', 'b']), ['--a']);
  const loader = ['/l/ld.so', '--argv0', 'hearth-agent', '--library-path', '/l', '/x/node', '/x/main.cjs'];
  assert.deepEqual(argumentsBefore('/x/main.cjs', loader), loader.slice(1, -1));
  assert.equal(argumentsBefore('/x/main.cjs', ['node', '/y/other.ts']), null);
});

test('a program that was reached through a link is found too', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'hearth-again-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const script = path.join(folder, 'main.cjs');
  writeFileSync(script, '');
  symlinkSync(folder, path.join(folder, 'link'));
  const linked = path.join(folder, 'link', 'main.cjs');
  assert.deepEqual(argumentsBefore(script, ['/l/ld.so', '/x/node', linked]), ['/x/node']);
  assert.equal(argumentsBefore(script, ['/l/ld.so', '/x/node', '/gone/main.cjs']), null);
});
