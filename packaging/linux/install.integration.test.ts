import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { isRoot, tempFolder } from '#agent/store/store-fixture.ts';
import { needsTool, requireTool } from '#test/support/tools.ts';
import { PROGRAM } from '../executable/build.ts';
import { newSigningKey, readSigningKey } from '../openwrt/usign.ts';
import { TARGETS } from '../targets.ts';
import { writeRelease } from './build.ts';

const INSTALL = path.join(import.meta.dirname, 'install.sh');
const SERVICE = path.join(import.meta.dirname, 'hearth.service');
const EPOCH_S = 1_700_000_000;
const here = { arm: TARGETS.armv7, arm64: TARGETS.arm64, x64: TARGETS.x64 }[process.arch as string];

interface Release {
  folder: string;
  key: string;
  root: string;
}

/** A release whose program says who it is, signed. */
async function release(t: TestContext, says: string): Promise<Release> {
  const [program, webui] = [await tempFolder(t, 'program'), await tempFolder(t, 'webui')];
  writeFileSync(path.join(program, PROGRAM), `#!/bin/sh\necho ${says}\n`, { mode: 0o755 });
  writeFileSync(path.join(webui, 'index.html'), '<!doctype html>');
  const made = newSigningKey();
  const folder = path.join(await tempFolder(t, 'release'), 'out');
  await writeRelease([{ target: here ?? TARGETS.x64, base: 'npm', folder: program }], folder, {
    ...{ epochS: EPOCH_S, key: readSigningKey(made.secret), webui },
  });
  const key = path.join(await tempFolder(t, 'key'), 'key.pub');
  writeFileSync(key, made.public);
  return { folder, key, root: await tempFolder(t, 'root') };
}

function install(...args: string[]) {
  return promisify(execFile)('sh', [INSTALL, ...args]).then(
    ({ stdout }) => ({ code: 0, text: stdout }),
    (error: { code: number; stderr: string }) => ({ code: error.code, text: error.stderr }),
  );
}

const skip = !isRoot
  ? { skip: 'needs root' }
  : here === undefined
    ? { skip: `no build for ${process.arch}` }
    : {};

describe('install.sh', { ...skip, ...needsTool('libdeflate-gzip', 'openssl') }, () => {
  it('installs what is signed, replaces it whole, keeps settings, and removes it', async (t) => {
    const { folder, key, root } = await release(t, 'first');
    const first = await install('--from', folder, '--key', key, '--root', root);
    assert.equal(first.code, 0, first.text);
    const program = path.join(root, 'usr/lib/hearth', PROGRAM);
    assert.equal(execFileSync(program, { encoding: 'utf8' }), 'first\n');
    assert.ok(existsSync(path.join(root, 'etc/systemd/system/hearth.service')));
    assert.ok(existsSync(path.join(root, 'usr/share/hearth/webui/index.html')));
    const options = path.join(root, 'etc/hearth/options');
    assert.equal(statSync(options).mode & 0o777, 0o600);
    writeFileSync(options, 'HEARTH_LAN_PORT=8070\n');
    mkdirSync(path.join(root, 'var/lib/hearth'), { recursive: true });

    const next = await release(t, 'second');
    // The key may be given as its second line, as on a web page.
    const line = readFileSync(next.key, 'utf8').split('\n')[1] ?? '';
    const again = await install('--from', next.folder, '--key', line, '--root', root);
    assert.equal(again.code, 0, again.text);
    assert.equal(execFileSync(program, { encoding: 'utf8' }), 'second\n');
    assert.equal(readFileSync(options, 'utf8'), 'HEARTH_LAN_PORT=8070\n');

    assert.equal((await install('--uninstall', '--root', root)).code, 0);
    assert.ok(!existsSync(path.join(root, 'usr/lib/hearth')));
    assert.ok(!existsSync(path.join(root, 'etc/systemd/system/hearth.service')));
    assert.ok(existsSync(options) && existsSync(path.join(root, 'var/lib/hearth')));
    assert.equal((await install('--uninstall', '--purge', '--root', root)).code, 0);
    assert.ok(!existsSync(options) && !existsSync(path.join(root, 'var/lib/hearth')));
  });

  it('installs nothing that is not signed by the key, or not what was signed', async (t) => {
    const { folder, key, root } = await release(t, 'first');
    const other = path.join(await tempFolder(t, 'other'), 'key.pub');
    writeFileSync(other, newSigningKey().public);
    const refused = async (wanted: RegExp, ...args: string[]) => {
      const { code, text } = await install('--root', root, ...args);
      assert.equal(code, 1, text);
      assert.match(text, wanted);
      assert.ok(!existsSync(path.join(root, 'usr')), 'nothing was installed');
    };
    await refused(/not of this key/, '--from', folder, '--key', other);
    await refused(/no public key/, '--from', folder, '--key', 'AAAA');
    await refused(/--from and --key/, '--from', folder);
    await refused(/there is no .*SHA256SUMS/, '--from', path.join(folder, 'nowhere'), '--key', key);
    const archive = path.join(folder, `hearth-agent_0.1.0_${here?.name}.tar.gz`);
    const bytes = readFileSync(archive);
    writeFileSync(archive, Buffer.concat([bytes, Buffer.from([0])]));
    await refused(/not what SHA256SUMS says/, '--from', folder, '--key', key);
    writeFileSync(archive, bytes);
    const sums = path.join(folder, 'SHA256SUMS');
    writeFileSync(sums, `${readFileSync(sums, 'utf8')}\n`);
    await refused(/not of this key/, '--from', folder, '--key', key);
  });
});

describe('files for Linux', () => {
  it('are clean by shellcheck', needsTool('shellcheck'), () => {
    execFileSync(requireTool('shellcheck'), ['-S', 'style', INSTALL], { stdio: 'pipe' });
  });

  it(
    'are a unit that systemd takes, and that keeps the agent in',
    needsTool('systemd-analyze'),
    async (t) => {
      const unit = path.join(await tempFolder(t, 'unit'), 'hearth.service');
      // The program is not installed here.
      writeFileSync(unit, readFileSync(SERVICE, 'utf8').replace(/^ExecStart=.*/m, 'ExecStart=/bin/true'));
      const tool = requireTool('systemd-analyze');
      execFileSync(tool, ['verify', '--man=no', unit], { stdio: 'pipe' });
      const args = ['security', '--offline=true', '--no-pager', unit];
      const said = execFileSync(tool, args, { encoding: 'utf8' });
      const exposure = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(said)?.[1]);
      assert.ok(exposure < 3, said);
    },
  );

  it('name options the agent has', () => {
    const set = readFileSync(SERVICE, 'utf8').match(/HEARTH_\w+(?==)/g) ?? [];
    assert.deepEqual(set, ['HEARTH_NAME', 'HEARTH_STATE_DIR', 'HEARTH_WEBUI_DIR']);
  });
});
