/** A box the router may send clients to, with what is known of its load. */
export interface Candidate {
  boxId: string;
  contentUrl: string;
  /** From the last heartbeat. */
  connections: number;
  bytesPerSecond: number;
  /** Clients this router sent there since, halved every second: heartbeats are too slow to spread a burst. */
  sentLately: number;
}

/**
 * Chooses a box: of two drawn at random the less loaded one. That spreads clients nearly as well as asking all,
 * and does not send every client of a moment to the one box that looked idle (Mitzenmacher's two choices).
 * @param random from [0, 1)
 * @returns null when there is none
 */
export function choose(candidates: readonly Candidate[], random: () => number): Candidate | null {
  const first = Math.floor(random() * candidates.length);
  const one = candidates[first];
  if (!one || candidates.length === 1) return one ?? null;
  // The second draw is among the others.
  const second = (first + 1 + Math.floor(random() * (candidates.length - 1))) % candidates.length;
  const other = candidates[second] ?? one;
  return loadOf(other) < loadOf(one) ? other : one;
}

/** Connections are what a box runs out of first; a megabyte a second counts as one more. */
function loadOf(candidate: Candidate): number {
  return candidate.connections + candidate.sentLately + candidate.bytesPerSecond / 1e6;
}
