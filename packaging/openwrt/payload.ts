import path from 'node:path';
import type { Executable } from '../executable/build.ts';
import type { PayloadFile, PayloadOptions } from '../payload.ts';
import { filesBelow, programPayload } from '../payload.ts';

const FILES = path.join(import.meta.dirname, 'files');

/** Its users may read a claim code in it. */
const MODES: Record<string, number> = { '/etc/config/hearth': 0o600 };

/** What lies on the box beside the program: service, settings, hotplug. The same for every processor. */
export function serviceFiles(): PayloadFile[] {
  return filesBelow(FILES, '/').map((file) => ({ ...file, mode: MODES[file.path] ?? file.mode }));
}

/** Everything in the package hearth-agent. */
export function agentPayload(executable: Executable, options?: PayloadOptions): PayloadFile[] {
  const all = [...serviceFiles(), ...programPayload(executable, options)];
  return all.sort((a, b) => (a.path < b.path ? -1 : 1));
}
