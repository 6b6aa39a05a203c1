/** Something to ask again and again: its owner stops it, a mutation may ask for it at once. */
export interface Poll {
  refresh(): void;
  stop(): void;
}

/** Whether anyone is looking; the page's visibility in a browser. */
export interface Visibility {
  hidden(): boolean;
  /** Calls back on every change; answers how to stop. */
  subscribe(listener: () => void): () => void;
}

export interface PollOptions {
  /** One question; it must obey the signal. What it throws is handed to `onError` and slows the poll down. */
  run: (signal: AbortSignal) => Promise<void>;
  intervalMs: number;
  onError: (error: unknown) => void;
  /** The longest wait after failures in a row, milliseconds. */
  maxDelayMs?: number;
  visibility?: Visibility;
  setTimer?: (callback: () => void, delayMs: number) => unknown;
  clearTimer?: (timer: unknown) => void;
  random?: () => number;
}

const MAX_DELAY_MS = 15_000;

/** How long to wait after `failures` in a row: doubled each time, bounded, with jitter so that tabs spread. */
export function backOffMs(intervalMs: number, failures: number, maxDelayMs: number, random: number): number {
  if (failures === 0) return intervalMs;
  const doubled = Math.min(Math.max(intervalMs, 500) * 2 ** Math.min(failures, 10), maxDelayMs);
  return Math.max(intervalMs, doubled * (0.75 + 0.5 * random));
}

const pageVisibility: Visibility = {
  hidden: () => document.hidden,
  subscribe(listener) {
    document.addEventListener('visibilitychange', listener);
    window.addEventListener('online', listener);
    return () => {
      document.removeEventListener('visibilitychange', listener);
      window.removeEventListener('online', listener);
    };
  },
};

/**
 * Asks now, then again `intervalMs` after each answer. Failures are asked again with back-off, a hidden page
 * asks nothing and catches up as soon as it is seen.
 */
export function startPoll(options: PollOptions): Poll {
  const visibility = options.visibility ?? pageVisibility;
  const setTimer = options.setTimer ?? ((callback, delayMs) => setTimeout(callback, delayMs));
  const clearTimer = options.clearTimer ?? ((timer) => clearTimeout(timer as number));
  const random = options.random ?? Math.random;
  let stopped = false;
  let failures = 0;
  let timer: unknown;
  let running: AbortController | null = null;

  const ask = async (): Promise<void> => {
    clearTimer(timer);
    running?.abort();
    const mine = new AbortController();
    running = mine;
    try {
      await options.run(mine.signal);
      failures = 0;
    } catch (error) {
      if (mine.signal.aborted) return;
      failures += 1;
      options.onError(error);
    }
    if (stopped || running !== mine) return;
    running = null;
    if (visibility.hidden()) return;
    timer = setTimer(
      () => void ask(),
      backOffMs(options.intervalMs, failures, options.maxDelayMs ?? MAX_DELAY_MS, random()),
    );
  };

  const unsubscribe = visibility.subscribe(() => {
    if (visibility.hidden()) clearTimer(timer);
    else void ask();
  });
  void ask();

  return {
    refresh: () => {
      if (!stopped) void ask();
    },
    stop: () => {
      stopped = true;
      clearTimer(timer);
      running?.abort();
      unsubscribe();
    },
  };
}
