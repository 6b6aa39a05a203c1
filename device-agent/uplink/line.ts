import type { Logger } from 'pino';
import type { ServingMeter } from '#agent/serve/meter.ts';
import type { Household } from '#agent/settings/household.ts';
import type { Disk } from '#agent/store/disk.ts';
import type { Clock } from '#agent/time/clock.ts';
import { UsageKeeper } from './keeper.ts';
import { Uplink } from './uplink.ts';
import { UplinkTest } from './uplink-test.ts';

/** The household's line as the agent has it: its bounds, their counts on the disk, and what measures it. */
export interface Line {
  uplink: Uplink;
  test: UplinkTest;
  /** Resolves when the counts on the disk have been taken up. */
  settled: () => Promise<void>;
  /** To be closed before the disk is. */
  close: () => Promise<void>;
}

export function openLine(parts: {
  household: Household;
  disk: Disk;
  meter: ServingMeter;
  clock: Clock;
  log: Logger;
  fleetUrl: () => string | null;
}): Line {
  const { household, disk, meter, clock, log, fleetUrl } = parts;
  const uplink = new Uplink({
    household,
    clock,
    log,
    requests: () => meter.requestsTotal,
    onTrouble: (error) => disk.failed(error),
  });
  const keeper = new UsageKeeper(disk, uplink, log);
  return {
    uplink,
    test: new UplinkTest({ fleetUrl, uplink }),
    settled: () => keeper.settled(),
    close: async () => {
      await keeper.close();
      await uplink.close();
    },
  };
}
