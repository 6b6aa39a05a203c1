/** The first run, in the order it is walked. */
export const STEPS = ['language', 'password', 'disk', 'line', 'pair'] as const;
export type Step = (typeof STEPS)[number];

/** What is known of the box when a step is to be shown. */
export interface Progress {
  /** Nobody has set a password: the steps behind it cannot be seen. */
  setupNeeded: boolean;
  diskChosen: boolean;
}

/**
 * Which step to show: the one the address bar names, so that a reload goes on where it was, unless it lies behind a
 * password that is not set. Without a name the first that is not done.
 */
export function stepOf(named: string | undefined, { setupNeeded, diskChosen }: Progress): Step {
  const wanted = STEPS.find((step) => step === named);
  if (setupNeeded) return wanted === 'password' ? 'password' : 'language';
  return wanted ?? (diskChosen ? 'line' : 'disk');
}

export function stepAfter(step: Step): Step | null {
  return STEPS[STEPS.indexOf(step) + 1] ?? null;
}

export function stepBefore(step: Step): Step | null {
  return STEPS[STEPS.indexOf(step) - 1] ?? null;
}
