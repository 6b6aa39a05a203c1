import { boxIdSchema } from './ids.ts';

/** How content links are written, by the router and by boxes that hand a client back. */

const SKIP = 'hearth-skip';
/** After so many boxes that handed a client back, the origin serves it. */
export const SKIPS_MAX = 4;

/** Percent-encodes a decoded path, each segment by itself (RFC 3986 section 2.1). */
export function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}

/** The link to an asset on a box; `skipped` are the boxes that handed this client back before. */
export function contentLink(
  contentUrl: string,
  target: { token: string; siteId: string; path: string },
  skipped: Iterable<string> = [],
): string {
  return `${contentUrl}/c/${target.token}/${target.siteId}${encodePath(target.path)}${queryOf(skipped)}`;
}

/** Where a box sends a client whom it cannot serve: the router, told to leave out `boxId` and those before it. */
export function handBackLink(
  routerUrl: string,
  target: { siteId: string; path: string },
  boxId: string,
  skipped: Iterable<string> = [],
): string {
  const all = new Set([...skipped, boxId]);
  return `${routerUrl.replace(/\/+$/, '')}/_site/${target.siteId}${encodePath(target.path)}${queryOf(all)}`;
}

/**
 * As `handBackLink`, from the link a client came with: `/c/<token>/<site id>/<path>`.
 * @returns null when it is no content link
 */
export function handBackOf(routerUrl: string, link: string, boxId: string): string | null {
  const parts = /^\/c\/[^/?#]+\/(site-[0-9a-hjkmnp-tv-z]{16})(\/[^?#]+)(?:\?([^#]*))?$/.exec(link);
  if (!parts) return null;
  const [, siteId, path, query = ''] = parts;
  const all = new Set([...skippedIn(query), boxId]);
  return `${routerUrl.replace(/\/+$/, '')}/_site/${siteId}${path}${queryOf(all)}`;
}

/** The boxes a link's query says to leave out: well-formed ids only, at most `SKIPS_MAX`. */
export function skippedIn(query: string): Set<string> {
  const named = query.includes(SKIP) ? new URLSearchParams(query).getAll(SKIP) : [];
  return new Set(named.slice(0, SKIPS_MAX).filter((id) => boxIdSchema.safeParse(id).success));
}

/** A link's query without what boxes put there: the client's own, for its origin. */
export function withoutSkips(query: string): string {
  if (!query.includes(SKIP)) return query;
  return query
    .split('&')
    .filter((part) => !part.startsWith(`${SKIP}=`))
    .join('&');
}

function queryOf(skipped: Iterable<string>): string {
  const pairs = [...skipped].map((id) => `${SKIP}=${id}`);
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}
