import assert from 'node:assert/strict';
import { test } from 'node:test';
import { argumentsBefore } from './again.ts';

test('started again as this program was, by another loader too', () => {
  assert.deepEqual(argumentsBefore('/x/main.cjs', ['node', '--a', '/x/main.cjs', 'b']), ['--a']);
  const loader = ['/l/ld.so', '--argv0', 'hearth-agent', '--library-path', '/l', '/x/node', '/x/main.cjs'];
  assert.deepEqual(argumentsBefore('/x/main.cjs', loader), loader.slice(1, -1));
  assert.equal(argumentsBefore('/x/main.cjs', ['node', '/y/other.ts']), null);
});
