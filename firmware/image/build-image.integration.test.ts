import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { writeIpk } from '#packaging/openwrt/ipk.ts';
import { agentPackage } from '#packaging/openwrt/packages.ts';
import { type PayloadFile, ROOT_OF_TRUST } from '#packaging/payload.ts';
import { imageBoard } from '../boards/board.ts';
import type { ImageOptions } from './build-image.ts';
import { buildImage } from './build-image.ts';
import { writeImageBuilder } from './imagebuilder-fixture.ts';
import { releaseNamed } from './release.ts';

const MAIN = join(import.meta.dirname, '..', 'main.ts');

function temp(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-test-image-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** A rig with an ImageBuilder's stand-in, our packages (empty files: nothing unpacks them here) and a signing key. */
function rig(t: TestContext, boardName: string, version: string) {
  const folder = temp(t);
  const board = imageBoard(boardName);
  const release = releaseNamed(version);
  const imagebuilder = join(folder, 'imagebuilder');
  mkdirSync(imagebuilder);
  writeImageBuilder(imagebuilder, board, release);
  const packages = join(folder, 'packages');
  const { packageArch } = board.openwrt;
  mkdirSync(join(packages, packageArch), { recursive: true });
  const add = (name: string) => writeFileSync(join(packages, packageArch, name), name);
  if (release.packages === 'ipk') {
    add(`hearth-agent_0.1.0-r1_${packageArch}.ipk`);
    add('luci-app-hearth_0.1.0-r1_all.ipk');
    add('hearth-agent_0.1.0-r1_mips_24kc.ipk');
  } else {
    add('hearth-agent-0.1.0-r1.apk');
    add('luci-app-hearth-0.1.0-r1.apk');
  }
  const keys = { public: join(folder, 'hearth.pub'), secret: join(folder, 'hearth.sec') };
  const made = spawnSync('signify-openbsd', ['-G', '-n', '-c', 'test', '-p', keys.public, '-s', keys.secret]);
  assert.equal(made.status, 0, String(made.stderr));
  const said: string[] = [];
  const options: ImageOptions = {
    board,
    release,
    imagebuilder,
    packages,
    version: '0.1.0',
    overlay: { role: 'guest', hostname: 'hearth', feed: null, sshKeys: null, settings: [] },
    folder: join(folder, 'out'),
    secretKey: readFileSync(keys.secret, 'utf8'),
    log: (line) => said.push(line),
  };
  return { folder, options, keys, said, add, packageArch };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** A file of the image the stand-in made. */
function inImage(image: string, path: string): { text: string; mode: string } {
  const listed = spawnSync('tar', ['-tvzf', image, `./${path}`], { encoding: 'utf8' });
  assert.equal(listed.status, 0, listed.stderr);
  const text = spawnSync('tar', ['-xOzf', image, `./${path}`], { encoding: 'utf8' }).stdout;
  return { text, mode: listed.stdout.slice(0, 10) };
}

test('an image of 24.10: packages, overlay, one partition size, hashes, a signature signify takes', async (t) => {
  const { options, keys, said, folder } = rig(t, 'orangepi-pc', '24.10.5');
  const feed = { url: 'https://feed.example/24.10/', publicKey: readFileSync(keys.public, 'utf8') };
  const settings = ["hearth.main.fleet_url=https://fleet.example/it's"];
  const overlay = { ...options.overlay, feed, settings, sshKeys: 'ssh-ed25519 AAAA me\n' };
  // As an earlier run left them.
  writeFileSync(join(options.imagebuilder, 'packages', 'hearth-agent_0.0.9-r1_old.ipk'), '');
  writeFileSync(join(options.imagebuilder, 'packages', 'Packages.gz'), '');
  const files = await buildImage({ ...options, overlay });
  const [image = '', manifest = ''] = files;
  assert.equal(
    image,
    'openwrt-24.10.5-hearth-0.1.0-sunxi-cortexa7-xunlong_orangepi-pc-squashfs-sdcard.img.gz',
  );
  assert.deepEqual(files.slice(1), [manifest, 'FLASHING.md', 'SHA256SUMS', 'SHA256SUMS.sig']);
  const out = options.folder;
  assert.match(readFileSync(join(out, manifest), 'utf8'), /^hearth-agent - /m);
  assert.deepEqual(readdirSync(join(options.imagebuilder, 'packages')), [
    'README',
    'hearth-agent_0.1.0-r1_arm_cortex-a7_neon-vfpv4.ipk',
    'luci-app-hearth_0.1.0-r1_all.ipk',
  ]);
  const file = join(out, image);
  assert.equal(inImage(file, 'partsize').text, '512\n');
  assert.deepEqual(inImage(file, 'etc/dropbear/authorized_keys').mode, '-rw-------');
  const keyId = Buffer.from(feed.publicKey.split('\n')[1] ?? '', 'base64').toString('hex', 2, 10);
  assert.equal(inImage(file, `etc/opkg/keys/${keyId}`).text, feed.publicKey);
  const conf = 'src/gz hearth https://feed.example/24.10/arm_cortex-a7_neon-vfpv4\n';
  assert.equal(inImage(file, 'etc/opkg/customfeeds.conf').text, conf);
  const script = inImage(file, 'etc/uci-defaults/90-hearth-image').text;
  assert.match(script, /uci set 'hearth\.main\.fleet_url=https:\/\/fleet\.example\/it'\\''s'/);
  const checked = spawnSync('sha256sum', ['-c', 'SHA256SUMS'], { cwd: out, encoding: 'utf8' });
  assert.equal(checked.status, 0, checked.stdout + checked.stderr);
  const verify = () =>
    spawnSync('signify-openbsd', ['-V', '-p', keys.public, '-m', 'SHA256SUMS', '-x', 'SHA256SUMS.sig'], {
      cwd: out,
    });
  assert.equal(verify().status, 0);
  writeFileSync(join(out, 'SHA256SUMS'), 'x', { flag: 'a' });
  assert.notEqual(verify().status, 0);
  assert.ok(
    said.includes('Installing packages...') && said.includes('Building images for xunlong_orangepi-pc'),
  );
  assert.ok(!existsSync(join(folder, 'out.failed')));
});

test('an image of 25.12: apk packages, the feed for apk, the guide fits board and release', async (t) => {
  const { options } = rig(t, 'nanopi-r2s', '25.12.4');
  const publicKey = '-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n';
  const feed = { url: 'https://feed.example/25.12', publicKey };
  const files = await buildImage({ ...options, overlay: { ...options.overlay, feed }, secretKey: null });
  const image = join(options.folder, files[0] ?? '');
  assert.match(image, /rockchip-armv8-friendlyarm_nanopi-r2s-squashfs-sysupgrade\.img\.gz$/);
  assert.deepEqual(files.slice(3), ['SHA256SUMS']);
  const list = 'https://feed.example/25.12/aarch64_generic/packages.adb\n';
  assert.equal(inImage(image, 'etc/apk/repositories.d/customfeeds.list').text, list);
  assert.equal(inImage(image, 'etc/apk/keys/hearth.pem').text, publicKey);
  const guide = readFileSync(join(options.folder, 'FLASHING.md'), 'utf8');
  assert.match(guide, /FriendlyARM NanoPi R2S[\s\S]*1 GB of memory, Ethernet 1000 and 1000 Mbit\/s/);
  assert.match(guide, /apk upgrade hearth-agent/);
  assert.doesNotMatch(guide, /signify|undefined|null/);
});

test('packages without a root of trust: whoever makes the image is warned', async (t) => {
  const { options, said, folder, packageArch } = rig(t, 'orangepi-pc', '24.10.5');
  const told = async () => {
    said.length = 0;
    await buildImage(options);
    return said.filter((line) => line.includes('--root'));
  };
  const [unclear = '', ...more] = await told();
  assert.match(unclear, /^whether hearth-agent_0\.1\.0.* cannot be seen here/);
  assert.deepEqual(more, []);
  const packed = async (files: PayloadFile[]) => {
    const made = await writeIpk(agentPackage(packageArch, files), folder, 1_700_000_000);
    renameSync(made, join(options.packages, packageArch, `hearth-agent_0.1.0-r1_${packageArch}.ipk`));
  };
  const program = { path: '/usr/lib/hearth/node', mode: 0o755, source: { text: 'x' } };
  await packed([program]);
  const [warned = ''] = await told();
  assert.match(warned, /^WARNING: hearth-agent_0\.1\.0.*without --root: .* no updates from the fleet/);
  await packed([program, { path: ROOT_OF_TRUST, mode: 0o644, source: { text: '{}' } }]);
  assert.deepEqual(await told(), []);
});

test('what does not fit is said before anything is built', async (t) => {
  const { options, add, packageArch } = rig(t, 'orangepi-pc', '24.10.5');
  const refuse = (change: Partial<ImageOptions>, reason: RegExp) =>
    assert.rejects(buildImage({ ...options, ...change }), (error: Error) => {
      assert.match(error.message, reason);
      assert.ok(!existsSync(options.folder));
      return true;
    });
  await refuse({ imagebuilder: options.packages }, /is no ImageBuilder: it has no Makefile/);
  await refuse(
    { release: releaseNamed('24.10.6') },
    /another release than 24\.10\.6: see its repositories\.conf/,
  );
  await refuse(
    { release: releaseNamed('25.12.1') },
    /no ImageBuilder with apk packages: it has no repositories/,
  );
  await refuse(
    { board: imageBoard('nanopi-r2s') },
    /is an ImageBuilder for sunxi\/cortexa7, not rockchip\/armv8/,
  );
  await refuse({ board: imageBoard('orangepi-one') }, /knows no profile xunlong_orangepi-one: see make info/);
  await refuse(
    { packages: options.imagebuilder },
    /has no hearth-agent as \.ipk for arm_cortex-a7.*npm run build:ipk/,
  );
  await refuse({ overlay: { ...options.overlay, hostname: 'my box' } }, /my box is no host name/);
  await refuse(
    { overlay: { ...options.overlay, settings: ['x'] } },
    /--set wants CONFIG\.SECTION\.OPTION=VALUE, not x/,
  );
  const feed = { url: 'https://x', publicKey: 'x' };
  await refuse({ overlay: { ...options.overlay, feed } }, /no public key of usign/);
  await refuse({ secretKey: 'x' }, /no secret key of usign/);
  add(`hearth-agent_0.2.0-r1_${packageArch}.ipk`);
  await refuse({}, /has several hearth-agent: hearth-agent_0\.1\.0.*hearth-agent_0\.2\.0/);
});

test('an ImageBuilder that fails: its last words, its log kept, what was made before stays', async (t) => {
  const { options } = rig(t, 'orangepi-pc', '24.10.5');
  await buildImage(options);
  writeFileSync(join(options.imagebuilder, 'known-packages'), 'luci\n');
  await assert.rejects(
    buildImage(options),
    /the ImageBuilder failed\. .*\n[\s\S]*Cannot install package block-mount/,
  );
  assert.match(readFileSync(join(`${options.folder}.failed`, 'build.log'), 'utf8'), /Cannot install package/);
  assert.equal(readdirSync(options.folder).filter((file) => file.endsWith('.img.gz')).length, 1);
});

test('stopped while it builds: nothing of it goes on', async (t) => {
  const { options, said } = rig(t, 'orangepi-pc', '24.10.5');
  const stop = new AbortController();
  const makefile = join(options.imagebuilder, 'Makefile');
  const pidFile = join(options.imagebuilder, 'pid');
  const slow = `@echo 'Building images...'\n\t@sh -c 'echo $$$$ > pid; exec sleep 600'`;
  writeFileSync(
    makefile,
    readFileSync(makefile, 'utf8').replace(`@echo 'Building images...'`, () => slow),
  );
  const building = buildImage({ ...options, signal: stop.signal });
  while (!said.includes('Building images...') || !existsSync(pidFile) || readFileSync(pidFile, 'utf8') === '')
    await new Promise((r) => setTimeout(r, 20));
  stop.abort(new Error('enough'));
  await assert.rejects(building, /enough/);
  const pid = Number(readFileSync(pidFile, 'utf8'));
  assert.ok(pid > 0);
  // Gone, or dead and not yet fetched by whoever inherited it.
  const runs = () =>
    existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  const deadline = Date.now() + 20_000;
  while (runs() && Date.now() < deadline) await new Promise((done) => setTimeout(done, 20));
  assert.ok(!runs());
});

test('the command: says what is wrong in one line, and lists boards', async (t) => {
  const { options } = rig(t, 'orangepi-pc', '24.10.5');
  const run = async (...args: string[]) => {
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (text += data));
    const [code] = await once(child, 'close');
    return { code, text };
  };
  const refused = async (args: string[], reason: RegExp) => {
    const { code, text } = await run(...args);
    assert.equal(code, 1);
    assert.match(text, reason);
    assert.doesNotMatch(text, /\n\s+at /);
  };
  await refused([], /--board and --release are needed/);
  await refused(['--bord', 'x'], /Unknown option '--bord'/);
  await refused(['--board', 'x', '--release', '24.10.5'], /no board x; there are/);
  await refused(
    ['--board', 'orangepi-pc', '--release', '23.05.5'],
    /no release 23\.05\.5: .* 24\.10\.x and 25\.12\.x/,
  );
  await refused(['--board', 'orangepi-pc', '--release', '24.10.5', '--feed', 'https://x'], /come together/);
  // Nothing listens there: what to do instead is said.
  const away = [
    '--board',
    'orangepi-pc',
    '--release',
    '24.10.5',
    '--mirror',
    `http://127.0.0.1:${await freePort()}`,
  ];
  await refused(
    away,
    /cannot be had from http:\/\/127\.0\.0\.1:\d+\/releases\/24\.10\.5\/.*ECONNREFUSED.*--imagebuilder FOLDER/,
  );
  const listed = await run('--list');
  assert.match(listed.text, /^orangepi-pc +Xunlong Orange Pi PC +sunxi\/cortexa7 xunlong_orangepi-pc$/m);
  assert.match(listed.text, /^pine-h64 .*no OpenWrt profile$/m);
  assert.equal(options.board.name, 'orangepi-pc');
});
