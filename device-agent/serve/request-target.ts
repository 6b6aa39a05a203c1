import { skippedIn } from '#protocol/content-url.ts';
import { TOKEN_CHARS } from '#protocol/delivery-token.ts';
import { LIMITS } from '#protocol/limits.ts';

/** What the request line of a content request says. */
export interface ContentTarget {
  token: string;
  siteId: string;
  /** Decoded, plain: as in an asset's manifest. */
  path: string;
  /** Boxes that handed this client back before. */
  skipped: ReadonlySet<string>;
}

const SITE_ID = /^site-[0-9a-hjkmnp-tv-z]{16}$/;
/** Percent-encoding can take three characters a byte. */
const LONGEST = 3 * LIMITS.pathBytes + 200;

/** A request's target without scheme and host: a server must take that form too (RFC 9112 section 3.2.2). */
export function originForm(target: string): string {
  if (target.startsWith('/')) return target;
  const rest = /^https?:\/\/[^/?#]*(.*)$/i.exec(target)?.[1];
  if (rest === undefined) return target;
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** Targets that are remembered: players ask for one again and again, a range at a time. */
const MOST_REMEMBERED = 256;
const LONGEST_REMEMBERED = 512;
const remembered = new Map<string, ContentTarget>();

/**
 * Takes `/c/<token>/<site id>/<path>` apart. The path is percent-decoded once and must then be a plain path; it
 * is only ever compared with known ones and never given to the file system.
 * @returns the parts; a reason when the target is one of ours but not well-formed; null when it is none of ours
 */
export function parseTarget(target: string): ContentTarget | { fault: string } | null {
  const known = remembered.get(target);
  if (known) return known;
  if (!target.startsWith('/c/')) return null;
  if (target.length > LONGEST) return { fault: 'the address is too long' };
  // A URL is ASCII (RFC 3986); raw bytes would be read as another text than the client meant.
  if (!/^[\x21-\x7e]*$/.test(target)) return { fault: 'the address is not percent-encoded' };
  const query = target.indexOf('?');
  const text = query < 0 ? target : target.slice(0, query);
  const tokenEnd = text.indexOf('/', 3);
  const siteEnd = text.indexOf('/', tokenEnd + 1);
  if (tokenEnd < 0 || siteEnd < 0) return { fault: 'the address is not complete' };
  const token = text.slice(3, tokenEnd);
  const siteId = text.slice(tokenEnd + 1, siteEnd);
  if (!SITE_ID.test(siteId) || token.length > 2 * TOKEN_CHARS) return { fault: 'the address is damaged' };
  const path = decodePath(text.slice(siteEnd));
  const skipped = skippedIn(query < 0 ? '' : target.slice(query + 1));
  if (path === null) return { fault: 'the path is not a plain path' };
  const parsed = { token, siteId, path, skipped };
  if (target.length <= LONGEST_REMEMBERED) {
    if (remembered.size >= MOST_REMEMBERED) remembered.clear();
    remembered.set(target, parsed);
  }
  return parsed;
}

/** Decodes a path once; null unless every segment is then plain text. */
function decodePath(encoded: string): string | null {
  let path = encoded;
  if (encoded.includes('%')) {
    // An encoded slash would merge two segments into one name; there is no such asset.
    if (/%2f|%5c|%00/i.test(encoded)) return null;
    try {
      path = decodeURIComponent(encoded);
    } catch {
      return null;
    }
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: refusing them is the point
  if (/[\u0000-\u001f\u007f\\?#]|\/\/|\/\.{1,2}(\/|$)|\/$/.test(path)) return null;
  return Buffer.byteLength(path) <= LIMITS.pathBytes ? path : null;
}
