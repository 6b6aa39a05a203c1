import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { tempFolder } from '#agent/store/store-fixture.ts';
import { AGENT_VERSION } from '#agent/version.ts';
import { needsTool, requireTool } from '#test/support/tools.ts';
import type { Executable } from '../executable/build.ts';
import { PROGRAM } from '../executable/build.ts';
import { contentsOf, ROOT_OF_TRUST } from '../payload.ts';
import { TARGETS } from '../targets.ts';
import { FEED, writeFeed } from './feed.ts';
import { agentPackage, PACKAGE_VERSION } from './packages.ts';
import { agentPayload } from './payload.ts';

const STAND_IN = path.join(import.meta.dirname, 'stand-in-sdk');
const URL = 'https://releases.example/hearth';
/** What OpenWrt calls the processors of our targets. */
const ARCHS = { armv7: 'arm', arm64: 'aarch64', x64: 'x86_64' } as const;

async function smallExecutable(t: TestContext, target: Executable['target']): Promise<Executable> {
  const folder = await tempFolder(t, 'program');
  writeFileSync(path.join(folder, PROGRAM), `#!/bin/sh\necho ${target.name}\n`, { mode: 0o755 });
  return { target, base: 'npm', folder };
}

interface Sdk {
  feed: string;
  executables: Executable[];
  payload: { webui: string; root: string };
}

/** A feed of all targets, with programs of a few bytes: its form is the same. */
async function feedOf(t: TestContext): Promise<Sdk> {
  const webui = await tempFolder(t, 'webui');
  writeFileSync(path.join(webui, 'index.html'), '<!doctype html>');
  const executables: Executable[] = [];
  for (const target of Object.values(TARGETS)) executables.push(await smallExecutable(t, target));
  const feed = path.join(await tempFolder(t, 'feed'), 'feed');
  const payload = { webui, root: '{"signed":{}}' };
  await writeFeed(executables, feed, { url: URL, epochS: 1_700_000_000, ...payload });
  return { feed, executables, payload };
}

/** What a Makefile of the feed does, by GNU make over the stand-in; not by OpenWrt's own. */
function build(feed: string, out: string, arch: string) {
  mkdirSync(out, { recursive: true });
  const variables = { TOPDIR: STAND_IN, ARCH: arch, DL_DIR: path.join(feed, 'archives'), OUT: out };
  const args = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  return promisify(execFile)(requireTool('make'), ['-C', path.join(feed, 'hearth-agent'), ...args]).then(
    () => ({ code: 0, text: '' }),
    (error: { code: number; stderr: string }) => ({ code: error.code, text: error.stderr }),
  );
}

describe('feed for an SDK', needsTool('make', 'libdeflate-gzip'), () => {
  it('takes the place of a feed, and of nothing else; what fails changes nothing', async (t) => {
    const { feed, executables, payload } = await feedOf(t);
    const before = readFileSync(path.join(feed, 'hearth-agent', 'release.mk'), 'utf8');
    const facts = { url: URL, epochS: 1_700_000_000, ...payload };
    await assert.rejects(writeFeed(executables, feed, { ...facts, webui: path.join(feed, 'none') }), {
      code: 'not_found',
    });
    assert.equal(readFileSync(path.join(feed, 'hearth-agent', 'release.mk'), 'utf8'), before);
    assert.deepEqual(readdirSync(path.dirname(feed)), ['feed'], 'nothing half made is left');
    await writeFeed(executables.slice(1), feed, facts);
    assert.notEqual(readFileSync(path.join(feed, 'hearth-agent', 'release.mk'), 'utf8'), before);
    await assert.rejects(writeFeed(executables, path.dirname(feed), facts), {
      code: 'bad_request',
      message: /has something else in it/,
    });
    assert.ok(existsSync(feed));
  });

  it('packages for each processor what its release holds, as the packages we make ourselves', async (t) => {
    const { feed, executables, payload } = await feedOf(t);
    for (const executable of executables) {
      const { name, openwrt } = executable.target;
      const out = path.join(await tempFolder(t, 'out'), name);
      const made = await build(feed, out, ARCHS[name]);
      assert.equal(made.code, 0, made.text);
      const said = (file: string) => readFileSync(path.join(out, file), 'utf8').trim();
      const files = agentPayload(executable, payload);
      const facts = agentPackage(openwrt[0] ?? '', files);
      assert.equal(said('version'), PACKAGE_VERSION);
      assert.equal(said('url'), URL);
      assert.equal(said('user'), facts.requireUser);
      assert.equal(said('section'), facts.section);
      assert.equal(said('license'), facts.license);
      assert.deepEqual(said('conffiles').split('\n'), facts.conffiles);
      assert.equal(said('description').replace(/\s+/g, ' '), facts.description);
      assert.equal(said('prerm').replace(/[{}]/g, ''), `#!/bin/sh\n${facts.prerm}`);
      const needed = said('depends')
        .split(/\s+/)
        .filter((word) => word.startsWith('+'));
      assert.deepEqual(
        needed.map((word) => word.slice(1)),
        facts.depends,
      );
      for (const file of files) {
        const installed = path.join(out, 'root', file.path);
        assert.ok(readFileSync(installed).equals(contentsOf(file)), file.path);
        assert.equal(statSync(installed).mode & 0o777, file.mode, file.path);
      }
      assert.ok(existsSync(path.join(out, 'root', ROOT_OF_TRUST)));
    }
  });

  it('takes no archive but the one whose hash it has, and for no other processor', async (t) => {
    const { feed } = await feedOf(t);
    const archive = path.join(feed, 'archives', `hearth-agent-openwrt_${AGENT_VERSION}_arm64.tar.gz`);
    appendFileSync(archive, 'x');
    assert.notEqual((await build(feed, await tempFolder(t, 'out'), 'aarch64')).code, 0);
    cpSync(archive.replace('arm64', 'armv7'), archive);
    assert.notEqual((await build(feed, await tempFolder(t, 'out'), 'aarch64')).code, 0);
    assert.notEqual((await build(feed, await tempFolder(t, 'out'), 'mips')).code, 0);
  });

  it('says what to do where there is no release in it', async (t) => {
    const { code, text } = await build(FEED, await tempFolder(t, 'out'), 'aarch64');
    assert.notEqual(code, 0);
    assert.match(text, /no release\.mk here.*npm run build:feed/);
  });
});

describe('the feed', () => {
  it('has a test that is clean by shellcheck', needsTool('shellcheck'), () => {
    const script = path.join(FEED, 'hearth-agent', 'test.sh');
    execFileSync(requireTool('shellcheck'), ['-S', 'style', script], { stdio: 'pipe' });
  });

  it('has one version', () => {
    const makefile = readFileSync(path.join(FEED, 'luci-app-hearth', 'Makefile'), 'utf8');
    assert.match(makefile, new RegExp(`^PKG_VERSION:=${AGENT_VERSION.replaceAll('.', '\\.')}$`, 'm'));
  });
});
