import { spawnSync } from 'node:child_process';
import { globSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { HearthError } from '#protocol/errors.ts';
import { ROOT } from './program.ts';

const PAGES = ['dist/webui/box/index.html', 'dist/webui/fleet/index.html'];

/** True when a dashboard has not been built since one of its sources changed. */
export function isWebuiStale(root: string): boolean {
  const built = PAGES.map((page) => statSync(join(root, page), { throwIfNoEntry: false })?.mtimeMs ?? 0);
  const sources = globSync(['webui/**/*.{ts,tsx,css,html,svg,json}', 'protocol/*.ts', 'package-lock.json'], {
    cwd: root,
  });
  const newest = Math.max(0, ...sources.map((source) => statSync(join(root, source)).mtimeMs));
  return Math.min(...built) < newest;
}

/** Builds the dashboards when they are stale. @throws HearthError `internal` with what the build said */
export function buildWebui(say: (line: string) => void): void {
  if (!isWebuiStale(ROOT)) return;
  say('building the dashboards');
  const build = spawnSync(process.execPath, ['webui/build.ts'], { cwd: ROOT, encoding: 'utf8' });
  if (build.status !== 0) {
    throw new HearthError('internal', `the dashboards could not be built:\n${build.stdout}${build.stderr}`);
  }
}
