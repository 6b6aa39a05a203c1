import { once } from 'node:events';
import * as z from 'zod';
import { program, startAgain } from '#agent/again/again.ts';

/** It asks a dozen programs, one after the other: some seconds on a small board. */
const PATIENCE_MS = 60_000;

const text = z.string().catch('');
const number = z.number().catch(0);
/** What is used of systeminformation's answers; null: it could not tell. */
export const machineSchema = z.object({
  system: z.object({ manufacturer: text, model: text }).nullable(),
  os: z.object({ distro: text, release: text, kernel: text, arch: text }).nullable(),
  cpu: z.object({ manufacturer: text, brand: text, cores: number, speed: number }).nullable(),
  network: z
    .array(
      z.object({
        iface: text,
        type: text,
        speed: z.number().nullable().catch(null),
        internal: z.boolean().catch(false),
      }),
    )
    .nullable(),
  blockDevices: z
    .array(
      z.object({ name: text, mount: text, fsType: text, label: text, removable: z.boolean().catch(false) }),
    )
    .nullable(),
  /** Why something was not told, by what. */
  faults: z.record(z.string(), z.string()),
});
export type Machine = z.infer<typeof machineSchema>;

let asked: Promise<Machine> | null = null;

/**
 * What this machine is, by `systeminformation`. That waits for programs on the main thread and stays in memory once it
 * was used, so it is asked in a process of its own; calls meanwhile share the answer.
 * @throws Error when there is none in time
 */
export function askMachine(script = program(), patienceMs = PATIENCE_MS): Promise<Machine> {
  asked ??= ask(script, patienceMs).finally(() => {
    asked = null;
  });
  return asked;
}

async function ask(script: string, patienceMs: number): Promise<Machine> {
  const child = startAgain(script, 'machine', ['ignore', 'ignore', 'ignore', 'ipc']);
  try {
    const signal = AbortSignal.timeout(patienceMs);
    const ended = once(child, 'exit', { signal }).then(() => {
      throw new Error('what was to tell of the machine ended without a word');
    });
    const [answer] = await Promise.race([once(child, 'message', { signal }), ended]);
    return machineSchema.parse(answer);
  } finally {
    child.kill('SIGKILL');
  }
}
