import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { reservePort } from './ports.ts';

/** Ports nothing here listens on: they are only names. */
const [PORT, OTHER] = [70_000 + process.pid * 2, 70_001 + process.pid * 2];

test('a port is one process’s until it ends, be it killed', async (t) => {
  const script = `const { reservePort } = await import(${JSON.stringify(join(import.meta.dirname, 'ports.ts'))});
    console.log(reservePort(${PORT}), reservePort(${OTHER})); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  assert.equal(reservePort(OTHER), true);
  const [said] = await once(child.stdout, 'data');
  assert.match(String(said), /^true false/);
  assert.equal(reservePort(PORT), false);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(reservePort(PORT), false, 'what it left is cleared away');
  assert.equal(reservePort(PORT), true);
  assert.equal(reservePort(PORT), false, 'nor twice by the same');
});
