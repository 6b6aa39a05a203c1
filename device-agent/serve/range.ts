/** What a Range header asks of a representation. */
export type RangeRequest =
  /** Answer 200 with the whole: no range, one we do not take, or one that is not well-formed. */
  | { kind: 'whole' }
  /** Answer 416. */
  | { kind: 'unsatisfiable' }
  /** Answer 206 with the bytes from `start` up to and without `end`. */
  | { kind: 'part'; start: number; end: number };

const WHOLE: RangeRequest = { kind: 'whole' };

/**
 * Reads a Range header (RFC 9110 section 14.2). One range is taken; several get the whole, which the section
 * allows; what is not well-formed is ignored.
 */
export function parseRange(header: string | undefined, sizeBytes: number): RangeRequest {
  const match = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(header ?? '');
  if (!match) return WHOLE;
  const [, first = '', last = ''] = match;
  if (first === '') {
    if (last === '') return WHOLE;
    const suffix = Number(last);
    if (suffix === 0) return { kind: 'unsatisfiable' };
    // An empty representation has no last bytes, and 206 could not name them.
    if (sizeBytes === 0) return WHOLE;
    return { kind: 'part', start: Math.max(0, sizeBytes - suffix), end: sizeBytes };
  }
  const start = Number(first);
  if (last !== '' && Number(last) < start) return WHOLE;
  if (start >= sizeBytes) return { kind: 'unsatisfiable' };
  const end = last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  return { kind: 'part', start, end };
}
