import type { ErrorCode } from '#protocol/errors.ts';
import { compareVersions } from '#protocol/release.ts';
import type { Launched, LaunchNote } from './launched.ts';
import type { Choice, Slot, UpdateRecord } from './memory.ts';

/** What is remembered, as it stands after this process was started. */
export interface Settled {
  choice: Choice;
  record: UpdateRecord;
  /** This process is to prove itself. */
  onTrial: boolean;
  /** An installed version that could not be reached, and may be again: the disk is away. */
  awaited: Slot | null;
}

const GIVEN_UP: Partial<Record<LaunchNote, { code: ErrorCode; message: string }>> = {
  crashed: { code: 'update_crashed', message: 'it ended three times before it had proved itself' },
  timeout: { code: 'update_timeout', message: 'it did not prove itself in time' },
  damaged: {
    code: 'artefact_mismatch',
    message: 'what was installed is not what was verified: the disk changed it',
  },
  older: { code: 'release_rollback', message: 'a newer package has been installed since' },
};

/**
 * Brings what is remembered in line with what the launcher did. A switch is three writes, and the power may go
 * between any two: whatever it left behind comes to one of the ends here, and the same on every further start.
 */
export function settle(version: string, launched: Launched, choice: Choice, record: UpdateRecord): Settled {
  const { mode, trialNote, keptNote } = launched;
  const next: Choice = { ...choice };
  const after: UpdateRecord = { ...record };
  const end = (state: 'updated' | 'failed', reason: { code: string; message: string } | null) => {
    if (after.update?.state === 'trial') after.update = { ...after.update, state, reason };
  };
  if (compareVersions(launched.packagedVersion, after.highest) > 0) after.highest = launched.packagedVersion;

  if (mode === 'trial' && next.trial) return { choice: next, record: after, onTrial: true, awaited: null };

  const given = GIVEN_UP[trialNote];
  if (next.trial && given) {
    next.trial = null;
    end('failed', given);
  }
  if (next.kept && (keptNote === 'crashed' || keptNote === 'damaged' || keptNote === 'older')) {
    if (after.update?.sha256 === next.kept.sha256 && after.update.state === 'updated') {
      const reason = GIVEN_UP[keptNote] ?? null;
      after.update = { ...after.update, state: 'failed', reason };
    }
    next.kept = null;
  }
  if (!next.trial && after.update?.state === 'trial') {
    // Kept, and the word of it was not written; or noted and never begun, and then it may be ordered again.
    if (after.update.version === version) {
      end('updated', null);
      if (compareVersions(version, after.highest) > 0) after.highest = version;
    } else {
      after.update = null;
    }
  }
  const awaited =
    next.trial && trialNote === 'missing' ? next.trial : keptNote === 'missing' ? next.kept : null;
  return { choice: next, record: after, onTrial: false, awaited };
}
