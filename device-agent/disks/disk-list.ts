import { execFile } from 'node:child_process';
import { readFile, realpath } from 'node:fs/promises';
import path from 'node:path';
import { askMachine } from '#agent/hardware/machine.ts';
import { DiskLayout } from '#agent/store/layout.ts';
import type { Self } from '#agent/store/marker.ts';
import { readMarker, whose } from '#agent/store/marker.ts';
import type { BoxDisk } from '#protocol/http-box.ts';
import { clip } from '#protocol/messages.ts';
import { readCapacities } from './capacities.ts';
import type { Mount } from './mounts.ts';
import { mountOf } from './mounts.ts';
import { freeOf, unmarkedContent, within } from './places.ts';
import { isDisk, judge } from './suitability.ts';

/** Disks told of; a box has a handful. */
const MOST = 32;
/** What a disk or a library may take to answer, ms. */
const ANSWER_MS = 5_000;

/** Who asks what is plugged in. */
export interface Asker extends Self {
  /** The folder in use now; null when none is. */
  inUse: string | null;
}

/**
 * What is plugged in and mounted, for a household that picks its disk: by the kernel's table, with sizes from
 * node-disk-info and labels from systeminformation. What they cannot tell in time stays empty.
 */
export async function listDisks(mounts: readonly Mount[], mine: Asker): Promise<BoxDisk[]> {
  const shown = mounts.filter((mount) => isDisk(mount) && mountOf(mount.mount, mounts) === mount);
  const byDevice = new Map<string, Mount>();
  for (const mount of shown) {
    const other = byDevice.get(mount.source);
    const better = !other || mount.mount === mine.inUse || mount.mount.length < other.mount.length;
    if (better && other?.mount !== mine.inUse) byDevice.set(mount.source, mount);
  }
  const disks = [...byDevice.values()].slice(0, MOST);
  const [capacities, labels] = await Promise.all([readCapacities().catch(() => null), labelsOf()]);
  return Promise.all(
    disks.map(async (mount) => {
      const { reason, fileLimitBytes } = judge(mount, mounts);
      const capacity =
        capacities?.find((one) => one.mount === mount.mount && one.name === mount.source) ??
        (reason === 'system' ? null : await within(freeOf(mount.mount), ANSWER_MS, null));
      const owner = reason === null ? await within(ownerOf(mount, mine), ANSWER_MS, 'mute' as const) : null;
      return {
        mount: mount.mount.slice(0, 1024),
        device: clip(mount.source),
        label: clip(labels.get(mount.source)) || null,
        filesystem: clip(mount.filesystem),
        removable: await isRemovable(mount.device),
        totalBytes: capacity?.totalBytes ?? 0,
        freeBytes: capacity?.freeBytes ?? 0,
        state: owner === null || owner === 'mute' ? ('unsuitable' as const) : owner,
        reason: owner === 'mute' ? ('not_answering' as const) : reason,
        chosen: owner === 'ours' && mine.inUse === mount.mount,
        fileLimitBytes,
      };
    }),
  );
}

async function ownerOf(mount: Mount, mine: Self): Promise<'free' | 'ours' | 'foreign' | 'unmarked' | 'mute'> {
  const marker = await readMarker(new DiskLayout(mount.mount).marker).catch(() => 'mute' as const);
  if (marker === null) return (await unmarkedContent(mount.mount, mine)) === null ? 'free' : 'unmarked';
  if (marker === 'mute') return 'mute';
  if (marker === 'damaged') return 'foreign';
  return whose(marker, mine);
}

async function labelsOf(): Promise<Map<string, string>> {
  const ask = async () => {
    const labels = new Map<string, string>();
    // It knows them from udev alone, which OpenWrt has not; the others look at the disks themselves.
    const [machine, ...others] = await Promise.all([
      within(
        askMachine().catch(() => null),
        ANSWER_MS,
        null,
      ),
      outputOf('blkid', []),
      outputOf('block', ['info']),
    ]);
    for (const { name, label } of machine?.blockDevices ?? []) {
      if (label) labels.set(`/dev/${name.replace(/^\/dev\//, '')}`, label);
    }
    for (const said of others) {
      for (const line of said.split('\n')) {
        const [, device, label] = /^(\/dev\/[^:]+):.*\bLABEL="([^"]*)"/.exec(line) ?? [];
        if (device && label && !labels.has(device)) labels.set(device, label);
      }
    }
    return labels;
  };
  return within(
    ask().catch(() => new Map<string, string>()),
    2 * ANSWER_MS,
    new Map<string, string>(),
  );
}

/** What a command says; '' when there is no such command. */
function outputOf(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(program, args, { encoding: 'utf8' }, (_, stdout) => resolve(stdout));
  });
}

/** By the kernel's own tree: a stick says so, a hard disk in a USB case hangs on a USB port. */
async function isRemovable(device: string): Promise<boolean> {
  const node = await realpath(`/sys/dev/block/${device}`).catch(() => null);
  if (node === null) return false;
  if (node.includes('/usb')) return true;
  for (const folder of [node, path.dirname(node)]) {
    const flag = await readFile(path.join(folder, 'removable'), 'utf8').catch(() => '');
    if (flag !== '') return flag.trim() === '1';
  }
  return false;
}
