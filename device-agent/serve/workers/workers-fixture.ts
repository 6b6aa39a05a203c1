import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildAgent } from '#agent/build.ts';
import type { WorkersWish } from '../content-server.ts';

/** Two workers of the agent as it ships, for the tests of a file: they start in a fifth of the sources' time. */
export async function bundledWorkers(): Promise<WorkersWish> {
  const folder = mkdtempSync(path.join(tmpdir(), 'hearth-workers-'));
  // Not in a hook: those of a file may run before its tests are known, while it still waits for this.
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return { count: 2, script: await buildAgent(folder) };
}
