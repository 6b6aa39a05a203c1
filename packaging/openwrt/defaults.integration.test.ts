import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, it } from 'node:test';
import { isRoot, tempFolder } from '#agent/store/store-fixture.ts';
import { needsTool, requireTool } from '#test/support/tools.ts';
import { stage } from '../payload.ts';
import { serviceFiles } from './payload.ts';
import { makeStandInRoot, runInRoot } from './stand-in-root.ts';

const ROOT = isRoot ? {} : { skip: 'needs root, for chroot' };

/** What block-mount's own uci-defaults make of a box with a stick: `block detect`. */
const DETECTED =
  "config 'global'\n\toption\tanon_swap\t'0'\n\toption\tanon_mount\t'0'\n\toption\tauto_mount\t'1'\n\n" +
  "config 'mount'\n\toption\ttarget\t'/mnt/sda1'\n\toption\tuuid\t'1-2'\n\toption\tenabled\t'0'\n\n" +
  "config 'mount'\n\toption\ttarget\t'/'\n\toption\tuuid\t'3-4'\n\toption\tenabled\t'0'\n\n";

describe('uci-defaults of the package', { ...ROOT, ...needsTool('busybox') }, () => {
  /** @returns what fstab says afterwards, what block was told, and which settings procd is told of when they change */
  async function firstStart(t: TestContext, fstab: string | null) {
    const root = await tempFolder(t, 'root');
    makeStandInRoot(root, requireTool('busybox'));
    stage(serviceFiles(), root);
    mkdirSync(path.join(root, 'var/run'), { recursive: true });
    const sums = path.join(root, 'var/run/config.md5');
    writeFileSync(sums, '1  /var/run/config.check/fstab\n2  /var/run/config.check/network\n');
    writeFileSync(path.join(root, 'sbin/block'), '#!/bin/sh\necho "$@" >>/tmp/block\n', { mode: 0o755 });
    writeFileSync(path.join(root, 'tmp/block'), '');
    if (fstab !== null) writeFileSync(path.join(root, 'etc/config/fstab'), fstab);
    // The sysctl of this machine is not the test's to set.
    const script = 'sysctl() { :; }; cd /etc/uci-defaults && . ./90-hearth';
    const said = await runInRoot(root, script);
    assert.deepEqual([said.code, said.stderr], [0, '']);
    const read = (name: string) => readFileSync(path.join(root, name), 'utf8');
    return { fstab: read('etc/config/fstab'), block: read('tmp/block'), sums: read('var/run/config.md5') };
  }

  it('has disks mounted that block-mount has only listed, the one that is there at once', async (t) => {
    const { fstab, block, sums } = await firstStart(t, DETECTED);
    assert.match(fstab, /^\toption anon_mount '1'$/m);
    assert.ok(fstab.endsWith(DETECTED.slice(DETECTED.indexOf("config 'mount'"))), 'the rest is as it was');
    assert.equal(block, 'mount\n');
    // Told of it, blockd would unmount what is mounted already.
    assert.equal(sums, '2  /var/run/config.check/network\n');
  });

  it('has them mounted where there is no fstab yet', async (t) => {
    const { fstab, block } = await firstStart(t, null);
    assert.match(fstab, /^config global\n\toption anon_mount '1'\n\toption auto_mount '1'$/m);
    assert.equal(block, 'mount\n');
  });

  it('leaves all as it is where someone has said what is mounted', async (t) => {
    const own = `${DETECTED}config mount\n\toption target '/mnt/films'\n\toption label 'films'\n`;
    const { fstab, block, sums } = await firstStart(t, own);
    assert.deepEqual([fstab, block], [own, '']);
    assert.match(sums, /fstab/);
  });
});
