import { LIMITS } from '#protocol/limits.ts';

/** What is wrong with a list of paths, for the form to say. */
export type PathsFault =
  | { kind: 'empty' }
  | { kind: 'many'; most: number }
  | { kind: 'malformed'; line: number; path: string };

/**
 * Reads paths typed one a line; blank lines and repeats are dropped. The fleet checks them again
 * (assetPathSchema): this is to name the line.
 */
export function readPaths(text: string): { paths: string[] } | { fault: PathsFault } {
  const paths = new Set<string>();
  for (const [index, raw] of text.split('\n').entries()) {
    const path = raw.trim();
    if (path === '') continue;
    if (!isAssetPath(path)) return { fault: { kind: 'malformed', line: index + 1, path } };
    paths.add(path);
  }
  if (paths.size === 0) return { fault: { kind: 'empty' } };
  if (paths.size > LIMITS.assetsPerRequest) return { fault: { kind: 'many', most: LIMITS.assetsPerRequest } };
  return { paths: [...paths] };
}

function isAssetPath(path: string): boolean {
  return (
    path.startsWith('/') &&
    path.length > 1 &&
    new TextEncoder().encode(path).length <= LIMITS.pathBytes &&
    !/[\\?#]/.test(path) &&
    path
      .slice(1)
      .split('/')
      .every((segment) => segment !== '' && segment !== '.' && segment !== '..')
  );
}

/** Whether a folder can select assets: `/`, or a plain path that ends with `/`. */
export function isPrefix(prefix: string): boolean {
  return prefix === '/' || (prefix.endsWith('/') && isAssetPath(`${prefix}x`));
}

/** Whether an address can be an origin: scheme, host and path only. */
export function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return (
    (url.protocol === 'https:' || url.protocol === 'http:') &&
    url.search === '' &&
    url.hash === '' &&
    url.username === '' &&
    url.password === ''
  );
}

/** Whether a host name can stand in Host. */
export function isHostname(text: string): boolean {
  return /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i.test(
    text,
  );
}
