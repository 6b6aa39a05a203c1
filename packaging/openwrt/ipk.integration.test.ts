import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { isRoot, tempFolder, until } from '#agent/store/store-fixture.ts';
import { testPort } from '#test/support/system.ts';
import { needsTool, requireTool } from '#test/support/tools.ts';
import type { Executable } from '../executable/build.ts';
import { buildExecutable, PROGRAM } from '../executable/build.ts';
import type { Target } from '../targets.ts';
import { TARGETS } from '../targets.ts';
import { FEED } from './feed.ts';
import { writeOpkgIndex } from './feed-index.ts';
import { writeIpk } from './ipk.ts';
import { luciPayload } from './luci-payload.ts';
import { agentPackage, luciPackage, PACKAGE_VERSION } from './packages.ts';
import { agentPayload } from './payload.ts';
import { makeStandInRoot, runInRoot } from './stand-in-root.ts';
import { newSigningKey, readSigningKey } from './usign.ts';

const EPOCH_S = 1_700_000_000;
/** What one package file may have, bytes. */
const BUDGET_BYTES = 30_000_000;
const run = promisify(execFile);

/** A package whose program is a few bytes: its form is the same. */
async function smallPackage(t: Parameters<typeof tempFolder>[0], arch = 'x86_64') {
  const [folder, webui] = [await tempFolder(t, 'program'), await tempFolder(t, 'webui')];
  writeFileSync(path.join(folder, PROGRAM), '#!/bin/sh\necho "$HEARTH_STATE_DIR"\n', { mode: 0o755 });
  writeFileSync(path.join(webui, 'index.html'), '<!doctype html>');
  const executable: Executable = { target: TARGETS.x64, base: 'npm', folder };
  return agentPackage(arch, agentPayload(executable, { webui }));
}

/** Lists a tar as it is: type and mode, owner, time, name. */
function list(tar: Buffer): string[] {
  const args = ['--full-time', '--utc', '--numeric-owner', '-tvf', '-'];
  const text = execFileSync('tar', args, { input: tar, encoding: 'utf8' });
  return text
    .trim()
    .split('\n')
    .map((line) => line.replace(/\s+\d+ (\d{4}-)/, ' $1'));
}
const member = (tar: Buffer, name: string) =>
  execFileSync('tar', ['-xOf', '-', name], { input: tar, maxBuffer: 256 * 1024 * 1024 });

describe('package for opkg', needsTool('libdeflate-gzip'), () => {
  it('has the members, owners, times and control file that ipkg-build writes', async (t) => {
    const file = await writeIpk(await smallPackage(t), await tempFolder(t, 'out'), EPOCH_S);
    assert.equal(path.basename(file), 'hearth-agent_0.1.0-r1_x86_64.ipk');
    const whole = gunzipSync(readFileSync(file));
    assert.deepEqual(list(whole), [
      '-rw-r--r-- 0/0 2023-11-14 22:13:20 ./debian-binary',
      '-rw-r--r-- 0/0 2023-11-14 22:13:20 ./data.tar.gz',
      '-rw-r--r-- 0/0 2023-11-14 22:13:20 ./control.tar.gz',
    ]);
    assert.equal(member(whole, './debian-binary').toString(), '2.0\n');
    const data = gunzipSync(member(whole, './data.tar.gz'));
    const control = gunzipSync(member(whole, './control.tar.gz'));
    const entries = list(data);
    assert.ok(entries.every((line) => / 0\/0 2023-11-14 22:13:20 \.\//.test(line)));
    const names = entries.map((line) => line.split(' ').at(-1) ?? '');
    assert.deepEqual(names, [...names].sort(), 'sorted');
    for (const [mode, name] of [
      ['-rwxr-xr-x', './etc/init.d/hearth'],
      ['-rw-------', './etc/config/hearth'],
      ['-rwxr-xr-x', './usr/lib/hearth/hearth-agent'],
      ['-rw-r--r--', './lib/upgrade/keep.d/hearth-agent'],
      ['drwxr-xr-x', './usr/lib/hearth/'],
    ] as const) {
      assert.ok(
        entries.some((line) => line.startsWith(`${mode} `) && line.endsWith(` ${name}`)),
        `${mode} ${name}`,
      );
    }
    const text = member(control, './control').toString();
    const fields = Object.fromEntries(
      text.split('\n').map((line) => [line.split(':')[0], line.slice(line.indexOf(':') + 1).trim()]),
    );
    assert.equal(fields.Package, 'hearth-agent');
    assert.match(fields.Version ?? '', /^\d+(\.\d+)*-r\d+$/);
    for (const needed of ['kmod-usb-storage', 'block-mount', 'kmod-fs-ext4', 'ca-bundle']) {
      assert.ok(fields.Depends?.split(', ').includes(needed), needed);
    }
    assert.match(fields.Recommends ?? '', /kmod-fs-exfat, kmod-fs-ntfs3/);
    assert.equal(fields['Installed-Size'], String(data.length));
    assert.equal(fields['Require-User'], 'hearth=790:hearth=790');
    assert.equal(member(control, './conffiles').toString(), '/etc/config/hearth\n');
    assert.match(member(control, './postinst').toString(), /default_postinst \$0 \$@\n$/);
    assert.match(member(control, './prerm').toString(), /default_prerm \$0 \$@\n$/);
  });

  it('is the same, byte for byte, made again elsewhere, at another time, by another umask', async (t) => {
    const facts = await smallPackage(t);
    const first = readFileSync(await writeIpk(facts, await tempFolder(t, 'out'), EPOCH_S));
    const umask = process.umask(0o077);
    try {
      const second = readFileSync(await writeIpk(facts, await tempFolder(t, 'other'), EPOCH_S));
      assert.ok(first.equals(second));
      const other = readFileSync(await writeIpk(facts, await tempFolder(t, 'third'), EPOCH_S + 1));
      assert.ok(!first.equals(other), 'the time is in it');
    } finally {
      process.umask(umask);
    }
  });

  it('is found by an index that signify verifies', needsTool('signify'), async (t) => {
    const [folder, keys] = [await tempFolder(t, 'feed'), await tempFolder(t, 'keys')];
    await writeIpk(await smallPackage(t), folder, EPOCH_S);
    await writeIpk(luciPackage(luciPayload()), folder, EPOCH_S);
    const signify = requireTool('signify');
    const [theirs, ours] = [path.join(keys, 'theirs'), path.join(keys, 'ours')];
    execFileSync(signify, ['-G', '-n', '-s', `${theirs}.sec`, '-p', `${theirs}.pub`]);
    const made = newSigningKey();
    writeFileSync(`${ours}.sec`, made.secret);
    writeFileSync(`${ours}.pub`, made.public);
    for (const key of [theirs, ours]) {
      await writeOpkgIndex(folder, readSigningKey(readFileSync(`${key}.sec`, 'utf8')));
      const index = path.join(folder, 'Packages');
      const verify = ['-V', '-p', `${key}.pub`, '-x', `${index}.sig`, '-m', index];
      execFileSync(signify, verify, { stdio: 'pipe' });
      const text = readFileSync(index);
      assert.ok(gunzipSync(readFileSync(`${index}.gz`)).equals(text));
      writeFileSync(index, text.toString().replace('Version: 0', 'Version: 9'));
      assert.throws(() => execFileSync(signify, verify, { stdio: 'pipe' }), 'a changed index');
    }
    // signify can sign with a key of ours, too: it is whole.
    writeFileSync(path.join(keys, 'x'), 'x');
    execFileSync(signify, ['-S', '-s', `${ours}.sec`, '-m', path.join(keys, 'x')], { stdio: 'pipe' });
    const entries = readFileSync(path.join(folder, 'Packages'), 'utf8').trim().split('\n\n');
    assert.equal(entries.length, 2);
    for (const entry of entries) {
      const name = /^Filename: (.*)$/m.exec(entry)?.[1] ?? '';
      const file = path.join(folder, name);
      assert.equal(Number(/^Size: (\d+)$/m.exec(entry)?.[1]), statSync(file).size);
      const { stdout } = await run('sha256sum', [file]);
      assert.equal(/^SHA256sum: (\w+)$/m.exec(entry)?.[1], stdout.split(' ')[0]);
    }
    assert.throws(() => readSigningKey('untrusted comment: x\nAAAA\n'), /usign -G/);
  });
});

const made = new Map<Target['name'], Promise<string>>();
/** The package as it ships, made once for all tests. */
function realPackage(target: Target): Promise<string> {
  const file = made.get(target.name) ?? makePackage(target);
  made.set(target.name, file);
  return file;
}
const out = mkdtempSync(path.join(tmpdir(), 'hearth-real-'));
after(() => rmSync(out, { recursive: true }));
async function makePackage(target: Target): Promise<string> {
  const files = agentPayload(await buildExecutable({ target, base: 'npm' }));
  return writeIpk(agentPackage(target.openwrt[0] ?? '', files), out, EPOCH_S);
}

describe('package for opkg, real', needsTool('libdeflate-gzip', 'dpkg-deb'), () => {
  for (const target of Object.values(TARGETS) as Target[]) {
    it(`keeps to its budget of ${BUDGET_BYTES / 1e6} MB for ${target.name}`, async (t) => {
      const file = await realPackage(target);
      const sizeBytes = statSync(file).size;
      t.diagnostic(`${path.basename(file)}: ${(sizeBytes / 1e6).toFixed(1)} MB`);
      assert.ok(sizeBytes < BUDGET_BYTES, `${sizeBytes} bytes`);
    });
  }
});

const skip = isRoot ? {} : { skip: 'needs root, for chroot' };

describe('installed package', { ...skip, ...needsTool('libdeflate-gzip', 'dpkg-deb', 'busybox') }, () => {
  it('makes its user, starts by its own files as that user, serves, and leaves', async (t) => {
    const [lanPort, contentPort] = [await testPort(), await testPort()];
    const root = await tempFolder(t, 'root');
    makeStandInRoot(root, requireTool('busybox'));
    const ipk = gunzipSync(readFileSync(await realPackage(TARGETS.x64)));
    // As opkg does: the files, what the package says of itself, then its script.
    const info = path.join(root, 'usr/lib/opkg/info');
    mkdirSync(info, { recursive: true });
    execFileSync('tar', ['-xzf', '-', '-C', root], { input: member(ipk, './data.tar.gz') });
    const control = member(ipk, './control.tar.gz');
    for (const name of ['control', 'postinst', 'prerm', 'prerm-pkg', 'conffiles']) {
      const file = path.join(info, `hearth-agent.${name}`);
      writeFileSync(file, member(gunzipSync(control), `./${name}`), { mode: 0o755 });
    }
    const names = list(gunzipSync(member(ipk, './data.tar.gz'))).map((line) =>
      line.split(' ').at(-1)?.slice(1),
    );
    writeFileSync(path.join(info, 'hearth-agent.list'), `${names.join('\n')}\n`);
    writeFileSync(
      path.join(root, 'etc/config/hearth'),
      `config hearth 'main'\n\toption bind '127.0.0.1'\n\toption lan_port '${lanPort}'\n\toption content_port '${contentPort}'\n\toption port_mapping '0'\n`,
    );
    // The sysctl of this machine is not the test's to set.
    rmSync(path.join(root, 'bin/sysctl'));
    writeFileSync(path.join(root, 'bin/sysctl'), '#!/bin/sh\n', { mode: 0o755 });

    const installed = await runInRoot(root, '/usr/lib/opkg/info/hearth-agent.postinst configure');
    assert.equal(installed.code, 0, installed.stderr);
    assert.match(readFileSync(path.join(root, 'etc/passwd'), 'utf8'), /^hearth:x:790:790:/m);
    assert.match(
      readFileSync(path.join(root, 'etc/sysctl.d/90-hearth.conf'), 'utf8'),
      /tcp_wmem = 4096 16384 \d+/,
    );
    assert.ok(!existsSync(path.join(root, 'etc/uci-defaults/90-hearth')), 'runs once');
    assert.ok(existsSync(path.join(root, 'etc/rc.d/S95hearth')));
    cpSync(path.join(FEED, 'hearth-agent', 'test.sh'), path.join(root, 'tmp/test.sh'));
    const tested = await runInRoot(root, `sh /tmp/test.sh hearth-agent ${PACKAGE_VERSION}`);
    assert.equal(tested.code, 0, tested.stderr);
    const other = await runInRoot(root, 'sh /tmp/test.sh hearth-agent 9.9.9-r1');
    assert.match(other.stderr, /this is not version 9\.9\.9/);
    assert.equal(other.code, 1);

    let said = '';
    const running = runInRoot(
      root,
      // Ends with the test: the shell is the parent of what procd would have started.
      `procd-run hearth > /tmp/out 2>&1 & pid=$!
      tries=0
      until [ -e /tmp/end ] || [ $tries -ge 90 ]; do tries=$((tries + 1)); sleep 1; done
      cat /proc/$pid/status; kill $pid; wait $pid; echo ended $?`,
    );
    try {
      await until(
        () => {
          said = existsSync(path.join(root, 'tmp/out'))
            ? readFileSync(path.join(root, 'tmp/out'), 'utf8')
            : '';
          return said.includes('"msg":"ready"');
        },
        'the agent is ready',
        60_000,
      ).catch((error: unknown) => {
        throw new Error(said, { cause: error });
      });
      assert.equal((await fetch(`http://127.0.0.1:${lanPort}/`)).status, 200);
      assert.equal((await fetch(`http://127.0.0.1:${contentPort}/nothing`)).status, 404);
      assert.match(await (await fetch(`http://127.0.0.1:${lanPort}/`)).text(), /<script/);
    } finally {
      writeFileSync(path.join(root, 'tmp/end'), '');
    }
    const { stdout } = await running;
    assert.match(stdout, /^Uid:\s+790\s+790/m);
    assert.match(stdout, /ended 0/);
    assert.equal(statSync(path.join(root, 'etc/hearth')).uid, 790);

    const removed = await runInRoot(root, '/usr/lib/opkg/info/hearth-agent.prerm remove');
    assert.equal(removed.code, 0, removed.stderr);
    assert.ok(!existsSync(path.join(root, 'etc/rc.d/S95hearth')));
    assert.ok(!existsSync(path.join(root, 'etc/sysctl.d/90-hearth.conf')));
    assert.ok(!existsSync(path.join(root, 'run/procd/hearth')));
  });

  it('installs into an image that is being built: offline, nothing started, no error', async (t) => {
    const root = await tempFolder(t, 'image');
    makeStandInRoot(root, requireTool('busybox'));
    const facts = await smallPackage(t);
    const ipk = gunzipSync(readFileSync(await writeIpk(facts, await tempFolder(t, 'out'), EPOCH_S)));
    const info = path.join(root, 'usr/lib/opkg/info');
    mkdirSync(info, { recursive: true });
    execFileSync('tar', ['-xzf', '-', '-C', root], { input: member(ipk, './data.tar.gz') });
    const control = gunzipSync(member(ipk, './control.tar.gz'));
    for (const name of ['control', 'postinst', 'prerm', 'prerm-pkg']) {
      writeFileSync(path.join(info, `hearth-agent.${name}`), member(control, `./${name}`), { mode: 0o755 });
    }
    writeFileSync(path.join(info, 'hearth-agent.list'), facts.files.map((file) => `${file.path}\n`).join(''));
    const env = { PATH: process.env.PATH, IPKG_INSTROOT: root };
    execFileSync('sh', [path.join(info, 'hearth-agent.postinst'), 'configure'], { env, stdio: 'pipe' });
    assert.ok(existsSync(path.join(root, 'etc/rc.d/S95hearth')));
    assert.ok(
      existsSync(path.join(root, 'etc/uci-defaults/90-hearth')),
      'runs on the box, at its first start',
    );
    assert.match(readFileSync(path.join(root, 'etc/group'), 'utf8'), /^hearth:x:790:/m);
    assert.ok(!existsSync(path.join(root, 'run/procd')));
    execFileSync('sh', [path.join(info, 'hearth-agent.prerm'), 'remove'], { env, stdio: 'pipe' });
  });

  const opkg = process.env.OPKG;
  it(
    "is taken by OpenWrt's own opkg",
    opkg ? {} : { skip: 'needs opkg of OpenWrt: OPKG=FILE' },
    async (t) => {
      const [root, feed] = [await tempFolder(t, 'offline'), await tempFolder(t, 'feed')];
      const facts = await smallPackage(t);
      await writeIpk(facts, feed, EPOCH_S);
      // What it needs and one of what it recommends are in the feed; the others are nowhere.
      for (const name of [...facts.depends, 'kmod-fs-exfat']) {
        const other = { ...luciPackage([]), name, arch: 'x86_64', depends: [] };
        await writeIpk(other, feed, EPOCH_S);
      }
      await writeOpkgIndex(feed, null);
      const conf = path.join(feed, 'opkg.conf');
      writeFileSync(
        conf,
        `src/gz feed file://${feed}\ndest root /\nlists_dir ext /var/opkg-lists\narch all 1\narch x86_64 2\n`,
      );
      mkdirSync(path.join(root, 'var/lock'), { recursive: true });
      mkdirSync(path.join(root, 'tmp'));
      const ask = (...args: string[]) => run(opkg ?? '', ['--offline-root', root, '-f', conf, ...args]);
      await ask('update');
      const { stdout } = await ask('install', 'hearth-agent');
      assert.match(stdout, /Installing hearth-agent \(0\.1\.0-r1\) to root/);
      const listed = (await ask('list-installed')).stdout;
      for (const name of ['hearth-agent', ...facts.depends, 'kmod-fs-exfat']) {
        assert.match(listed, new RegExp(`^${name} - 0\\.1\\.0-r1`, 'm'));
      }
      assert.doesNotMatch(listed, /kmod-fs-ntfs3/);
      assert.ok(existsSync(path.join(root, 'etc/init.d/hearth')));
      // Settings that were changed stay.
      writeFileSync(path.join(root, 'etc/config/hearth'), 'changed');
      await ask('install', '--force-reinstall', 'hearth-agent');
      assert.equal(readFileSync(path.join(root, 'etc/config/hearth'), 'utf8'), 'changed');
      await ask('remove', 'hearth-agent');
      assert.ok(!existsSync(path.join(root, 'etc/init.d/hearth')));
    },
  );
});
