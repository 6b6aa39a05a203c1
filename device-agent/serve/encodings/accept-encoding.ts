import type { Coding } from './variant.ts';
import { CODINGS } from './variant.ts';

/** What a client takes. */
export interface Wanted {
  /** Codings it takes at least as gladly as plain bytes, best first. */
  readonly codings: readonly Coding[];
  /** False: plain bytes are ruled out. */
  readonly identity: boolean;
}

/** Without the header any coding would do, but who says nothing may well understand nothing. */
const PLAIN: Wanted = { codings: [], identity: true };
/** More than any client sends; the rest is not read. */
const MOST_ELEMENTS = 32;
/** Clients send the same few headers again and again; short ones are remembered. */
const MOST_REMEMBERED = 64;
const LONGEST_REMEMBERED = 200;
const remembered = new Map<string, Wanted>();

/** Reads Accept-Encoding (RFC 9110 section 12.5.3): q-values, `*`, and `identity`, which goes without saying. */
export function readAcceptEncoding(header: string | undefined): Wanted {
  if (header === undefined) return PLAIN;
  const known = remembered.get(header);
  if (known) return known;
  const wanted = parse(header);
  if (header.length <= LONGEST_REMEMBERED) {
    if (remembered.size >= MOST_REMEMBERED) remembered.clear();
    remembered.set(header, wanted);
  }
  return wanted;
}

const ELEMENT = /^[ \t]*([\w*!#$%&'+.^`|~-]+)[ \t]*(?:;[ \t]*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)[ \t]*)?$/;

function parse(header: string): Wanted {
  const given = new Map<string, number>();
  for (const element of header.toLowerCase().split(',', MOST_ELEMENTS)) {
    const [, name, q] = ELEMENT.exec(element) ?? [];
    if (name !== undefined) given.set(name === 'x-gzip' ? 'gzip' : name, q === undefined ? 1 : Number(q));
  }
  const others = given.get('*');
  const weightOf = (coding: Coding) => given.get(coding) ?? others ?? 0;
  const plain = given.get('identity');
  const codings = CODINGS.filter((coding) => weightOf(coding) > 0 && weightOf(coding) >= (plain ?? 0));
  return {
    codings: codings.sort((a, b) => weightOf(b) - weightOf(a)),
    identity: (plain ?? (others === 0 ? 0 : 1)) > 0,
  };
}
