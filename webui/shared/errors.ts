import { ApiError, type ApiErrorCode } from './api.ts';
import { sharedEn } from './messages/en.ts';
import { sharedText } from './text.ts';

/** An error as a person should read it. */
export interface Explained {
  /** What happened and what to do, in the chosen language. */
  title: string;
  /** The server's own words where they add something, such as which field is wrong. */
  detail: string | null;
}

/** Codes whose own message names the thing at fault; for others the title says all there is. */
const DETAILED = new Set<string>([
  'bad_request',
  'conflict',
  'forbidden',
  'insecure_fleet_url',
  'origin_unreachable',
  'origin_status',
  'origin_changed',
  'unavailable',
]);

/** Puts anything thrown into plain words. */
export function explain(error: unknown): Explained {
  if (!(error instanceof ApiError)) return { title: sharedText('error.unexpected'), detail: String(error) };
  return explainReason(error.code, error.message);
}

/** The same for a `{code, message}` that came inside an answer: why an asset failed, say. */
export function explainReason(code: string, message: string): Explained {
  const key = `error.${code}`;
  if (!isKnown(key)) return { title: message || code, detail: null };
  return { title: sharedText(key), detail: DETAILED.has(code) && message !== '' ? sentence(message) : null };
}

/** The servers write messages without a capital, since they go into logs too. */
function sentence(message: string): string {
  // A word gets a capital, an address or a path does not.
  const capital =
    /^[a-z]+[\s,:;]/.test(message) && !/^\w+:\/\//.test(message)
      ? message.charAt(0).toUpperCase() + message.slice(1)
      : message;
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

function isKnown(key: string): key is `error.${ApiErrorCode}` {
  return Object.hasOwn(sharedEn, key);
}
