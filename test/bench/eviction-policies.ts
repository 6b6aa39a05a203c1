import { Ghosts } from '#agent/evict/ghosts.ts';
import { Heat } from '#agent/evict/heat.ts';

/** One request of a trace: which object, and its size in bytes. */
export interface Trace {
  name: string;
  keys: Uint32Array;
  /** By key, bytes. */
  sizes: Float64Array;
  capacityBytes: number;
}

export interface Ratios {
  objects: number;
  bytes: number;
}

/** A generator of numbers from 0 up to 1 with a seed (mulberry32), the same on every machine. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface TraceOptions {
  alpha: number;
  objects: number;
  requests: number;
  /** Of all bytes, how much the cache holds. */
  share: number;
  varied: boolean;
  /** Every so many requests a run through objects that never come again, as long as `scanLength`; 0: none. */
  scanEvery: number;
  scanLength: number;
  seed: number;
}

/** Requests by Zipf's law, if wished with scans between them; sizes all the same, or over four powers of ten. */
export function makeTrace(name: string, options: TraceOptions): Trace {
  const random = seeded(options.seed);
  const cumulated = new Float64Array(options.objects);
  let sum = 0;
  for (let rank = 0; rank < options.objects; rank++) {
    sum += 1 / (rank + 1) ** options.alpha;
    cumulated[rank] = sum;
  }
  const keys: number[] = [];
  let scanned = options.objects;
  for (let n = 0; n < options.requests; n++) {
    if (options.scanEvery > 0 && n > 0 && n % options.scanEvery === 0) {
      for (let at = 0; at < options.scanLength; at++) keys.push(scanned++);
    }
    const wanted = random() * sum;
    let low = 0;
    let high = options.objects - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((cumulated[middle] ?? 0) < wanted) low = middle + 1;
      else high = middle;
    }
    keys.push(low);
  }
  const sizes = new Float64Array(scanned);
  for (let key = 0; key < scanned; key++) {
    sizes[key] = options.varied ? Math.round(4096 * 10 ** (random() * 4)) : 65_536;
  }
  const total = sizes.subarray(0, options.objects).reduce((all, size) => all + size, 0);
  return { name, keys: Uint32Array.from(keys), sizes, capacityBytes: total * options.share };
}

type Admit = (key: number, size: number) => boolean;

function run(trace: Trace, isHit: Admit): Ratios {
  let hits = 0;
  let hitBytes = 0;
  let bytes = 0;
  for (const key of trace.keys) {
    const size = trace.sizes[key] ?? 0;
    bytes += size;
    if (!isHit(key, size)) continue;
    hits++;
    hitBytes += size;
  }
  return { objects: hits / trace.keys.length, bytes: hitBytes / bytes };
}

export function lru(trace: Trace): Ratios {
  const held = new Map<number, number>();
  let used = 0;
  return run(trace, (key, size) => {
    const isHeld = held.delete(key);
    held.set(key, size);
    if (isHeld) return true;
    used += size;
    for (const [oldest, itsSize] of held) {
      if (used <= trace.capacityBytes) break;
      held.delete(oldest);
      used -= itsSize;
    }
    return false;
  });
}

/** The agent's rule, as if every object that is missed came and asked for room: what is coldest gives way. */
export function heatRule(trace: Trace): Ratios {
  // Requests stand for time: the whole trace for four half-lives, as a month for a week.
  const heat = new Heat(trace.keys.length / 4, -1);
  const ghosts = new Ghosts(16_384);
  const held = new Map<number, number>();
  const queue = new Heap();
  let used = 0;
  let now = 0;
  const prefixOf = (key: number) => Math.imul(key + 1, 0x9e3779b1) >>> 0;
  return run(trace, (key, size) => {
    now++;
    const own = held.get(key);
    if (own !== undefined) {
      held.set(key, heat.used(own, now));
      return true;
    }
    const fresh = heat.used(ghosts.recall(prefixOf(key)), now);
    const victims: number[] = [];
    let room = trace.capacityBytes - used;
    while (room < size) {
      const coldest = queue.peek();
      if (!coldest) break;
      const truly = held.get(coldest.key) ?? 0;
      if (truly > coldest.heat) {
        // It was used since it was put in line.
        queue.pop();
        queue.push({ key: coldest.key, heat: truly });
        continue;
      }
      if (truly >= fresh) break;
      queue.pop();
      victims.push(coldest.key);
      room += trace.sizes[coldest.key] ?? 0;
    }
    if (room < size) {
      // Not worth what would have to go.
      for (const victim of victims) queue.push({ key: victim, heat: held.get(victim) ?? 0 });
      ghosts.remember(prefixOf(key), fresh);
      return false;
    }
    for (const victim of victims) {
      ghosts.remember(prefixOf(victim), held.get(victim) ?? 0);
      held.delete(victim);
      used -= trace.sizes[victim] ?? 0;
    }
    held.set(key, fresh);
    queue.push({ key, heat: fresh });
    used += size;
    return false;
  });
}

/**
 * Belady's MIN: what is used again last gives way, a newcomer included. With equal sizes no rule does better; with
 * varied ones it is an approximation, since the true optimum is NP-hard.
 */
export function belady(trace: Trace): Ratios {
  const { keys } = trace;
  const next = new Float64Array(keys.length).fill(Number.POSITIVE_INFINITY);
  const seen = new Map<number, number>();
  for (let at = keys.length - 1; at >= 0; at--) {
    const key = keys[at] ?? 0;
    next[at] = seen.get(key) ?? Number.POSITIVE_INFINITY;
    seen.set(key, at);
  }
  const held = new Map<number, number>();
  const queue = new Heap();
  let used = 0;
  let at = -1;
  return run(trace, (key, size) => {
    at++;
    const isHeld = held.has(key);
    const nextAt = next[at] ?? Number.POSITIVE_INFINITY;
    held.set(key, nextAt);
    // Latest first: the heap gives the lowest.
    queue.push({ key, heat: -nextAt });
    if (!isHeld) used += size;
    while (used > trace.capacityBytes) {
      const latest = queue.pop();
      if (!latest) break;
      if (held.get(latest.key) !== -latest.heat) continue;
      held.delete(latest.key);
      used -= trace.sizes[latest.key] ?? 0;
    }
    return isHeld;
  });
}

/** A binary heap, coldest first. */
class Heap {
  readonly #items: { key: number; heat: number }[] = [];

  peek(): { key: number; heat: number } | undefined {
    return this.#items[0];
  }
  push(item: { key: number; heat: number }): void {
    const items = this.#items;
    let at = items.push(item) - 1;
    while (at > 0) {
      const above = (at - 1) >>> 1;
      const other = items[above];
      if (!other || other.heat <= item.heat) break;
      items[at] = other;
      at = above;
    }
    items[at] = item;
  }
  pop(): { key: number; heat: number } | undefined {
    const items = this.#items;
    const top = items[0];
    const last = items.pop();
    if (!last || items.length === 0) return top;
    let at = 0;
    for (;;) {
      let below = at * 2 + 1;
      const right = items[below + 1];
      if (right && right.heat < (items[below]?.heat ?? Number.POSITIVE_INFINITY)) below++;
      const other = items[below];
      if (!other || other.heat >= last.heat) break;
      items[at] = other;
      at = below;
    }
    items[at] = last;
    return top;
  }
}

const BASE = { objects: 20_000, requests: 200_000, share: 0.05, scanEvery: 0, scanLength: 0, seed: 7 };

/** The traces of the bench and of its test. */
export function traces(): Trace[] {
  const made: Trace[] = [];
  for (const varied of [false, true]) {
    const kind = varied ? 'sizes 4 KB to 40 MB' : 'equal sizes';
    for (const alpha of [0.8, 0.9, 1.0, 1.1]) {
      made.push(makeTrace(`Zipf ${alpha.toFixed(1)}, ${kind}`, { ...BASE, alpha, varied }));
    }
    const scans = { ...BASE, alpha: 0.9, varied, scanEvery: 20_000, scanLength: 5_000 };
    made.push(makeTrace(`Zipf 0.9 with scans, ${kind}`, scans));
  }
  return made;
}
