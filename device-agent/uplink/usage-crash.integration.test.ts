import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readUsage } from './usage-file.ts';

const ROUNDS = 20;

/** Takes bytes as fast as it may, and says after each grant how many it had in all. */
const TAKER = `
  import { writeSync } from 'node:fs';
  import { Usage } from ${JSON.stringify(path.join(import.meta.dirname, 'usage.ts'))};
  const wall = { month: '2026-03', date: '2026-03-15', day: 0, hour: 12, minute: 720 };
  const usage = new Usage({
    wall: () => wall,
    timeIsSure: () => true,
    monthlyBytes: () => 10 ** 13,
    now: () => performance.now(),
    onRoom: () => setImmediate(take),
    onTrouble: (error) => { throw error; },
  });
  let total = 0;
  function take() {
    for (let n = 0; n < 50; n++) {
      const got = usage[n % 2 ? 'up' : 'down'].take(1_000_000 + n);
      if (got < 0) return;
      total += got;
      writeSync(1, total + '\\n');
    }
    setImmediate(take);
  }
  await usage.useFile(process.argv[1]);
  take();
`;

test('killed at any moment, the disk says at least what was used, and not much more', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'hearth-usage-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'uplink.json');
  let used = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', TAKER, file], {
      cwd: import.meta.dirname,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (piece) => {
      text += String(piece);
    });
    const closed = once(child, 'close');
    await once(child.stdout, 'data');
    await sleep(Math.random() * 60);
    child.kill('SIGKILL');
    await closed;
    used += Number(text.slice(0, text.lastIndexOf('\n')).split('\n').at(-1));
    const found = await readUsage(file);
    const month = found?.months['2026-03'];
    assert.ok(found && month, 'the file is whole');
    const counted = month.up + month.down + month.unsure + found.reserve;
    assert.ok(counted >= used, `round ${round}: ${counted} counted, ${used} used`);
    // One reservation for each crash, of a GiB at most.
    assert.ok(counted - used <= (round + 1) * 1024 ** 3);
  }
});
