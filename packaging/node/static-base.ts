import path from 'node:path';
import { HearthError } from '#protocol/errors.ts';
import type { Target } from '../targets.ts';

/** What pkg calls the newest Node that still has static ARMv7 builds. */
export const NODE_RANGE = 'node22';

/**
 * Sees to it that pkg has its patched static Node for a target: from its cache, or from where its project publishes it.
 * Both ways it is checked against the SHA-256 that pkg-fetch carries.
 * @throws HearthError `unavailable` that says what to fetch, where to put it, and what else there is
 */
export async function fetchStaticBase(target: Target, log: (line: string) => void): Promise<string> {
  const fetcher = await import('@yao-pkg/pkg-fetch');
  const { need, getNodeVersion } = fetcher.default ?? fetcher;
  const platform = 'linuxstatic';
  const name = `node-${getNodeVersion(NODE_RANGE)}-${platform}-${target.name}`;
  log(`looking for ${name}`);
  try {
    // Never from source: that takes an hour, and only Alpine can.
    return await need({ nodeRange: NODE_RANGE, platform, arch: target.name, forceFetch: true });
  } catch (error) {
    const places = await import('@yao-pkg/pkg-fetch/lib-es5/places.js');
    const folder = (places.default ?? places).cachePath;
    const reason = error instanceof Error ? error.message.replace(/\.$/, '') : String(error);
    throw new HearthError(
      'unavailable',
      `pkg's base binary ${name} cannot be downloaded here (${reason}). Download it where there is a network, from ` +
        `the releases of pkg-fetch (yao-pkg/pkg-fetch), and put it in ${path.join(folder, 'v3.6')} as ` +
        `${name.replace('node-', 'fetched-')}; or build with --base npm, which needs nothing but npm and Debian`,
    );
  }
}
