import { spawnSync } from 'node:child_process';
import { basename } from 'node:path';
import { ROOT_OF_TRUST } from '#packaging/payload.ts';

/** Larger than any package of ours, unpacked, bytes. */
const MOST_BYTES = 512 * 1024 * 1024;

/**
 * What whoever makes an image is to know of the updates its boxes will get: a box takes those alone that its package's
 * root of trust leads to.
 * @param file `hearth-agent`, as it goes into the image
 * @returns null: they come by rollouts
 */
export function updatesNotice(file: string): string | null {
  const name = basename(file);
  const brings = bringsRoot(file);
  if (brings === true) return null;
  return brings === false
    ? `WARNING: ${name} was built without --root: boxes with this image take no updates from the fleet, new versions come by packages alone (npm run build:ipk -- --root FILE, docs/packages.md)`
    : `whether ${name} was built with --root cannot be seen here: without, boxes with this image take no updates from the fleet`;
}

/** Whether a package has the root of trust among its files; null: it cannot be looked into (apk's format). */
function bringsRoot(file: string): boolean | null {
  if (!file.endsWith('.ipk')) return null;
  const data = spawnSync('tar', ['-xOzf', file, './data.tar.gz'], { maxBuffer: MOST_BYTES });
  if (data.status !== 0) return null;
  const listed = spawnSync('tar', ['-tzf', '-'], { input: data.stdout, encoding: 'utf8' });
  return listed.status === 0 ? listed.stdout.split('\n').includes(`.${ROOT_OF_TRUST}`) : null;
}
