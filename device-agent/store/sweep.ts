import { lstat, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { DiskLayout } from './layout.ts';

/** Names under which files are written before they take another's place: a crash may leave one behind. */
const TEMPORARY = [
  /^asset-[0-9a-hjkmnp-tv-z]{16}\.json\.tmp$/,
  /^[0-9a-f]{64}\.journal\.tmp$/,
  /^(segment|batches)-\d{12}\.(log|json)\.tmp$/,
  /^(index\.jsonl|index\.stale|evicted\.log|uplink\.json|disk\.json)\.tmp$/,
];

/** Removes what a crash left half written. Before anything is written: a name may be in use later. */
export async function sweepTemporary(layout: DiskLayout): Promise<void> {
  await rm(`${layout.marker}.tmp`, { force: true });
  await rm(layout.probe, { force: true });
  for (const folder of [layout.home, layout.assets, layout.partial, layout.deliveries]) {
    for (const name of await readdir(folder)) {
      if (!TEMPORARY.some((pattern) => pattern.test(name))) continue;
      const file = path.join(folder, name);
      if ((await lstat(file)).isFile()) await rm(file, { force: true });
    }
  }
}
