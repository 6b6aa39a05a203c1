import type { Bench } from './bench.ts';
import { belady, heatRule, lru, traces } from './eviction-policies.ts';

/** Hit ratios of the agent's eviction rule on traces with seeds, beside plain LRU and the optimum. */
export const eviction: Bench = async ({ emit, progress }) => {
  for (const trace of traces()) {
    progress(`eviction: ${trace.name}`);
    const [ours, plain, best] = [heatRule(trace), lru(trace), belady(trace)];
    for (const [unit, own, theirs, most] of [
      ['object hit %', ours.objects, plain.objects, best.objects],
      ['byte hit %', ours.bytes, plain.bytes, best.bytes],
    ] as const) {
      const row = { bench: 'eviction', case: trace.name, value: own * 100, unit };
      emit({ ...row, peer: `LRU`, ratio: own / theirs });
      emit({ ...row, peer: 'Belady', ratio: own / most });
    }
  }
};
