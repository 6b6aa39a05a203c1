import os from 'node:os';
import type { Logger } from 'pino';
import type { Capacity } from '#agent/disks/capacities.ts';
import { readCapacities } from '#agent/disks/capacities.ts';
import { isWithin, parseMounts, readMountTable } from '#agent/disks/mounts.ts';
import { messageOf } from '#protocol/errors.ts';
import { LIMITS } from '#protocol/limits.ts';
import type { Hardware } from '#protocol/messages.ts';
import { clip, PROTOCOL_VERSION } from '#protocol/messages.ts';
import type { Machine } from './machine.ts';
import { askMachine } from './machine.ts';

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

async function readDisks(diskPath: string): Promise<(Capacity & { chosen: boolean; filesystem: string })[]> {
  const capacities = (await readCapacities()) ?? [];
  const mounts = parseMounts(await readMountTable());
  // The innermost mount point above the folder is its disk.
  const chosen = capacities
    .filter((disk) => isWithin(diskPath, disk.mount))
    .sort((a, b) => b.mount.length - a.mount.length)[0];
  const pseudo = /^(tmpfs|devtmpfs|udev|none|overlay|shm|efivarfs)$/;
  return capacities
    .map((disk) => ({
      ...disk,
      chosen: disk === chosen,
      filesystem: mounts.findLast((mount) => mount.mount === disk.mount)?.filesystem ?? '',
    }))
    .filter((disk) => disk.chosen || !pseudo.test(disk.name));
}

function whole(value: number): number {
  return Number.isFinite(value) && value > 0 ? Math.floor(value) : 0;
}

function positive(value: number): number {
  return Number.isFinite(value) && value > 0 ? value : 0;
}
