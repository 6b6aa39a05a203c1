import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeStandInRoot } from '#packaging/openwrt/stand-in-root.ts';
import { HearthError } from '#protocol/errors.ts';
import { installPackage } from './package.ts';

const GUEST = join(import.meta.dirname, 'guest');

/** What is not the package's on the card, and where it lies there. */
const FILES = [
  ['board-init', 'sbin/board-init'],
  ['procd', 'sbin/procd'],
  ['hotplug-call', 'sbin/hotplug-call'],
  ['console', 'sbin/console'],
  ['agent-pid', 'sbin/agent-pid'],
  ['10-mount', 'etc/hotplug.d/block/10-mount'],
  ['mdev.conf', 'etc/mdev.conf'],
] as const;

/** The host as the guest sees it, behind QEMU's network. */
export const HOST_ADDRESS = '10.0.2.2';

/**
 * Fills a folder with what a board's card holds: busybox, the stand-in for OpenWrt's shell side, our scripts in place
 * of procd and blockd, and the package, installed.
 * @param settings options of /etc/config/hearth
 */
export async function fillCard(
  root: string,
  parts: { busybox: string; ipk: string; settings: Record<string, string> },
): Promise<void> {
  // The board names busybox' programs itself, at its first start.
  makeStandInRoot(root, parts.busybox, []);
  for (const folder of ['sys', 'etc/hotplug.d/block', 'etc/hotplug.d/mount', 'etc/uci-defaults']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  for (const [name, to] of FILES) {
    cpSync(join(GUEST, name), join(root, to));
    chmodSync(join(root, to), 0o755);
  }
  // "localhost" is the machine that QEMU runs on: a fleet and an origin there have one name for both sides.
  writeFileSync(join(root, 'etc/hosts'), `127.0.0.1 board\n${HOST_ADDRESS} localhost host\n`);
  writeFileSync(join(root, 'etc/resolv.conf'), 'nameserver 10.0.2.3\n');
  await installPackage(parts.ipk, root);
  const config = join(root, 'etc/config/hearth');
  writeFileSync(config, configOf(readFileSync(config, 'utf8'), parts.settings));
}

/**
 * Adds options to the section of /etc/config/hearth, as UCI writes them.
 * @throws HearthError `bad_request` for what is no option
 */
export function configOf(text: string, settings: Record<string, string>): string {
  const lines = Object.entries(settings).map(([name, value]) => {
    if (!/^[a-z][a-z0-9_]*$/.test(name) || /['\n\r\0]/.test(value)) {
      throw new HearthError('bad_request', `${name}=${value} is no option of /etc/config/hearth`);
    }
    return `\toption ${name} '${value}'\n`;
  });
  return `${text.trimEnd()}\n${lines.join('')}`;
}
