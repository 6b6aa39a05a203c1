import type { ErrorCode } from '#protocol/errors.ts';
import { isHearthError } from '#protocol/errors.ts';
import type { Artefact, Installed, UpdateOrder } from '#protocol/release.ts';
import { assertSuitable } from '#protocol/release.ts';

/** What is known when the next step of an update is chosen. */
export interface UpdateFacts {
  order: UpdateOrder;
  box: Installed;
  packaged: string;
  /** Null while the time is not known. */
  hour: number | null;
  timeKnown: boolean;
  /** The metadata was brought up to date for this order. */
  refreshed: boolean;
  /** That was just now: what was signed may have run out, or been taken back, while a box waited for its hours. */
  fresh: boolean;
  artefact: Artefact | null;
  /** Files can be written to it. */
  disk: boolean;
  /** The household lets things go over its line. */
  accepting: boolean;
  /** The fleet can be reached, so that a new version could prove itself. */
  linked: boolean;
  /** Whole, verified, on the disk. */
  installed: boolean;
  /** It has been asked what it is, and answered. */
  tried: boolean;
}

export type WaitReason = 'time' | 'disk' | 'paused' | 'link' | 'window';
export type UpdateStep =
  | { do: 'wait'; for: WaitReason }
  | { do: 'refresh' | 'download' | 'try' | 'switch' | 'use-packaged' | 'done' }
  | { do: 'fail'; code: ErrorCode; message: string };

/**
 * The next step towards what was ordered. Nothing is fetched or switched on a pause of the household's; nothing is
 * believed before the time is known, and nothing is switched to that could not prove itself.
 */
export function planUpdate(facts: UpdateFacts): UpdateStep {
  const { order, box, artefact } = facts;
  if (order.version === box.version) return { do: 'done' };
  if (!facts.timeKnown) return { do: 'wait', for: 'time' };
  if (!facts.refreshed) return { do: 'refresh' };
  if (!artefact) {
    const message = `${order.version} is not released for ${box.architecture}`;
    return { do: 'fail', code: 'release_unsuitable', message };
  }
  try {
    assertSuitable(artefact, box);
  } catch (error) {
    if (isHearthError(error)) return { do: 'fail', code: error.code, message: error.message };
    throw error;
  }
  if (order.version !== facts.packaged) {
    if (!facts.disk) return { do: 'wait', for: 'disk' };
    if (!facts.installed) return facts.accepting ? { do: 'download' } : { do: 'wait', for: 'paused' };
    if (!facts.tried) return { do: 'try' };
  }
  if (!inWindow(order.window, facts.hour)) return { do: 'wait', for: 'window' };
  if (!facts.accepting) return { do: 'wait', for: 'paused' };
  if (!facts.linked) return { do: 'wait', for: 'link' };
  if (!facts.fresh) return { do: 'refresh' };
  return { do: order.version === facts.packaged ? 'use-packaged' : 'switch' };
}

/** A window that ends before it begins goes on past midnight; one of no length is the whole day. */
export function inWindow(window: UpdateOrder['window'], hour: number | null): boolean {
  if (!window || window.fromHour === window.toHour) return true;
  if (hour === null) return false;
  const { fromHour, toHour } = window;
  return fromHour < toHour ? hour >= fromHour && hour < toHour : hour >= fromHour || hour < toHour;
}
