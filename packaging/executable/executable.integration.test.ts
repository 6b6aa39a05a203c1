import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, globSync, lstatSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { AgentProgram } from '#agent/agent-fixture.ts';
import { killAgents, startAgent } from '#agent/agent-fixture.ts';
import { tempFolder, until } from '#agent/store/store-fixture.ts';
import { needsTool } from '#test/support/tools.ts';
import type { Target } from '../targets.ts';
import { TARGETS } from '../targets.ts';
import type { Executable } from './build.ts';
import { buildExecutable } from './build.ts';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const run = promisify(execFile);

/** As a box of that processor would start it; an emulated one by what the launcher would start. */
function programOf({ target, folder }: Executable): AgentProgram {
  const script = path.join(folder, 'hearth-agent');
  if (target.name === 'x64') return { node: '/bin/sh', script };
  const lib = path.join(folder, 'lib');
  const loader = [path.join(lib, target.loader), '--library-path', lib, path.join(folder, 'node.bin')];
  return { node: target.qemu, before: loader, script: path.join(folder, 'agent', 'main.cjs') };
}

/** The SHA-256 of every file, and its mode. */
function contents(folder: string): Record<string, string> {
  const files = globSync('**', { cwd: folder }).filter((file) => lstatSync(path.join(folder, file)).isFile());
  return Object.fromEntries(
    files.sort().map((file) => {
      const whole = path.join(folder, file);
      const hash = createHash('sha256').update(readFileSync(whole)).digest('hex');
      return [file, `${hash} ${(lstatSync(whole).mode & 0o777).toString(8)}`];
    }),
  );
}

describe('executable with the Node of npm', needsTool('dpkg-deb', 'qemu-arm', 'git'), () => {
  for (const target of Object.values(TARGETS) as Target[]) {
    describe(target.name, () => {
      let built: Executable;
      before(async () => {
        built = await buildExecutable({ target, base: 'npm' });
      });

      it('starts, answers on both ports, and stops when told to', async (t) => {
        t.after(() => killAgents(t));
        const env = {
          HEARTH_STATE_DIR: await tempFolder(t, 'state'),
          HEARTH_DISK: await tempFolder(t, 'disk'),
        };
        const agent = await startAgent(t, env, programOf(built));
        assert.equal((await fetch(`${agent.lanUrl}/api/session`)).status, 200);
        assert.equal((await fetch(`${agent.contentUrl}/nothing`)).status, 404);
        assert.equal(await agent.stop(), 0);
      });

      // An emulator is not passed on to the processes that an emulated one starts.
      const native = target.name === 'x64' ? it : null;
      native?.('serves by more than one process', async (t) => {
        t.after(() => killAgents(t));
        const env = {
          HEARTH_STATE_DIR: await tempFolder(t, 'state'),
          HEARTH_DISK: await tempFolder(t, 'disk'),
          HEARTH_WORKERS: '2',
        };
        const agent = await startAgent(t, env, programOf(built));
        await until(
          async () => (await fetch(`${agent.contentUrl}/nothing`)).status === 404,
          'a worker answers',
        );
        assert.equal(await agent.stop(), 0);
      });

      it('knows numbers, dates and letters without the languages that were left out', async () => {
        const { node, before: first = [] } = programOf(built);
        const lib = path.join(built.folder, 'lib');
        const loader = [
          path.join(lib, target.loader),
          '--library-path',
          lib,
          path.join(built.folder, 'node.bin'),
        ];
        const [program, args] = target.name === 'x64' ? [loader[0] ?? '', loader.slice(1)] : [node, first];
        const script = `console.log(JSON.stringify([
          (1234.5).toLocaleString('en'), new Date(0).toLocaleString('en-US', { timeZone: 'Asia/Shanghai' }),
          (1234.5).toLocaleString('de-AT'), 'e\\u0301'.normalize('NFC').length, 'STRASSE'.toLowerCase(),
          ['b', 'ä', 'a'].sort(new Intl.Collator('en').compare).join(''), new URL('http://bücher.example').host,
          new TextDecoder().decode(new Uint8Array([0xe4, 0xb8, 0xad])), process.versions.node.split('.')[0],
        ]))`;
        const { stdout } = await run(program, [...args, '-e', script]);
        assert.deepEqual(JSON.parse(stdout.replaceAll('\u202f', ' ')), [
          ...['1,234.5', '1/1/1970, 8:00:00 AM', '1,234.5', 1, 'strasse', 'aäb', 'xn--bcher-kva.example'],
          ...['中', target.node.split('@')[1]?.split('.')[0]],
        ]);
      });
    });
  }

  it('is the same, byte for byte, built from the same sources in another folder', async (t) => {
    const copies = [
      await tempFolder(t, 'checkout'),
      path.join(await tempFolder(t, 'other'), 'a', 'deeper', 'one'),
    ];
    const [first = '', second = ''] = copies;
    const { stdout } = await run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
      cwd: ROOT,
    });
    const sources =
      /^(protocol|shaping|device-agent|webui|firmware|packaging)\/.*\.(ts|json|sh)$|^package\.json$/;
    for (const file of stdout.split('\0').filter((name) => sources.test(name))) {
      mkdirSync(path.dirname(path.join(first, file)), { recursive: true });
      cpSync(path.join(ROOT, file), path.join(first, file));
    }
    cpSync(first, second, { recursive: true });
    for (const [index, copy] of copies.entries()) {
      symlinkSync(path.join(ROOT, 'node_modules'), path.join(copy, 'node_modules'));
      const main = path.join(copy, 'packaging', 'executable', 'main.ts');
      const args = ['--preserve-symlinks', main, '--target', 'armv7', '--base', 'npm'];
      const env = { ...process.env, TZ: index === 0 ? 'UTC' : 'Asia/Tokyo' };
      await run(
        'sh',
        ['-c', 'umask "$0"; exec "$@"', index === 0 ? '022' : '077', process.execPath, ...args],
        {
          cwd: copy,
          env,
        },
      );
    }
    const [one, other] = copies.map((copy) => contents(path.join(copy, 'dist', 'executables', 'armv7-npm')));
    assert.ok(Object.keys(one ?? {}).length > 10);
    assert.deepEqual(one, other);
  });
});

describe('executable with the static Node of pkg', () => {
  it('says what cannot be downloaded, where it would go, and what else there is', async (t) => {
    const cache = await tempFolder(t, 'pkg');
    const main = path.join(import.meta.dirname, 'main.ts');
    // A proxy nobody listens at: the network may be there, and an hour's download is no test.
    const env = {
      ...process.env,
      PKG_CACHE_PATH: cache,
      HTTPS_PROXY: 'http://127.0.0.1:9',
      NODE_USE_ENV_PROXY: '1',
    };
    const failed = await run(process.execPath, [main, '--target', 'armv7'], { env }).then(
      () => null,
      (error: { code: number; stderr: string }) => error,
    );
    assert.equal(failed?.code, 1);
    assert.match(failed.stderr, /node-v22[\d.]+-linuxstatic-armv7 cannot be downloaded here/);
    assert.ok(failed.stderr.includes(path.join(cache, 'v3.6')), failed.stderr);
    assert.match(failed.stderr, /--base npm/);
  });
});
