import { AGENT_VERSION } from '#agent/version.ts';
import type { PayloadFile } from '../payload.ts';

/** What opkg and apk are told of a package, whichever of them reads it. */
export interface PackageFacts {
  name: string;
  /** Digits and dots, then -rN: the one form both order rightly. */
  version: string;
  /** OpenWrt's package architecture; `all` for those without programs. */
  arch: string;
  depends: string[];
  /** Installed with it where they can be had; it works without. */
  recommends: string[];
  section: string;
  license: string;
  /** `user=uid:group=gid`, made before the package's own scripts run. */
  requireUser: string | null;
  description: string;
  /** Settings the household may have changed: kept. */
  conffiles: string[];
  /** Runs before its files are removed; must not fail, and must do nothing in an image that is being built. */
  prerm: string | null;
  files: PayloadFile[];
}

const RELEASE = 1;
export const PACKAGE_VERSION = `${AGENT_VERSION}-r${RELEASE}`;
export const MAINTAINER = 'Hearth developers';

/** The same number on every box, so that a disk can move from one to another with its owners. */
const USER = 'hearth=790:hearth=790';

export function agentPackage(arch: string, files: PayloadFile[]): PackageFacts {
  return {
    name: 'hearth-agent',
    version: PACKAGE_VERSION,
    arch,
    depends: ['ca-bundle', 'block-mount', 'kmod-usb-storage', 'kmod-fs-ext4'],
    recommends: [
      'kmod-usb-storage-uas',
      'kmod-fs-exfat',
      'kmod-fs-ntfs3',
      'kmod-fs-vfat',
      'umdns',
      'procd-ujail',
    ],
    section: 'net',
    // The C library that comes beside Node, with base npm, is the second; the C++ library the third.
    license: 'MIT AND LGPL-2.1-or-later AND GPL-3.0-or-later WITH GCC-exception-3.1',
    requireUser: USER,
    description:
      'Turns this box and a USB disk into a CDN cache that earns credits. Caches what it is assigned, serves it to ' +
      "HTTP clients within the household's caps, and shows on its own dashboard what it does and earns.",
    conffiles: ['/etc/config/hearth'],
    prerm: [
      '[ -z "$IPKG_INSTROOT" ] || exit 0',
      'rm -f /etc/sysctl.d/90-hearth.conf /tmp/hosts/hearth',
      'exit 0',
    ].join('\n'),
    files,
  };
}

export function luciPackage(files: PayloadFile[]): PackageFacts {
  return {
    name: 'luci-app-hearth',
    version: PACKAGE_VERSION,
    arch: 'all',
    depends: ['luci-base', 'hearth-agent'],
    recommends: [],
    section: 'luci',
    license: 'MIT',
    requireUser: null,
    description: 'LuCI support for Hearth: whether it runs, its settings, and the way to its dashboard.',
    conffiles: [],
    prerm: null,
    files,
  };
}
