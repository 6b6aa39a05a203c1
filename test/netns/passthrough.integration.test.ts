import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { machines, needsNamespaces } from './namespaces.ts';

test('a relay counts the connections of a client whichever of its addresses it takes', {
  ...needsNamespaces(),
  timeout: 120_000,
}, (t) => {
  const { relay } = machines(t, 'relay');
  const [one, another, third, elsewhere] = ['2001:db8::1', '2001:db8::2', '2001:db8::3', '2001:db8:0:1::1'];
  for (const address of [one, another, third, elsewhere])
    relay.ip('addr', 'add', `${address}/128`, 'dev', 'lo');
  const program = join(import.meta.dirname, 'passthrough-program.ts');
  const from = [one, another, third, one, elsewhere];
  const told = relay.exec(process.execPath, ['--no-warnings', program, '7443', ...from]);
  assert.deepEqual(JSON.parse(told), [true, true, false, false, true]);
});
