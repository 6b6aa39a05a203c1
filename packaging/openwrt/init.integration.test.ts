import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, it } from 'node:test';
import * as z from 'zod';
import { environmentSchema, readOptions } from '#agent/options.ts';
import { MOST_WORKERS } from '#agent/serve/workers/count.ts';
import { isRoot, tempFolder } from '#agent/store/store-fixture.ts';
import { needsTool, requireTool } from '#test/support/tools.ts';
import { stage } from '../payload.ts';
import { serviceFiles } from './payload.ts';
import type { Said } from './stand-in-root.ts';
import { callsOf, makeStandInRoot, runInRoot } from './stand-in-root.ts';

const INIT = path.join(import.meta.dirname, 'files/etc/init.d/hearth');
/** Set by the package itself, and one that would put content on the flash: no options of a box. */
const NOT_FOR_BOXES = ['HEARTH_WEBUI_DIR', 'HEARTH_DISK_ON_ROOT'];
/** Options of the service, not of the agent. */
const OF_THE_SERVICE = ['enabled', 'open_wan'];

/** The options as the init script declares them: name, type, default. */
function declared(): Map<string, { type: string; fallback: string | undefined }> {
  const tuples = readFileSync(INIT, 'utf8').matchAll(
    /^\t\t'(\w+):((?:[^':(]|\((?:[^()]|\([^()]*\))*\))+)(?::([^']*))?'/gm,
  );
  return new Map([...tuples].map(([, name = '', type = '', fallback]) => [name, { type, fallback }]));
}

const ROOT = isRoot ? {} : { skip: 'needs root, for chroot' };

describe('options of /etc/config/hearth', () => {
  const schema = z.toJSONSchema(environmentSchema, { io: 'input', unrepresentable: 'any' });
  const properties = (schema.properties ?? {}) as Record<string, Record<string, unknown>>;

  it("are the agent's, one for one", () => {
    const agents = Object.keys(properties).filter((name) => !NOT_FOR_BOXES.includes(name));
    const wanted = agents.map((name) => name.replace(/^HEARTH_/, '').toLowerCase());
    const found = [...declared().keys()].filter((name) => !OF_THE_SERVICE.includes(name));
    assert.deepEqual(found.sort(), wanted.sort());
    const script = readFileSync(INIT, 'utf8');
    for (const name of wanted) {
      const upper = name.toUpperCase();
      assert.match(script, new RegExp(`option_to_env ${upper} ("\\$${name}"|on)`), `${name} is passed on`);
    }
  });

  it('have the same bounds, choices and defaults', () => {
    for (const [name, { type, fallback }] of declared()) {
      const property = properties[`HEARTH_${name.toUpperCase()}`];
      if (!property) continue;
      const range = /^range\((\d+),(\d+)\)$/.exec(type);
      if (range) {
        const { minimum, maximum } = property;
        // The agent takes port 0 for any free one, which is of no use on a box.
        assert.equal(Number(range[1]), name.endsWith('_port') ? 1 : minimum, `${name}: least`);
        assert.equal(Number(range[2]), maximum, `${name}: most`);
      }
      if (name === 'workers') assert.equal(type, `or("auto",range(1,${MOST_WORKERS}))`);
      const choices = /^or\(([^()]*)\)$/.exec(type);
      if (choices) assert.deepEqual(JSON.parse(`[${choices[1]}]`), property.enum, name);
      if (fallback !== undefined && 'default' in property)
        assert.equal(fallback, String(property.default), name);
    }
  });

  it('take no port that uhttpd, dnsmasq or dropbear have', () => {
    const ports = [...declared()]
      .filter(([name]) => name.endsWith('_port'))
      .map(([, { fallback }]) => fallback);
    assert.equal(ports.length, 3);
    for (const taken of ['22', '53', '80', '443']) assert.ok(!ports.includes(taken));
  });
});

describe('shell of the package', needsTool('shellcheck'), () => {
  it('is clean by shellcheck', () => {
    const files = serviceFiles()
      .map(({ source }) => ('file' in source ? source.file : ''))
      .filter((file) => readFileSync(file, 'utf8').startsWith('#!/bin/sh'));
    const standIn = globSync('stand-in/{etc,lib,sbin}/**', { cwd: import.meta.dirname })
      .map((name) => path.join(import.meta.dirname, name))
      .filter((file) => lstatSync(file).isFile());
    assert.ok(files.length >= 5 && standIn.length >= 5);
    execFileSync(requireTool('shellcheck'), ['-s', 'dash', '-S', 'style', ...files, ...standIn], {
      stdio: 'pipe',
    });
  });
});

describe('init script under busybox ash', { ...ROOT, ...needsTool('busybox') }, () => {
  /** A box with the package's files and this configuration. */
  async function box(t: TestContext, config: string): Promise<{ root: string; init: Init }> {
    const root = await tempFolder(t, 'root');
    makeStandInRoot(root, requireTool('busybox'));
    stage(serviceFiles(), root);
    writeFileSync(path.join(root, 'etc/passwd'), 'root:x:0:0:::/bin/ash\nhearth:x:790:790:::/bin/false\n');
    writeFileSync(path.join(root, 'etc/group'), 'root:x:0:\nhearth:x:790:\n');
    writeFileSync(path.join(root, 'sbin/ujail'), '', { mode: 0o755 });
    writeFileSync(path.join(root, 'etc/config/hearth'), `config hearth 'main'\n${config}`);
    const init = (action: string, before?: string) => runInRoot(root, `/etc/init.d/hearth ${action}`, before);
    return { root, init };
  }
  type Init = (action: string, before?: string) => Promise<Said>;

  /** What one kind of call was told, over all of them. */
  const told = (root: string, ...head: string[]) =>
    callsOf(root, 'hearth')
      .filter((call) => head.every((word, index) => call[index] === word))
      .flatMap((call) => call.slice(head.length));
  const environment = (root: string) =>
    Object.fromEntries(
      [...told(root, 'set_param', 'env'), ...told(root, 'append_param', 'env')].map((word) => {
        const at = word.indexOf('=');
        return [word.slice(0, at), word.slice(at + 1)];
      }),
    );

  it('describes a service that is its own user, without rights, for ever', async (t) => {
    const { root, init } = await box(t, "\toption enabled '1'\n");
    const said = await init('start');
    assert.deepEqual([said.code, said.stderr.match(/not started/)], [0, null]);
    assert.deepEqual(told(root, 'set_param', 'command'), ['/usr/lib/hearth/hearth-agent']);
    assert.deepEqual(told(root, 'set_param', 'user'), ['hearth']);
    assert.deepEqual(told(root, 'set_param', 'respawn').at(-1), '0');
    // By the second a setting whose last letters alone changed is seen too: procd's comparison of env leaves them out.
    assert.deepEqual(told(root, 'set_param', 'file'), ['/usr/lib/hearth/build-id', '/etc/config/hearth']);
    assert.deepEqual(told(root, 'add_jail'), ['hearth']);
    assert.deepEqual(told(root, 'set_param', 'no_new_privs'), ['1']);
    const [capabilities = ''] = told(root, 'set_param', 'capabilities');
    const granted = new Set(
      Object.values(JSON.parse(readFileSync(path.join(root, capabilities), 'utf8'))).flat(),
    );
    assert.deepEqual([...granted], ['CAP_NET_BIND_SERVICE']);
    assert.deepEqual(told(root, 'set_param', 'stdout'), ['1']);
    assert.deepEqual(told(root, 'set_param', 'stderr'), ['1']);
    assert.deepEqual(told(root, 'add_reload_trigger'), ['hearth']);
    assert.deepEqual(told(root, 'add_mdns_service').slice(0, 3), ['http', 'tcp', '7070']);
    const state = lstatSync(path.join(root, 'etc/hearth'));
    assert.deepEqual([state.uid, state.gid, state.mode & 0o777], [790, 790, 0o700]);
    assert.ok(
      !callsOf(root, 'hearth').some((call) => call.includes('firewall')),
      'no rule unless it is wanted',
    );
    assert.ok('options' in readOptions(environment(root)));
  });

  it('asks for a jail only where there is one', async (t) => {
    const { root, init } = await box(t, '');
    rmSync(path.join(root, 'sbin/ujail'));
    assert.equal((await init('start')).code, 0);
    assert.deepEqual(told(root, 'set_param', 'user'), ['hearth']);
    assert.deepEqual(told(root, 'add_jail'), []);
    assert.deepEqual(told(root, 'set_param', 'capabilities'), []);
  });

  it('hands every option to the agent, which takes it', async (t) => {
    const samples: Record<string, string> = {
      state_dir: '/etc/hearth',
      disk: "/mnt/a disk's",
      bind: '0.0.0.0',
      content_url: 'http://box.example:7090',
      fleet_url: 'https://fleet.example',
      claim_code: 'ABCDE-FGHJK-MNPQR',
      tls_cert: '/etc/config/hearth',
      tls_key: '/etc/config/hearth',
      port_mapping: '0',
      workers: '2',
      update_root: '/etc/config/hearth',
    };
    const names = [...declared()].filter(([name]) => !OF_THE_SERVICE.includes(name));
    const values = names.map(([name, { type }]) => {
      const least = /^range\((\d+),/.exec(type)?.[1] ?? /^or\("(\w+)"/.exec(type)?.[1];
      return [name, samples[name] ?? least ?? '9000000000'] as const;
    });
    const lines = values.map(([name, value]) => `\toption ${name} "${value}"\n`);
    const { root, init } = await box(t, lines.join(''));
    const said = await init('start');
    assert.equal(said.code, 0, said.stderr);
    const env = environment(root);
    for (const [name, value] of values) {
      const expected = name === 'port_mapping' ? 'off' : value;
      assert.equal(env[`HEARTH_${name.toUpperCase()}`], expected, name);
    }
    const read = readOptions(env);
    const faults =
      'faults' in read ? read.faults.filter((fault) => !fault.startsWith('HEARTH_CLAIM_CODE')) : [];
    assert.deepEqual(faults, []);
  });

  it('names each option that is wrong, what is wanted, and starts nothing', async (t) => {
    const { root, init } = await box(
      t,
      "\toption lan_port '99999'\n\toption deliveries 'moon'\n\toption bind 'x'\n",
    );
    const { stderr } = await init('start');
    assert.match(stderr, /not started: lan_port=99999 \(wanted: range\(1,65535\)\)/);
    assert.match(stderr, /not started: deliveries=moon \(wanted: or\("disk","state"\)\)/);
    assert.match(stderr, /not started: bind=x \(wanted: ipaddr\)/);
    assert.deepEqual(told(root, 'open_instance'), []);
    const relative = await box(t, "\toption state_dir 'etc/hearth'\n");
    assert.match(
      (await relative.init('start')).stderr,
      /state_dir=etc\/hearth \(wanted: a path that begins with/,
    );
    assert.deepEqual(told(relative.root, 'open_instance'), []);
  });

  it('stays off when told to', async (t) => {
    const { root, init } = await box(t, "\toption enabled '0'\n");
    assert.match((await init('start')).stderr, /option enabled is 0/);
    assert.deepEqual(told(root, 'open_instance'), []);
  });

  it('opens the content ports to the WAN, and nothing else, while it runs and is asked to', async (t) => {
    const { root, init } = await box(t, "\toption open_wan '1'\n\toption content_port '8090'\n");
    assert.equal((await init('start')).code, 0);
    const rule = callsOf(root, 'hearth').filter(([verb]) => verb === 'json_add_string');
    assert.deepEqual(Object.fromEntries(rule.map(([, name, value]) => [name, value])), {
      ...{ type: 'rule', name: 'Hearth-content', src: 'wan', proto: 'tcp' },
      ...{ dest_port: '8090 7443', target: 'ACCEPT' },
    });
    assert.equal((await init('stop')).code, 0);
    assert.ok(!existsSync(path.join(root, 'run/procd/hearth')));
    const changed = readFileSync(path.join(root, 'run/procd/.changed'), 'utf8');
    assert.deepEqual(changed, 'firewall\nfirewall\n', 'the firewall is read again at start and stop');
  });

  it("gives V8 a share of the board's memory", async (t) => {
    const { root, init } = await box(t, '');
    for (const [totalMib, heapMib] of [
      [256, 48],
      [512, 62],
      [1024, 126],
      [4096, 256],
    ] as const) {
      // A part of the memory is the kernel's from the start.
      writeFileSync(path.join(root, 'meminfo'), `MemTotal: ${(totalMib - 10) * 1024} kB\nMemFree: 1 kB\n`);
      const said = await init('start', 'mount --bind "$root/meminfo" "$root/proc/meminfo"');
      assert.equal(said.code, 0, said.stderr);
      assert.equal(environment(root).NODE_OPTIONS, `--max-old-space-size=${Math.max(48, heapMib)}`);
    }
  });

  it('lets the user hearth write at the top of a disk, and touches nothing else there', async (t) => {
    const { root, init } = await box(t, '');
    const image = path.join(await tempFolder(t, 'image'), 'disk');
    execFileSync('truncate', ['-s', '16M', image]);
    execFileSync('/sbin/mkfs.ext4', ['-q', '-F', image]);
    mkdirSync(path.join(root, 'mnt/a disk'), { recursive: true });
    const mounted = (prepare: string) => `mount -o loop '${image}' "$root/mnt/a disk" || exit 98\n${prepare}`;
    const look = 'cd "/mnt/a disk" && ls -lnd . hearth hearth/object photos photos/mine theirs';
    await init('enabled');
    // A disk that comes makes several starts: the later ones leave it as it is, and say nothing.
    const said = await runInRoot(
      root,
      `/etc/init.d/hearth start && /etc/init.d/hearth start && ${look}`,
      mounted(
        `cd "$root/mnt/a disk" && mkdir hearth photos theirs && touch hearth/object photos/mine && chown -R 1234 hearth theirs; cd /`,
      ),
    );
    assert.equal(said.code, 0, said.stderr);
    assert.equal(said.stderr.match(/may use the disk/g)?.length, 1, said.stderr);
    const lines = said.stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/));
    const owners = Object.fromEntries(lines.map((words) => [words.at(-1), words.slice(0, 4).join(' ')]));
    assert.deepEqual(owners, {
      '.': `drwxrwxr-t ${lines[0]?.[1]} 0 790`,
      hearth: 'drwxr-xr-x 2 790 790',
      'hearth/object': '-rw-r--r-- 1 790 790',
      photos: 'drwxr-xr-x 2 0 0',
      'photos/mine': '-rw-r--r-- 1 0 0',
      theirs: 'drwxr-xr-x 2 1234 0',
    });
    const again = await runInRoot(root, '/etc/init.d/hearth start', mounted('chgrp 100 "$root/mnt/a disk"'));
    assert.match(again.stderr, /belongs to group 100: Hearth can use it after 'chgrp hearth/);
  });
});
