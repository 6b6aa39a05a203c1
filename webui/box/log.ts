import { signal } from '@preact/signals';
import type { LogEvent, LogLine } from '#protocol/http-box.ts';
import { mergeNewest } from './lines.ts';

/** As many as the box itself remembers. */
const KEPT_LINES = 500;

/** Somebody looks at the log: then the stream of events has it too. */
export const logWanted = signal(false);

/** The log as far as it is known, newest first; null before the first answer. */
export const logLines = signal<readonly LogLine[] | null>(null);

/** Lines that came too fast to be told, since the page was opened. */
export const logSkipped = signal(0);

export function takeLog({ items, skipped }: LogEvent): void {
  logLines.value = mergeNewest(logLines.peek() ?? [], items, KEPT_LINES);
  logSkipped.value += skipped;
}

export function forgetLog(): void {
  logLines.value = null;
  logSkipped.value = 0;
}
