/** Worker processes at most. */
export const MOST_WORKERS = 16;
/** By itself a box takes no more: a home's line is full long before. */
const MOST_BY_ITSELF = 4;
/** What a machine must have for each worker, bytes: one takes up to a tenth of it. */
const MEMORY_EACH_BYTES = 512 * 2 ** 20;

/**
 * How many processes shall serve clients on this machine: one for each core, if there is memory for them.
 * @returns 1 where more than one would not be worth it
 */
export function workersFor(cores: number, memoryBytes: number): number {
  // A machine of 1 GiB says a little less.
  const byMemory = Math.round(memoryBytes / MEMORY_EACH_BYTES);
  return Math.max(1, Math.min(cores, byMemory, MOST_BY_ITSELF));
}
