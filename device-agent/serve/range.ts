/** Bytes from `start` up to and without `end`. */
export interface Span {
  start: number;
  end: number;
}

/** What a Range header asks of a representation. */
export type RangeRequest =
  /** Answer 200 with the whole: no range, one we do not take, or one that is not well-formed. */
  | { kind: 'whole' }
  /** Answer 416. */
  | { kind: 'unsatisfiable' }
  /** Answer 206: one span plainly, several as multipart/byteranges; they do not overlap. */
  | { kind: 'part'; spans: [Span, ...Span[]] };

const WHOLE: RangeRequest = { kind: 'whole' };
const UNSATISFIABLE: RangeRequest = { kind: 'unsatisfiable' };
/** More ranges than any player, reader or download manager asks for at once: who asks for more gets the whole. */
const MOST_RANGES = 32;
/** A gap that costs fewer bytes to send than the lines between two parts, bytes. */
const WORTH_CLOSING = 128;

/**
 * Reads a Range header (RFC 9110 section 14.2). What is not well-formed is ignored, and so is a set of more than 32.
 * Ranges that overlap or nearly touch become one (section 15.3.7.2), so that no set makes us send more than the
 * whole, nor many lines for few bytes. The order asked for is kept unless some had to be joined.
 */
export function parseRange(header: string | undefined, sizeBytes: number): RangeRequest {
  if (header === undefined) return WHOLE;
  const list = /^bytes=(.*)$/i.exec(header)?.[1];
  if (list === undefined) return WHOLE;
  const spans: Span[] = [];
  let count = 0;
  for (const element of list.split(',', 2 * MOST_RANGES + 1)) {
    const text = element.trim();
    // Empty elements of a list count for nothing (section 5.6.1.2).
    if (text === '') continue;
    if (++count > MOST_RANGES) return WHOLE;
    const span = parseOne(text, sizeBytes);
    if (span === 'invalid') return WHOLE;
    if (span !== null) spans.push(span);
  }
  if (count === 0) return WHOLE;
  const [first, ...rest] = joined(spans);
  return first ? { kind: 'part', spans: [first, ...rest] } : UNSATISFIABLE;
}

/** @returns null when nothing of it is there */
function parseOne(text: string, sizeBytes: number): Span | null | 'invalid' {
  const match = /^(\d*)-(\d*)$/.exec(text);
  if (!match) return 'invalid';
  const [, first = '', last = ''] = match;
  if (first === '') {
    if (last === '') return 'invalid';
    const suffix = Number(last);
    if (suffix === 0) return null;
    // An empty representation has no last bytes, and 206 could not name them.
    if (sizeBytes === 0) return 'invalid';
    return { start: Math.max(0, sizeBytes - suffix), end: sizeBytes };
  }
  const start = Number(first);
  if (last !== '' && Number(last) < start) return 'invalid';
  if (start >= sizeBytes) return null;
  return { start, end: last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes) };
}

function joined(spans: Span[]): Span[] {
  if (spans.length < 2) return spans;
  const sorted = spans.toSorted((a, b) => a.start - b.start);
  const result: Span[] = [];
  for (const span of sorted) {
    const last = result.at(-1);
    if (last && span.start <= last.end + WORTH_CLOSING) last.end = Math.max(last.end, span.end);
    else result.push({ ...span });
  }
  return result.length === spans.length ? spans : result;
}
