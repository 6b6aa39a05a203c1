import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { checkUsage, UsageError } from './usage.ts';

const none = { json: false, wait: false, yes: false, asset: [], box: [], site: undefined };

test('what a command takes is let through', () => {
  checkUsage('boxes', [], { ...none, json: true });
  checkUsage('boxes', ['rename', 'a', 'b'], none);
  checkUsage('assets', ['add', 'site', '/1', '/2', '/3'], { ...none, wait: true });
  checkUsage('purge', ['site', '/a/'], none);
  checkUsage('unassign', ['site'], { ...none, box: ['a', 'b'] });
  checkUsage('ledger', ['transfers'], { ...none, account: 'fleet:fees' });
});

test('what a command would not heed is refused', () => {
  const cases: [string, string[], Record<string, unknown>, RegExp][] = [
    ['purge', ['site'], { box: ['attic'] }, /purge does not take --box/],
    ['purge', ['site', '/a/', '/b/'], {}, /"\/b\/" is too much/],
    ['unassign', ['site'], { ttl: '5m' }, /does not take --ttl/],
    ['boxes', ['show', 'a', 'b'], {}, /boxes show takes 1/],
    ['assign', ['site'], { box: ['a'], boxes: '2' }, /not both/],
    ['ledger', ['accounts'], { account: 'x' }, /does not take --account/],
  ];
  for (const [name, words, given, message] of cases) {
    assert.throws(
      () => checkUsage(name, words, { ...none, ...given }),
      (error) => error instanceof UsageError && message.test(error.message),
    );
  }
});

test('wrong arguments end with 2 and a hint, a fleet that is not there with 1', async () => {
  const program = fileURLToPath(new URL('./hearth.ts', import.meta.url));
  const run = promisify(execFile);
  const end = async (...args: string[]): Promise<string> => {
    const env = { ...process.env, HEARTH_URL: 'http://127.0.0.1:1', HEARTH_TOKEN: 'none' };
    const { code, stderr } = await run(process.execPath, [program, ...args], { env }).then(
      () => ({ code: 0, stderr: '' }),
      (error: { code: number; stderr: string }) => error,
    );
    return `${code} ${stderr}`;
  };
  assert.match(await end('purge', 'site', '--box', 'attic'), /^2 hearth: .*--box.*\n.*--help/);
  assert.match(await end('nonsense'), /^2 /);
  assert.match(await end('boxes', '--nonsense'), /^2 /);
  assert.match(await end('boxes', 'nonsense', 'x'), /^2 .*it has list, show/);
  assert.match(await end('boxes'), /^1 hearth: .*no answer/);
});
