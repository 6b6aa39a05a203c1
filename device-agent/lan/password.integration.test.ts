import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { tempFolder } from '#agent/store/store-fixture.ts';
import { Password } from './password.ts';

const run = promisify(execFile);

test('reset-password forgets the password and nothing else, and says so when there is none', async (t) => {
  const folder = await tempFolder(t, 'password');
  const reset = async () => {
    const program = path.join(import.meta.dirname, '..', 'main.ts');
    const env = { ...process.env, HEARTH_STATE_DIR: folder };
    return (await run(process.execPath, [program, 'reset-password'], { env })).stdout;
  };
  const password = new Password(folder);
  await password.open();
  await password.setOnce('a lamp beside the door');
  assert.match(await reset(), /is forgotten/);
  const again = new Password(folder);
  await again.open();
  assert.equal(again.isSet, false);
  assert.match(await reset(), /There is no password/);
  await again.setOnce('another lamp beside the door');
  assert.equal(await again.matches('a lamp beside the door'), false);
});
