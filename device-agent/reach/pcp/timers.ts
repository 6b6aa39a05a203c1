/** When a request is sent again, and when it is given up: each number is the wait after one sending, ms. */
export type Waits = readonly number[];

/** RFC 6887 section 8.1.1: initial and largest retransmission time. */
const IRT_MS = 3_000;
const MRT_MS = 1_024_000;

/**
 * PCP's waits (RFC 6887 section 8.1.1): doubling from 3 s, each with up to a tenth of jitter either way.
 * @param durationMs MRD, when the client gives up; the RFC's own 0 (never) would keep the other ways waiting
 */
export function pcpWaits(durationMs: number, random: () => number = Math.random): Waits {
  const jitter = () => 1 + (random() - 0.5) / 5;
  const waits: number[] = [];
  let left = durationMs;
  for (let wait = IRT_MS * jitter(); left > 0; wait = jitter() * Math.min(2 * wait, MRT_MS)) {
    waits.push(Math.min(wait, left));
    left -= wait;
  }
  return waits;
}

/** NAT-PMP's waits (RFC 6886 section 3.1): doubling from 250 ms. The RFC's nine sendings would take 128 s. */
export function natPmpWaits(sendings = 5): Waits {
  return Array.from({ length: sendings }, (_, index) => 250 * 2 ** index);
}
