/** Anything the box numbers as it comes: activity, lines of its log. */
interface Numbered {
  seq: number;
  at: string;
}

/**
 * Newest first. Fresh ones come oldest first; numbers that begin anew are those of a box that was restarted, and its
 * list takes the place of the old one.
 * @param most how many are kept
 */
export function mergeNewest<T extends Numbered>(
  before: readonly T[],
  fresh: readonly T[],
  most: number,
): T[] {
  const newest = fresh.toReversed();
  const first = fresh[0];
  const known = before.find((item) => item.seq === first?.seq);
  if (first?.seq === 1 || (known && known.at !== first?.at)) return newest.slice(0, most);
  const seen = new Set(newest.map((item) => item.seq));
  return [...newest, ...before.filter((item) => !seen.has(item.seq))].slice(0, most);
}
