/**
 * The Server-Timing header (W3C Server Timing): where the bytes came from and how long that took. A player's
 * developer sees whether the box was slow or the way to it; of the household it tells nothing.
 */
const FROM_MEMORY = 'cache;desc="hit, memory"';

/** @param readMs until the bytes could be read; null: they were in memory */
export function serverTiming(readMs: number | null): string {
  return readMs === null ? FROM_MEMORY : `cache;desc="hit, disk", read;dur=${readMs.toFixed(1)}`;
}
