import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { imageBoard, readBoards } from './board.ts';

/** The package architecture each subtarget has, and how its images' names end. */
const SUBTARGETS: Record<string, [arch: string, image: string]> = {
  'sunxi/cortexa7': ['arm_cortex-a7_neon-vfpv4', 'squashfs-sdcard.img.gz'],
  'sunxi/cortexa53': ['aarch64_cortex-a53', 'squashfs-sdcard.img.gz'],
  'rockchip/armv8': ['aarch64_generic', 'squashfs-sysupgrade.img.gz'],
  'armsr/armv7': ['arm_cortex-a15_neon-vfpv4', 'squashfs-combined-efi.img.gz'],
  'armsr/armv8': ['aarch64_generic', 'squashfs-combined-efi.img.gz'],
};
/** What OpenWrt 24.10 and 25.12 have of the three families, and is sold to households. */
const PROFILES =
  `xunlong_orangepi-pc xunlong_orangepi-pc-plus xunlong_orangepi-one xunlong_orangepi-plus xunlong_orangepi-2
  xunlong_orangepi-zero friendlyarm_nanopi-neo friendlyarm_nanopi-neo-air friendlyarm_nanopi-m1-plus friendlyarm_nanopi-r1
  friendlyarm_zeropi sinovoip_bananapi-m2-plus xunlong_orangepi-one-plus
  friendlyarm_nanopi-r2s friendlyarm_nanopi-r2c friendlyarm_nanopi-r2c-plus xunlong_orangepi-r1-plus
  xunlong_orangepi-r1-plus-lts pine64_rock64 radxa_rock-pi-e firefly_roc-rk3328-cc friendlyarm_nanopi-r4s pine64_rockpro64
  friendlyarm_nanopi-r3s radxa_rock-3c radxa_zero-3e friendlyarm_nanopi-r5s friendlyarm_nanopi-r5c friendlyarm_nanopi-r6s
  friendlyarm_nanopi-r6c radxa_rock-5a radxa_rock-5b generic generic`.split(/\s+/);

test('boards: every profile has a file, and each fits its subtarget', () => {
  const boards = readBoards();
  const found = boards.flatMap(({ openwrt }) => (openwrt ? [openwrt] : []));
  assert.deepEqual(found.map(({ profile }) => profile).toSorted(), PROFILES.toSorted());
  for (const { target, subtarget, packageArch, image } of found) {
    assert.deepEqual([packageArch, image], SUBTARGETS[`${target}/${subtarget}`]);
  }
  for (const { soc, openwrt, name } of boards) {
    if (openwrt?.target === 'sunxi')
      assert.equal(soc.endsWith('H6'), openwrt.subtarget === 'cortexa53', name);
    if (openwrt?.target === 'rockchip') assert.match(soc, /^Rockchip RK3/, name);
  }
});

test('boards: H6 boards without a profile are there, and say what one takes', () => {
  const without = readBoards().filter(({ soc, openwrt }) => soc === 'Allwinner H6' && !openwrt);
  assert.deepEqual(
    without.map(({ name }) => name),
    ['orangepi-3', 'orangepi-lite2', 'pine-h64'],
  );
  assert.throws(() => imageBoard('orangepi-3'), /no image for Xunlong Orange Pi 3: .*cortexa53\.mk/);
  assert.throws(() => imageBoard('toaster'), /no board toaster; there are bananapi-m2-plus, nanopi/);
});

test('boards: a file that is none is named, with what is wrong', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-test-boards-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const good = { ...imageBoard('orangepi-pc') };
  const write = (file: string, board: object) => writeFileSync(join(folder, file), JSON.stringify(board));
  write('orangepi-pc.json', good);
  assert.equal(readBoards(folder).length, 1);
  write('orangepi-pc.json', { ...good, ramMib: [] });
  assert.throws(() => readBoards(folder), /orangepi-pc\.json: [\s\S]*ramMib/);
  write('orangepi-pc.json', { ...good, openwrt: null });
  assert.throws(() => readBoards(folder), /`missing` says what that takes/);
  write('orangepi-pc.json', good);
  write('other.json', good);
  assert.throws(() => readBoards(folder), /other\.json calls itself orangepi-pc/);
});
