import assert from 'node:assert/strict';
import os from 'node:os';
import { test } from 'node:test';
import pino from 'pino';
import { encodeUp } from '#protocol/messages.ts';
import { readHardware } from './hardware.ts';

test('the hardware of this machine, within the protocol', async () => {
  const hardware = await readHardware(os.tmpdir(), '2026-01-01T00:00:00.000Z', pino({ level: 'silent' }));
  encodeUp('hardware', hardware);
  assert.equal(hardware.memoryBytes, os.totalmem());
  assert.ok(hardware.cpu.cores >= 1);
  assert.notEqual(hardware.machine.kernel, '');
  const chosen = hardware.disks.filter((disk) => disk.chosen);
  assert.equal(chosen.length, 1);
  assert.ok((chosen[0]?.totalBytes ?? 0) > 0);
});
