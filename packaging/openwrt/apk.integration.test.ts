import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { tempFolder } from '#agent/store/store-fixture.ts';
import { PROGRAM } from '../executable/build.ts';
import { TARGETS } from '../targets.ts';
import { findApk, writeApk, writeApkIndex } from './apk.ts';
import { agentPackage, luciPackage } from './packages.ts';
import { agentPayload } from './payload.ts';

const EPOCH_S = 1_700_000_000;
const ARCH = 'aarch64_cortex-a53';

/** The real tool, where it is: it is in every SDK and ImageBuilder of OpenWrt 25.12, and not in Debian. */
function realApk(): string | null {
  try {
    return findApk();
  } catch {
    return null;
  }
}
const apk = realApk();
const needsApk = apk === null ? { skip: 'needs apk-tools 3: APK=FILE' } : {};

/** A package whose program is a few bytes: its form is the same. */
async function smallPackage(t: TestContext) {
  const [program, webui] = [await tempFolder(t, 'program'), await tempFolder(t, 'webui')];
  writeFileSync(path.join(program, PROGRAM), '#!/bin/sh\n', { mode: 0o755 });
  writeFileSync(path.join(webui, 'index.html'), '<!doctype html>');
  return agentPackage(ARCH, agentPayload({ target: TARGETS.arm64, base: 'npm', folder: program }, { webui }));
}

describe('package for apk', () => {
  it('says which tool is missing, where it is to be had, and what to do without it', async (t) => {
    const main = path.join(import.meta.dirname, 'main.ts');
    const env = { ...process.env, APK: path.join(await tempFolder(t, 'nothing'), 'apk') };
    const failed = await promisify(execFile)(process.execPath, [main, 'apk'], { env }).then(
      () => null,
      (error: { code: number; stderr: string }) => error,
    );
    assert.equal(failed?.code, 1);
    assert.match(failed.stderr, /there is no .*apk.*apk-tools 3.*APK=FILE.*npm run build:ipk/);
  });

  it('is made, indexed and verified by apk itself, the same twice', needsApk, async (t) => {
    const facts = await smallPackage(t);
    const made: Buffer[] = [];
    for (const name of ['first', 'second']) {
      const folder = await tempFolder(t, name);
      const key = path.join(folder, 'key.pem');
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
      writeFileSync(key, privateKey.export({ type: 'sec1', format: 'pem' }));
      const file = await writeApk(apk ?? '', facts, folder, EPOCH_S);
      await writeApkIndex(apk ?? '', folder, key, EPOCH_S);
      made.push(readFileSync(file));
      // Not Alpine's tar: OpenWrt's apk reads the database format alone.
      assert.equal(made.at(-1)?.subarray(0, 3).toString(), 'ADB');
      execFileSync(apk ?? '', ['verify', '--allow-untrusted', file], { stdio: 'pipe' });
      const dump = execFileSync(apk ?? '', ['adbdump', path.join(folder, 'packages.adb')], {
        encoding: 'utf8',
      });
      assert.match(dump, /name: hearth-agent/);
      assert.match(dump, /arch: aarch64_cortex-a53/);
    }
    assert.ok(made[0]?.equals(made[1] ?? Buffer.alloc(0)));
  });

  it('is installed by apk with what it needs, and removed again', needsApk, async (t) => {
    const [feed, root] = [await tempFolder(t, 'feed'), await tempFolder(t, 'root')];
    const facts = await smallPackage(t);
    await writeApk(apk ?? '', facts, feed, EPOCH_S);
    for (const name of [...facts.depends, 'kmod-fs-exfat']) {
      await writeApk(apk ?? '', { ...luciPackage([]), name, depends: [] }, feed, EPOCH_S);
    }
    await writeApkIndex(apk ?? '', feed, null, EPOCH_S);
    const repository = ['--repository', path.join(feed, 'packages.adb')];
    const ask = (...args: string[]) =>
      execFileSync(apk ?? '', ['--root', root, '--arch', ARCH, '--allow-untrusted', ...repository, ...args], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      });
    // The scripts call what is on a box: the ipk's suite runs them in a root that has it.
    ask('add', '--initdb', '--no-scripts', 'hearth-agent');
    const listed = ask('list', '--installed');
    for (const name of ['hearth-agent', ...facts.depends])
      assert.match(listed, new RegExp(`^${name}-0`, 'm'));
    for (const file of facts.files) assert.ok(existsSync(path.join(root, file.path)), file.path);
    assert.equal(statSync(path.join(root, '/etc/config/hearth')).mode & 0o777, 0o600);
    ask('del', '--no-scripts', 'hearth-agent');
    assert.ok(!existsSync(path.join(root, '/etc/init.d/hearth')));
  });
});
