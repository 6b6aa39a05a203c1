import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { describe, it } from 'node:test';
import { isRoot, tempFolder } from '#agent/store/store-fixture.ts';
import { PROGRAM } from '#packaging/executable/build.ts';
import { writeIpk } from '#packaging/openwrt/ipk.ts';
import { agentPackage } from '#packaging/openwrt/packages.ts';
import { agentPayload } from '#packaging/openwrt/payload.ts';
import { makeStandInRoot } from '#packaging/openwrt/stand-in-root.ts';
import { TARGETS } from '#packaging/targets.ts';
import { needsTool, requireTool } from '#test/support/tools.ts';
import { fillCard } from './card.ts';
import { activateConsole, configure } from './openwrt-image.ts';
import { installPackage } from './package.ts';
import { SerialConsole } from './serial.ts';

const EPOCH_S = 1_700_000_000;

/** The package with a program of a few bytes: what lies around it is the same. */
async function smallPackage(t: TestContext): Promise<string> {
  const [folder, webui] = [await tempFolder(t, 'program'), await tempFolder(t, 'webui')];
  writeFileSync(join(folder, PROGRAM), '#!/bin/sh\n', { mode: 0o755 });
  writeFileSync(join(webui, 'index.html'), '<!doctype html>');
  const payload = agentPayload({ target: TARGETS.arm64, base: 'npm', folder }, { webui });
  return writeIpk(agentPackage('aarch64_generic', payload), await tempFolder(t, 'out'), EPOCH_S);
}

describe("a board's card", needsTool('libdeflate-gzip', 'busybox'), () => {
  it('holds the package as opkg installs it into an image: ready for its first start', async (t) => {
    const [root, ipk] = [await tempFolder(t, 'card'), await smallPackage(t)];
    const settings = { disk: 'auto', lan_port: '7171' };
    await fillCard(root, { busybox: requireTool('busybox'), ipk, settings });
    const text = (name: string) => readFileSync(join(root, name), 'utf8');
    for (const name of [
      'usr/lib/hearth/hearth-agent',
      'etc/init.d/hearth',
      'sbin/board-init',
      'sbin/console',
      'sbin/procd-run',
    ])
      assert.notEqual(statSync(join(root, name)).mode & 0o100, 0, name);
    assert.ok(existsSync(join(root, 'etc/rc.d/S95hearth')), 'enabled by its postinst');
    assert.ok(existsSync(join(root, 'etc/uci-defaults/90-hearth')), 'not before the first start');
    assert.match(text('etc/passwd'), /^hearth:x:790:790:/m);
    assert.match(text('usr/lib/opkg/info/hearth-agent.list'), /^\/etc\/init\.d\/hearth$/m);
    assert.match(
      text('etc/config/hearth'),
      /option enabled '1'[\s\S]*option disk 'auto'\n\toption lan_port '7171'\n$/,
    );
    assert.equal(statSync(join(root, 'etc/config/hearth')).mode & 0o777, 0o600);
    // What a package that is none says is passed on.
    writeFileSync(join(root, 'none.ipk'), 'none');
    await assert.rejects(installPackage(join(root, 'none.ipk'), root), /tar .* failed/);
  });

  const skip = isRoot ? {} : { skip: 'needs root, for chroot' };
  it('has commands run over its console, as a system does that waits for Enter', skip, async (t) => {
    const root = await tempFolder(t, 'root');
    makeStandInRoot(root, requireTool('busybox'));
    for (const name of ['dmesg', 'uci']) {
      rmSync(join(root, 'bin', name), { force: true });
      // The kernel's console is not the test's to change.
      writeFileSync(join(root, 'bin', name), '#!/bin/sh\nexit 0\n', { mode: 0o755 });
    }
    writeFileSync(join(root, 'dev/null'), '');
    const script = "echo; echo 'Please press Enter to activate this console.'; read -r enter; exec sh";
    const child = spawn('chroot', [root, '/bin/sh', '-c', script], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: '/sbin:/bin' },
    });
    t.after(() => child.kill('SIGKILL'));
    const serial = new SerialConsole(child.stdin, child.stdout, () => {});
    const first = activateConsole(serial, {}, 60_000);
    await assert.rejects(first, /hearth-agent is not in this image/);

    await installPackage(await smallPackage(t), root);
    const awkward = `printf '%s\\n' 'a%b\\x41 "$HOME" \`x\` é' "$(seq 1 40)"; echo wrong >&2; exit 3`;
    const { code, output } = await serial.run(awkward);
    const numbers = Array.from({ length: 40 }, (_, index) => `${index + 1}\n`).join('');
    assert.equal(output, `a%b\\x41 "$HOME" \`x\` é\n${numbers}wrong\n`);
    assert.equal(code, 3);
    const killed = await serial.run('sleep 60', 1_000);
    assert.equal(killed.code, 137, 'a command that takes too long is ended');
    // Its init script is no program here: what it is told is seen.
    writeFileSync(join(root, 'etc/init.d/hearth'), '#!/bin/sh\necho "$1"\n', { mode: 0o755 });
    assert.deepEqual(await serial.run(configure({ disk: 'auto' })), { code: 0, output: 'reload\n' });
    const config = readFileSync(join(root, 'etc/config/hearth'), 'utf8');
    assert.equal(config, "config hearth 'main'\n\toption disk 'auto'\n");
    await assert.rejects(serial.run('#'.repeat(2_001)), /too long/);
  });
});
