import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { dependenciesOf, KernelModules } from './kernel-modules.ts';

const module = (depends: string) => Buffer.from(`ELF\0license=GPL\0depends=${depends}\0name=x\0`, 'latin1');

describe('the modules of a kernel', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-modules-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'kernel/fs'), { recursive: true });
  for (const [name, depends] of [
    ['ext4', 'mbcache,jbd2'],
    ['jbd2', 'crc-core'],
    ['mbcache', ''],
    ['crc-core', ''],
  ] as const) {
    writeFileSync(join(folder, 'kernel/fs', `${name}.ko`), module(depends));
  }
  writeFileSync(join(folder, 'kernel/fs', 'packed.ko.xz'), '');
  writeFileSync(join(folder, 'modules.builtin'), 'kernel/drivers/usb-core.ko\n');
  const modules = new KernelModules(folder);
  const order = (...names: string[]) => modules.inLoadOrder(names).map((file) => basename(file));

  it('are loaded after what they depend on, each once', () => {
    assert.deepEqual(order('ext4', 'jbd2'), ['mbcache.ko', 'crc-core.ko', 'jbd2.ko', 'ext4.ko']);
  });

  it('are not loaded when they are built in', () => {
    assert.deepEqual(order('usb_core', 'mbcache'), ['mbcache.ko']);
  });

  it('are named when there is none, or one that cannot be loaded', () => {
    assert.throws(() => order('btrfs'), /no module btrfs/);
    assert.throws(() => order('packed'), /compressed/);
  });

  it('say themselves what they depend on', () => {
    assert.deepEqual(dependenciesOf(module('mbcache,crc-itu')), ['mbcache', 'crc_itu']);
    assert.deepEqual(dependenciesOf(module('')), []);
    assert.deepEqual(dependenciesOf(Buffer.from('\0vermagic=6.1\0')), []);
  });
});
