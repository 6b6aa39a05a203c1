import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HearthError } from '#protocol/errors.ts';
import type { BoardKind } from './boards.ts';
import { fillCard, HOST_ADDRESS } from './card.ts';
import type { StickFilesystem } from './images.ts';
import { ext4Image } from './images.ts';
import { initramfs } from './initramfs.ts';
import { activateConsole, copyImage, IMAGE_HOST_ADDRESS, IMAGE_NETWORK, UEFI } from './openwrt-image.ts';
import { makePackage } from './package.ts';
import { boardParts } from './parts.ts';
import type { SerialConsole } from './serial.ts';

/** An SD card; QEMU wants a power of two. */
const CARD_MIB = 512;
/** With the tables for the names that Debian's kernel asks for by itself. */
const FAT_MODULES = ['vfat', 'nls_cp437', 'nls_ascii'];
/** A clock that was never set: some minutes after the beginning of 1970, since none may say less than it has run. */
const NEVER_SET_S = 600;
const BOOT_MS = 360_000;
/** A real image makes its overlay and its keys at the first start. */
const IMAGE_BOOT_MS = 600_000;

export interface MachineOptions {
  memoryMib: number;
  stickFilesystem: StickFilesystem | undefined;
  settings: Record<string, string>;
  ipk: string | undefined;
  root: string | null;
  startsAgent: boolean;
  refresh: boolean;
  log: (line: string) => void;
}

/** What a board is started from. */
export interface Machine {
  /** The host, as programs in the guest reach it. */
  hostAddress: string;
  /** @param clockMs null: it has none */
  arguments: (clockMs: number | null, forwards: { host: number; guest: number }[]) => string[];
  /** Resolves when commands can be run over the serial line. */
  untilUp: (serial: SerialConsole) => Promise<void>;
}

/** Debian's kernel and a card with busybox, the stand-in for OpenWrt, and the package installed. */
export async function standInMachine(
  kind: BoardKind,
  folder: string,
  options: MachineOptions,
): Promise<Machine> {
  const { log, settings } = options;
  const parts = await boardParts(kind, log, options.refresh);
  const ipk = options.ipk ?? (await makePackage(kind.packageArch, folder, options.root, log));
  log('making the card');
  const root = join(folder, 'root');
  mkdirSync(root);
  await fillCard(root, { busybox: parts.busybox, ipk, settings });
  const card = join(folder, 'card.img');
  await ext4Image(card, CARD_MIB, root);
  rmSync(root, { recursive: true });
  const modules = options.stickFilesystem === 'vfat' ? [...kind.modules, ...FAT_MODULES] : kind.modules;
  const first = join(folder, 'initramfs');
  writeFileSync(first, initramfs({ ...kind, modules }, parts.busybox, parts.modules));
  const memory = ['-m', `${kind.fixedMemoryMib ?? options.memoryMib}M`];
  return {
    hostAddress: HOST_ADDRESS,
    arguments: (clockMs, forwards) => {
      const words = [
        `console=${kind.console}`,
        'panic=5',
        // QEMU's board has one size only: the kernel is told to leave the rest alone.
        ...(kind.fixedMemoryMib === null ? [] : [`mem=${options.memoryMib}M`]),
        `hearth.time=${clockMs === null ? NEVER_SET_S : Math.floor(clockMs / 1000)}`,
        ...(options.startsAgent ? [] : ['hearth.agent=off']),
      ];
      return [
        ...kind.machine,
        ...memory,
        ...['-kernel', parts.kernel, '-initrd', first, '-append', words.join(' ')],
        ...(parts.deviceTree === null ? [] : ['-dtb', parts.deviceTree]),
        ...diskOf(kind, card),
        ...kind.network(userNetwork('', '', forwards)),
      ];
    },
    untilUp: async (serial) => {
      await serial.waitFor(/^board: up after/, BOOT_MS);
    },
  };
}

/** A whole OpenWrt image, as it is flashed. */
export async function imageMachine(
  kind: BoardKind,
  folder: string,
  image: string,
  options: MachineOptions,
): Promise<Machine> {
  if (kind.fixedMemoryMib !== null && options.memoryMib !== kind.fixedMemoryMib) {
    throw new HearthError('bad_request', `${kind.name} has ${kind.fixedMemoryMib} MiB when it runs an image`);
  }
  const card = join(folder, 'card.img');
  await copyImage(kind.name, image, card, options.log);
  return {
    hostAddress: IMAGE_HOST_ADDRESS,
    arguments: (clockMs, forwards) => [
      ...kind.machine,
      ...['-m', `${options.memoryMib}M`],
      // The Orange Pi's chip starts what is on its card by itself.
      ...(kind.fixedMemoryMib === null ? ['-bios', UEFI] : []),
      ...['-rtc', `base=${new Date(clockMs ?? NEVER_SET_S * 1000).toISOString().slice(0, 19)}`],
      ...diskOf(kind, card),
      ...kind.network(userNetwork(`,${IMAGE_NETWORK.settings}`, IMAGE_NETWORK.address, forwards)),
    ],
    untilUp: (serial) => activateConsole(serial, options.settings, IMAGE_BOOT_MS),
  };
}

function diskOf(kind: BoardKind, card: string): string[] {
  return kind.systemDisk.map((word) => (word.endsWith('file=') ? `${word}${card}` : word));
}

function userNetwork(
  more: string,
  guestAddress: string,
  forwards: { host: number; guest: number }[],
): string {
  const ports = forwards.map(({ host, guest }) => `,hostfwd=tcp:127.0.0.1:${host}-${guestAddress}:${guest}`);
  return `user${more}${ports.join('')}`;
}
