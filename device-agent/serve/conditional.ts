import type { RequestHead } from './reply.ts';
import { headerOf } from './reply.ts';

/** What a client can compare with. */
export interface Validators {
  /** Strong, with its quotes. */
  etag: string;
  /** As the origin wrote it. */
  lastModified: string | null;
}

export type Precondition = 'proceed' | 'not_modified' | 'failed';

/** Evaluates the preconditions of a GET or HEAD in the order of RFC 9110 section 13.2.2, Range aside. */
export function evaluatePreconditions(headers: RequestHead['headers'], validators: Validators): Precondition {
  const ifMatch = headerOf(headers, 'if-match');
  const ifUnmodifiedSince = headerOf(headers, 'if-unmodified-since');
  if (ifMatch !== undefined) {
    if (!matches(ifMatch, validators.etag, 'strong')) return 'failed';
  } else if (ifUnmodifiedSince !== undefined) {
    const sinceMs = timeOf(ifUnmodifiedSince);
    const modifiedMs = timeOf(validators.lastModified);
    if (sinceMs !== null && modifiedMs !== null && modifiedMs > sinceMs) return 'failed';
  }
  const ifNoneMatch = headerOf(headers, 'if-none-match');
  if (ifNoneMatch !== undefined) {
    return matches(ifNoneMatch, validators.etag, 'weak') ? 'not_modified' : 'proceed';
  }
  const sinceMs = timeOf(headerOf(headers, 'if-modified-since') ?? null);
  if (sinceMs === null) return 'proceed';
  const modifiedMs = timeOf(validators.lastModified);
  return modifiedMs !== null && modifiedMs <= sinceMs ? 'not_modified' : 'proceed';
}

/**
 * Whether a Range may be honoured (RFC 9110 section 13.1.5): the entity tag by strong comparison, or the date
 * exactly as we sent it.
 */
export function ifRangeHolds(header: string | undefined, validators: Validators): boolean {
  if (header === undefined) return true;
  const value = header.trim();
  if (value.startsWith('"') || value.startsWith('W/')) return value === validators.etag;
  return validators.lastModified !== null && value === validators.lastModified;
}

/** Whether an entity tag is in a list, or the list is `*` (RFC 9110 section 8.8.3.2). */
function matches(list: string, etag: string, comparison: 'strong' | 'weak'): boolean {
  if (list.trim() === '*') return true;
  // Commas may stand inside a tag: take the tags out one by one.
  for (const [, weak, tag] of list.matchAll(/(W\/)?("[\x21\x23-\x7e\x80-\xff]*")/g)) {
    if (tag === etag && (comparison === 'weak' || weak === undefined)) return true;
  }
  return false;
}

const IMF_FIXDATE = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/;
const RFC850_DATE = /^(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \d\d-[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d GMT$/;
const ASCTIME_DATE = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/;

/**
 * An HTTP date in one of its three forms (RFC 9110 section 5.6.7), in ms; null when it is none: a condition on it
 * is then ignored.
 */
function timeOf(date: string | null): number | null {
  if (date === null) return null;
  let ms = Number.NaN;
  if (IMF_FIXDATE.test(date) || RFC850_DATE.test(date)) ms = Date.parse(date);
  // It names no zone and is in UTC all the same.
  else if (ASCTIME_DATE.test(date)) ms = Date.parse(`${date} GMT`);
  return Number.isNaN(ms) ? null : ms;
}
