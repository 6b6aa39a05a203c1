import * as z from 'zod';
import { releaseVersionSchema } from '#protocol/release.ts';

/** Why the launcher did not start what the choice names; `ok`: it could. */
const noteSchema = z
  .enum(['', 'ok', 'missing', 'damaged', 'crashed', 'timeout', 'older', 'unwritable'])
  .catch('');
export type LaunchNote = z.infer<typeof noteSchema>;

const launchedSchema = z.object({
  HEARTH_LAUNCH: z.enum(['packaged', 'kept', 'trial']),
  HEARTH_LAUNCH_TRIAL: noteSchema.default(''),
  HEARTH_LAUNCH_KEPT: noteSchema.default(''),
  HEARTH_LAUNCHER_PID: z.coerce.number().int().positive(),
  HEARTH_PACKAGED_VERSION: releaseVersionSchema,
  HEARTH_UPDATE_RUNNER: z.string().default(''),
});

/** How the launcher started this process. */
export interface Launched {
  mode: 'packaged' | 'kept' | 'trial';
  trialNote: LaunchNote;
  keptNote: LaunchNote;
  launcherPid: number;
  packagedVersion: string;
  /** Words before the path of an installed executable. */
  runner: string[];
}

/** What the launcher said; null: something else started this, and it cannot be updated. */
export function readLaunched(environment: NodeJS.ProcessEnv): Launched | null {
  const read = launchedSchema.safeParse(environment);
  if (!read.success) return null;
  return {
    mode: read.data.HEARTH_LAUNCH,
    trialNote: read.data.HEARTH_LAUNCH_TRIAL,
    keptNote: read.data.HEARTH_LAUNCH_KEPT,
    launcherPid: read.data.HEARTH_LAUNCHER_PID,
    packagedVersion: read.data.HEARTH_PACKAGED_VERSION,
    runner: read.data.HEARTH_UPDATE_RUNNER.split(' ').filter(Boolean),
  };
}

/** A process that ends with this asks the launcher to start what the choice says then. */
export const START_AGAIN = 75;
