import assert from 'node:assert/strict';
import os from 'node:os';
import { test } from 'node:test';
import pino from 'pino';
import { parseMounts } from '#agent/disks/mounts.ts';
import { encodeUp } from '#protocol/messages.ts';
import { disksAmong, readHardware } from './hardware.ts';

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

test('hardware: what is in memory is no disk, whatever it is called; what Hearth uses is told all the same', () => {
  const mounts = parseMounts(
    [
      '1 0 8:1 / / rw - ext4 /dev/root rw',
      '2 1 0:5 / /dev rw - tmpfs tmpfs rw',
      '3 1 0:6 / /tmp rw - tmpfs scratch rw',
      '4 1 0:7 / /run/user rw - tmpfs /dev/shm-of-user rw',
      '5 1 0:8 / /rom ro - squashfs /dev/root ro',
      '6 1 8:17 / /mnt/usb rw - fuseblk /dev/sdb1 rw',
    ].join('\n'),
  );
  const capacity = (name: string, mount: string) => ({ name, mount, totalBytes: 10, freeBytes: 5 });
  const capacities = [
    capacity('/dev/root', '/'),
    capacity('tmpfs', '/dev'),
    capacity('scratch', '/tmp'),
    capacity('/dev/shm-of-user', '/run/user'),
    capacity('/dev/root', '/rom'),
    capacity('/dev/sdb1', '/mnt/usb'),
  ];
  const told = (folder: string) =>
    disksAmong(capacities, mounts, folder).map(({ mount, chosen }) => `${mount}${chosen ? ' *' : ''}`);
  assert.deepEqual(told('/mnt/usb/hearth'), ['/', '/mnt/usb *']);
  assert.deepEqual(told('/tmp/box'), ['/', '/tmp *', '/mnt/usb']);
  // Where there is no table of mounts their names are all there is.
  assert.deepEqual(
    disksAmong(capacities, [], '/mnt/usb').map(({ mount }) => mount),
    ['/', '/tmp', '/run/user', '/rom', '/mnt/usb'],
  );
});
