import os from 'node:os';
import type { Logger } from 'pino';
import type { Capacity } from '#agent/disks/capacities.ts';
import { readCapacities } from '#agent/disks/capacities.ts';
import type { Mount } from '#agent/disks/mounts.ts';
import { isWithin, parseMounts, readMountTable } from '#agent/disks/mounts.ts';
import { isDisk } from '#agent/disks/suitability.ts';
import { messageOf } from '#protocol/errors.ts';
import { LIMITS } from '#protocol/limits.ts';
import type { Hardware } from '#protocol/messages.ts';
import { clip, PROTOCOL_VERSION } from '#protocol/messages.ts';
import type { Machine } from './machine.ts';
import { askMachine } from './machine.ts';

type HardwareDisk = Capacity & { chosen: boolean; filesystem: string };

const NOTHING: Machine = { system: null, os: null, cpu: null, network: null, blockDevices: null, faults: {} };

/**
 * What this machine is. What the libraries cannot tell stays empty.
 * @param diskPath the folder Hearth uses, to mark its disk
 */
export async function readHardware(diskPath: string, stamp: string, log: Logger): Promise<Hardware> {
  const untold = (what: string, reason: string) => {
    log.debug({ what, reason }, 'the machine does not tell');
    return null;
  };
  const told = await askMachine().catch((error) => untold('systeminformation', messageOf(error)));
  for (const [what, reason] of Object.entries(told?.faults ?? {})) untold(what, reason);
  const { system: machine, os: release, cpu, network: interfaces, blockDevices: removable } = told ?? NOTHING;
  const disks = await readDisks(diskPath).catch((error) => untold('disks', messageOf(error)));
  return {
    v: PROTOCOL_VERSION,
    at: stamp,
    machine: {
      manufacturer: clip(machine?.manufacturer),
      model: clip(machine?.model),
      os: clip([release?.distro, release?.release].filter(Boolean).join(' ')),
      kernel: clip(release?.kernel ?? os.release()),
      arch: clip(release?.arch ?? os.arch()),
    },
    cpu: {
      model: clip([cpu?.manufacturer, cpu?.brand].filter(Boolean).join(' ')),
      cores: whole(cpu?.cores ?? os.cpus().length),
      speedMhz: positive((cpu?.speed ?? 0) * 1000),
    },
    memoryBytes: whole(os.totalmem()),
    disks: (disks ?? []).slice(0, LIMITS.hardwareItems).map((disk) => {
      const device = removable?.find((block) => block.mount !== '' && block.mount === disk.mount);
      return {
        ...disk,
        filesystem: clip(disk.filesystem || device?.fsType),
        label: clip(device?.label),
        removable: device?.removable ?? false,
      };
    }),
    network: (interfaces ?? [])
      .filter((found) => !found.internal)
      .slice(0, LIMITS.hardwareItems)
      .map((found) => ({
        name: clip(found.iface),
        type: clip(found.type),
        speedMbps: typeof found.speed === 'number' && found.speed >= 0 ? found.speed : null,
      })),
  };
}

async function readDisks(diskPath: string): Promise<HardwareDisk[]> {
  const capacities = (await readCapacities()) ?? [];
  return disksAmong(capacities, parseMounts(await readMountTable()), diskPath);
}

/** Named so by their mounters, where the kernel does not say what is mounted. */
const PSEUDO = /^(tmpfs|devtmpfs|udev|none|overlay|shm|efivarfs)$/;

/**
 * What a person would call a disk, of all that is mounted, and whatever Hearth's folder lies on: a tmpfs is memory,
 * whatever it is called.
 */
export function disksAmong(
  capacities: readonly Capacity[],
  mounts: readonly Mount[],
  diskPath: string,
): HardwareDisk[] {
  // The innermost mount point above the folder is its disk.
  const chosen = capacities
    .filter((disk) => isWithin(diskPath, disk.mount))
    .sort((a, b) => b.mount.length - a.mount.length)[0];
  const found: HardwareDisk[] = [];
  for (const disk of capacities) {
    const mount = mounts.findLast((one) => one.mount === disk.mount);
    const isReal = mount ? isDisk(mount) : !PSEUDO.test(disk.name);
    if (disk !== chosen && !isReal) continue;
    found.push({ ...disk, chosen: disk === chosen, filesystem: mount?.filesystem ?? '' });
  }
  return found;
}

function whole(value: number): number {
  return Number.isFinite(value) && value > 0 ? Math.floor(value) : 0;
}

function positive(value: number): number {
  return Number.isFinite(value) && value > 0 ? value : 0;
}
