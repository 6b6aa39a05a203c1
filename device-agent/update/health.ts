import { wait } from '#agent/time/backoff.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';
import { get, type SelfTestParts, selfTest } from './self-test.ts';

export interface HealthParts {
  /** What lies on the disk can be served. */
  diskReadable: () => boolean;
  /** New bytes may be written to it. */
  diskWritable: () => boolean;
  /** The household lets things go over its line. */
  accepting: () => boolean;
  /** The fleet has been greeted on this connection. */
  linked: () => boolean;
  /** Null before the fleet has said who this box is. */
  selfTest: () => SelfTestParts | null;
}

const TRY_MS = 20_000;
const PAUSE_MS = 500;

/**
 * Resolves when this version has shown that it does a box's work: it runs, sees its disk, has a link to its fleet,
 * and serves. While the household has paused its line, or the disk takes nothing more, an answer on the content port
 * must do.
 * @throws HearthError `update_unhealthy` with the last trouble, when the deadline has passed
 */
export async function proveHealth(
  parts: HealthParts,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const left = deadline - performance.now();
    const tryMs = Math.ceil(Math.max(1, Math.min(TRY_MS, left)));
    const problem = await tryHealth(parts, AbortSignal.any([signal, AbortSignal.timeout(tryMs)]));
    signal.throwIfAborted();
    if (problem === null) return;
    if (performance.now() >= deadline) throw new HearthError('update_unhealthy', problem.slice(0, 200));
    await wait(PAUSE_MS, signal);
  }
}

async function tryHealth(parts: HealthParts, signal: AbortSignal): Promise<string | null> {
  if (!parts.diskReadable()) return 'it does not see its disk';
  if (!parts.linked()) return 'it has no link to its fleet';
  const test = parts.selfTest();
  if (!test) return 'the fleet has not told it who it is';
  try {
    if (parts.accepting() && parts.diskWritable()) await selfTest(test, signal);
    else await answers(test, signal);
    return null;
  } catch (error) {
    return `it could not serve: ${messageOf(error)}`;
  }
}

async function answers({ contentUrl, boxId }: SelfTestParts, signal: AbortSignal): Promise<void> {
  const { status, body } = await get(`${contentUrl}/_hearth/health`, {}, signal);
  if (status !== 200 || !body.includes(boxId)) throw new Error(`its own content port answered ${status}`);
}
