import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mountOf, parseMounts } from './mounts.ts';
import { isDisk, judge } from './suitability.ts';

/** An OpenWrt box with a hard disk of two partitions, a stick, a camera's card and what belongs to the system. */
const OPENWRT = [
  '16 1 179:2 / /rom ro,relatime - squashfs /dev/root ro',
  '17 1 0:15 / /proc rw,nosuid - proc proc rw',
  '20 1 0:17 / /tmp rw,nosuid,nodev - tmpfs tmpfs rw',
  '22 1 179:3 / /overlay rw,noatime - f2fs /dev/mmcblk0p3 rw',
  '23 1 0:20 / / rw,noatime - overlay overlayfs:/overlay rw,lowerdir=/',
  '30 23 179:1 / /boot rw - vfat /dev/mmcblk0p1 rw',
  '31 23 8:1 / /mnt/sda1 rw,relatime shared:1 - ext4 /dev/sda1 rw',
  '32 23 8:2 / /mnt/my\\040photos\\134 rw,relatime - fuseblk /dev/sda2 rw,user_id=0',
  '33 23 8:17 / /mnt/sdb1 rw,relatime - vfat /dev/sdb1 ro,errors=remount-ro',
  '34 23 8:1 /films /srv/films rw - ext4 /dev/sda1 rw',
  '35 23 7:0 / /mnt/iso ro - iso9660 /dev/loop0 ro',
  '36 23 8:33 / /mnt/card rw shared:7 master:2 - exfat /dev/sdc1 rw',
  '37 23 179:3 /upper/x /mnt/flash rw - f2fs /dev/mmcblk0p3 rw',
  'nonsense',
  '',
].join('\n');

test('mounts: the kernel table, with its escapes and optional fields', () => {
  const mounts = parseMounts(OPENWRT);
  assert.equal(mounts.length, 13);
  const photos = mounts.find((mount) => mount.source === '/dev/sda2');
  assert.equal(photos?.mount, '/mnt/my photos\\');
  assert.equal(photos?.device, '8:2');
  assert.equal(mounts.find((mount) => mount.mount === '/mnt/card')?.filesystem, 'exfat');
});

test('mounts: the innermost one holds a folder, the later over the earlier', () => {
  const table = `${OPENWRT}\n40 31 0:99 / /mnt/sda1 rw - tmpfs tmpfs rw`;
  const mounts = parseMounts(table);
  assert.equal(mountOf('/mnt/sda1/hearth', mounts)?.filesystem, 'tmpfs');
  assert.equal(mountOf('/mnt/sda10', mounts)?.mount, '/');
  assert.equal(mountOf('/mnt/sdb1', mounts)?.source, '/dev/sdb1');
  assert.equal(mountOf('/x', []), null);
});

test('mounts: what may be used, and why the rest may not', () => {
  const mounts = parseMounts(OPENWRT);
  const verdicts = Object.fromEntries(
    mounts.filter(isDisk).map((mount) => [mount.mount, judge(mount, mounts).reason ?? 'usable']),
  );
  assert.deepEqual(verdicts, {
    '/overlay': 'system',
    '/boot': 'system',
    '/mnt/sda1': 'usable',
    '/mnt/my photos\\': 'usable',
    '/mnt/sdb1': 'read_only',
    '/srv/films': 'not_whole',
    '/mnt/iso': 'filesystem',
    '/mnt/card': 'usable',
    '/mnt/flash': 'system',
  });
  const stick = mounts.find((mount) => mount.mount === '/mnt/sdb1');
  assert.equal(stick && judge(stick, mounts).fileLimitBytes, 2 ** 32 - 1);
});
