import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { configOf } from './card.ts';
import { copyImage, UEFI } from './openwrt-image.ts';

const folder = mkdtempSync(join(tmpdir(), 'hearth-image-'));
after(() => rmSync(folder, { recursive: true }));
const MIB = 1024 * 1024;

function image(name: string, marks: [number, string][], pack = false): string {
  const bytes = Buffer.alloc(2 * MIB);
  for (const [at, text] of marks) bytes.write(text, at, 'latin1');
  const file = join(folder, name);
  // After a packed image OpenWrt writes what sysupgrade reads.
  writeFileSync(file, pack ? Buffer.concat([gzipSync(bytes), Buffer.from('{"metadata":1}FWx0')]) : bytes);
  return file;
}
const TABLE: [number, string] = [510, '\x55\xaa'];
const H3: [number, string] = [8 * 1024 + 4, 'eGON.BT0'];
const GPT: [number, string] = [512, 'EFI PART'];
const copy = (board: string, from: string) => copyImage(board, from, join(folder, 'card.img'), () => {});

describe('an image that was built for a board', () => {
  it('becomes a card of a size QEMU takes, packed or not, and stays as it is itself', async () => {
    for (const pack of [false, true]) {
      const file = image(`good-${pack}`, [TABLE, H3], pack);
      const before = readFileSync(file);
      await copy('orangepi-pc', file);
      const card = join(folder, 'card.img');
      assert.equal(statSync(card).size, 512 * MIB);
      assert.equal(readFileSync(card).toString('latin1', H3[0], H3[0] + 8), H3[1]);
      assert.ok(readFileSync(file).equals(before));
    }
  });

  it('is refused with what is wrong with it', async () => {
    await assert.rejects(copy('orangepi-pc', join(folder, 'none')), /there is no image/);
    await assert.rejects(copy('orangepi-pc', image('bare', [H3])), /no partition table/);
    await assert.rejects(copy('orangepi-pc', image('pc', [TABLE, GPT])), /sunxi's \*-sdcard/);
    await assert.rejects(copy('virt-arm64', image('h3', [TABLE, H3])), /armsr's \*-combined-efi/);
    const cut = image('cut', [TABLE, H3], true);
    writeFileSync(cut, readFileSync(cut).subarray(0, 200));
    await assert.rejects(copy('orangepi-pc', cut), /cannot be unpacked/);
    const efi = copy('virt-arm64', image('efi', [TABLE, GPT]));
    await (existsSync(UEFI) ? efi : assert.rejects(efi, /apt-get install qemu-efi-aarch64/));
  });
});

describe('settings of a board', () => {
  it('are written as UCI does, and cannot become anything else', () => {
    const text = configOf("config hearth 'main'\n\toption enabled '1'\n", {
      disk: 'auto',
      fleet_url: 'http://a',
    });
    assert.equal(
      text,
      "config hearth 'main'\n\toption enabled '1'\n\toption disk 'auto'\n\toption fleet_url 'http://a'\n",
    );
    for (const [name, value] of [
      ['a b', '1'],
      ['disk', "x'"],
      ['disk', 'a\nb'],
    ] as const)
      assert.throws(() => configOf('', { [name]: value }), /is no option/);
  });
});
