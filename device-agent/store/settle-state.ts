import { chunkSpan } from '#protocol/asset.ts';
import type { ObjectEntry } from './catalog.ts';
import type { ObjectFiles } from './object-files.ts';

/**
 * Finds out from the disk what is there of an object.
 * @param about `mayBeBegun` false: it is known that the workshop has nothing of it
 */
export async function settleState(
  object: ObjectEntry,
  files: ObjectFiles,
  { writable, mayBeBegun }: { writable: boolean; mayBeBegun: boolean },
): Promise<void> {
  const { sha256 } = object;
  const sizeBytes = await files.sizeOf(sha256);
  const { partial, journal } = mayBeBegun ? await files.begun(sha256) : { partial: false, journal: false };
  if (sizeBytes === null) {
    object.state = partial ? 'partial' : 'absent';
  } else if (sizeBytes === object.sizeBytes && !journal) {
    object.state = 'complete';
  } else if (writable) {
    // Cut short, or a crash came between taking it out of service and moving it: verify before serving.
    await files.reopen(sha256);
    object.state = 'partial';
  } else {
    object.state = 'absent';
    object.bytesDone = 0;
    return;
  }
  if (object.state === 'complete') return;
  let bytesDone = 0;
  if (object.state === 'partial') {
    for (const index of await files.claimed(sha256, object.chunks))
      bytesDone += chunkSpan(object, index).length;
  }
  object.bytesDone = bytesDone;
}
