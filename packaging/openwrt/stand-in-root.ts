import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const STAND_IN = path.join(import.meta.dirname, 'stand-in');
const FOLDERS = [
  'bin',
  'sbin',
  'usr/bin',
  'usr/sbin',
  'proc',
  'dev',
  'run',
  'tmp',
  'root',
  'mnt',
  'var',
  'etc',
  'lib',
];

/** What of the stand-in goes where below a device's root. */
export const STAND_IN_FILES: readonly { path: string; mode: number; text: string }[] = (
  [
    ['etc/rc.common', 0o755],
    ['lib/functions.sh', 0o644],
    ['lib/functions/procd.sh', 0o644],
    ['sbin/validate_data', 0o755],
    ['sbin/procd-run', 0o755],
    ['sbin/uci', 0o755],
  ] as const
).map(([name, mode]) => ({ path: name, mode, text: readFileSync(path.join(STAND_IN, name), 'utf8') }));

/**
 * Makes a folder that is a small OpenWrt's root: busybox, the stand-in, and users as a fresh system has them.
 * @param applets names busybox gets; one for another processor cannot be asked here
 */
export function makeStandInRoot(root: string, busybox: string, applets = appletsOf(busybox)): void {
  for (const folder of FOLDERS) mkdirSync(path.join(root, folder), { recursive: true });
  cpSync(busybox, path.join(root, 'bin/busybox'), { dereference: true });
  for (const name of applets) {
    if (name !== 'busybox') symlinkSync('busybox', path.join(root, 'bin', name));
  }
  for (const file of STAND_IN_FILES) {
    const to = path.join(root, file.path);
    mkdirSync(path.dirname(to), { recursive: true });
    writeFileSync(to, file.text);
    chmodSync(to, file.mode);
  }
  writeFileSync(path.join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/ash\n');
  writeFileSync(path.join(root, 'etc/shadow'), 'root:x:0:0:99999:7:::\n', { mode: 0o600 });
  writeFileSync(path.join(root, 'etc/group'), 'root:x:0:\n');
}

function appletsOf(busybox: string): string[] {
  return execFileSync(busybox, ['--list'], { encoding: 'utf8' }).trim().split('\n');
}

export interface Said {
  code: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs a shell script in such a root, in a mount namespace of its own. Needs root.
 * @param before runs outside, with the root's path as `$root`: mounts made there are gone afterwards
 */
export async function runInRoot(root: string, script: string, before = ''): Promise<Said> {
  const outside = `root=$0
    mount --make-rprivate / && mount --rbind /proc "$root/proc" && mount --rbind /dev "$root/dev" || exit 99
    ${before}
    exec chroot "$root" /bin/sh -c "$1"`;
  const args = ['-m', '--', 'sh', '-c', outside, root, script];
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
  return promisify(execFile)('unshare', args, { env, timeout: 150_000 }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      stdout: error.stdout,
      stderr: error.stderr,
    }),
  );
}

/** The calls to procd that a script made, one array of words each. */
export function callsOf(root: string, service: string): string[][] {
  return readFileSync(path.join(root, 'run/procd', service), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\x1f').slice(0, -1));
}
