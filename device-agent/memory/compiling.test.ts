import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';

const MODULE = path.join(import.meta.dirname, 'compiling.ts');

/** Whether V8 has optimized a function that was called often, by its own word. */
function isOptimized(before: string, patienceMs: number): boolean {
  const script = `
    const { compileLittle, compileAsUsual } = await import(${JSON.stringify(MODULE)});
    ${before}
    const hot = (n) => { let sum = 0; for (let i = 0; i < 100; i++) sum += i ^ n; return sum; };
    for (let i = 0; i < 20_000; i++) hot(i);
    // Bit 4 of the status: it is optimized (V8's runtime functions, src/runtime/runtime.h).
    const until = Date.now() + ${patienceMs};
    while (Date.now() < until && (%GetOptimizationStatus(hot) & 16) === 0) { await new Promise((r) => setTimeout(r, 20)); hot(1); }
    process.stdout.write(String((%GetOptimizationStatus(hot) & 16) !== 0));`;
  const args = ['--allow-natives-syntax', '--input-type=module', '-e', script];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  // A flag that this V8 does not know is complained of there.
  assert.equal(stderr, '');
  return stdout === 'true';
}

test('compiling: an idle box optimizes next to nothing, one that serves as ever', () => {
  assert.equal(isOptimized('compileLittle();', 1_000), false);
  assert.equal(isOptimized('compileLittle(); compileAsUsual();', 30_000), true);
});
