import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { HearthError } from '#protocol/errors.ts';
import type { Release } from './release.ts';
import { usignKeyId } from './usign.ts';

/**
 * What a box is in the network it is put into.
 * - `guest`: all its ports belong to the home network, it takes an address there and hands out none
 * - `router`: as OpenWrt comes, with a network of its own
 */
export type Role = 'guest' | 'router';
export const ROLES: readonly Role[] = ['guest', 'router'];

export interface OverlayOptions {
  release: Release;
  role: Role;
  hostname: string;
  /** Where the box finds new versions of our packages; null: nowhere. */
  feed: { url: string; publicKey: string } | null;
  /** For root's login by SSH, as in authorized_keys; null: none. */
  sshKeys: string | null;
  /** UCI options set at the first start, such as `hearth.main.fleet_url=https://...`. */
  settings: string[];
  packageArch: string;
}

interface OverlayFile {
  path: string;
  mode: number;
  text: string;
}

/** After block-mount has made /etc/config/fstab (10) and packages have made their own settings. */
const FIRST_START = 'etc/uci-defaults/90-hearth-image';

/** The files an image has beside its packages. @throws HearthError `bad_request` */
export function overlayFiles(options: OverlayOptions): OverlayFile[] {
  const { feed, sshKeys, release } = options;
  const files: OverlayFile[] = [{ path: FIRST_START, mode: 0o644, text: firstStart(options) }];
  if (sshKeys !== null) files.push({ path: 'etc/dropbear/authorized_keys', mode: 0o600, text: sshKeys });
  if (feed !== null) {
    const base = `${feed.url.replace(/\/+$/, '')}/${options.packageArch}`;
    if (release.packages === 'ipk') {
      const key = `etc/opkg/keys/${usignKeyId(feed.publicKey)}`;
      files.push({ path: key, mode: 0o644, text: feed.publicKey });
      files.push({ path: 'etc/opkg/customfeeds.conf', mode: 0o644, text: `src/gz hearth ${base}\n` });
    } else {
      if (!feed.publicKey.includes('BEGIN PUBLIC KEY')) {
        throw new HearthError('bad_request', `releases with apk want the feed's key in PEM`);
      }
      const list = 'etc/apk/repositories.d/customfeeds.list';
      files.push({ path: 'etc/apk/keys/hearth.pem', mode: 0o644, text: feed.publicKey });
      files.push({ path: list, mode: 0o644, text: `${base}/packages.adb\n` });
    }
  }
  return files;
}

/** Writes the files below `folder`, which is what FILES= of the ImageBuilder names. */
export function writeOverlay(folder: string, files: OverlayFile[]): void {
  for (const { path, mode, text } of files) {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    chmodSync(file, mode);
  }
}

const GUEST = `
# The box is a guest in the home's network. As OpenWrt comes it would be a second router there, and its DHCP server
# would take the whole house off the internet.
wan="$(uci -q get network.wan.device)"
bridge="$(uci show network | sed -n "s/^\\(network\\.@device\\[[0-9]*\\]\\)\\.name='br-lan'$/\\1/p" | head -n 1)"
if [ -n "$wan" ] && [ -n "$bridge" ]; then
  uci add_list "$bridge.ports=$wan"
  # Both ports in one switch are a loop.
  uci set "$bridge.stp=1"
fi
uci -q delete network.wan
uci -q delete network.wan6
uci -q delete network.lan.ipaddr
uci -q delete network.lan.netmask
uci -q delete network.lan.ip6assign
uci set network.lan.proto='dhcp'
uci set network.lan6='interface'
uci set network.lan6.proto='dhcpv6'
uci set network.lan6.device='@lan'
uci -q add_list firewall.@zone[0].network='lan6'
uci set dhcp.lan.ignore='1'
uci set dhcp.lan.dhcpv4='disabled'
uci set dhcp.lan.dhcpv6='disabled'
uci set dhcp.lan.ra='disabled'
`;

/** One shell word. */
const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** Runs once, at the first start of a flashed box, and is then removed by OpenWrt. */
function firstStart({ role, hostname, settings }: OverlayOptions): string {
  if (!/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(hostname)) {
    throw new HearthError(
      'bad_request',
      `${hostname} is no host name: letters, digits and hyphens, 63 at most`,
    );
  }
  for (const setting of settings) {
    if (/^[\w-]+\.[\w-]+(?:\.[\w-]+)?=[^\n\r\0]*$/.test(setting)) continue;
    throw new HearthError('bad_request', `--set wants CONFIG.SECTION.OPTION=VALUE, not ${setting}`);
  }
  const configs = [...new Set(settings.map((setting) => setting.split('.', 1)[0] ?? ''))];
  return `#!/bin/sh
uci set system.@system[0].hostname=${quoted(hostname)}
${role === 'guest' ? GUEST : ''}
# A disk is mounted when it comes, whichever it is; the agent waits for it, and writes to none it does not know.
[ -s /etc/config/fstab ] || block detect > /etc/config/fstab
uci set fstab.@global[0].anon_mount='1'
uci set fstab.@global[0].auto_mount='1'
uci set fstab.@global[0].anon_swap='0'
${settings.map((setting) => `uci set ${quoted(setting)}\n`).join('')}
for config in system network firewall dhcp fstab ${configs.join(' ')}; do
  uci commit "$config"
done
exit 0
`;
}
