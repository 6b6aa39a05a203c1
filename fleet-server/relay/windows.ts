/**
 * What a process that is a relay alone is to be started with: else V8 lets its young objects grow to 48 MB before it
 * looks at them, and glibc keeps an arena for each thread.
 */
export const RELAY_ENVIRONMENT = { NODE_OPTIONS: '--max-semi-space-size=2', MALLOC_ARENA_MAX: '2' };

/** What clients that do not read may make all streams together hold, roughly, bytes. */
const BUDGET_BYTES = 16 * 1024 * 1024;
/** HTTP/2's own default: less would slow every stream down and save little. */
const LEAST_BYTES = 64 * 1024;
/**
 * Enough for 200 MB/s at 40 ms of round trip: nghttp2 gives a window back once half of it has been read, so that what
 * a stream carries is half its window in a round trip.
 */
const MOST_BYTES = 16 * 1024 * 1024;

/**
 * The window of each stream (RFC 9113 section 5.2): what a box may send before the client has read it, and so what
 * the relay may have to hold for a client that does not read. With few streams it is wide, since a window divided by
 * the round-trip time is the most a stream can carry; with many it is narrow, since their sum is memory. A power of
 * two, so that it changes seldom. A stream keeps the width it came with, so the k-th one holds a k-th of the budget
 * at most: together that is under `BUDGET_BYTES * (1 + ln streams)`, or 64 KiB each where that is more.
 * @param streams open on the whole relay
 */
export function windowFor(streams: number): number {
  const share = BUDGET_BYTES / Math.max(1, streams);
  return Math.max(LEAST_BYTES, Math.min(MOST_BYTES, 2 ** Math.floor(Math.log2(share))));
}
