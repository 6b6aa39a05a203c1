import type { ChildProcess, StdioOptions } from 'node:child_process';
import { fork } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';

/** What Node is started with: the sources' main file, the bundle, or an executable's entry. */
export function program(): string {
  return import.meta.url.endsWith('.ts')
    ? path.resolve(import.meta.dirname, '..', 'main.ts')
    : import.meta.url;
}

/** Set for a process that is another part of the program than the agent itself; by the agent alone. */
export const PART_VARIABLE = 'HEARTH_PART';
export type Part = 'worker' | 'machine';

/**
 * Starts this very program again, as another part of it.
 * @param stdio with one channel `ipc`
 */
export function startAgain(script: string, part: Part, stdio: StdioOptions): ChildProcess {
  return fork(script, [], {
    execArgv: argumentsBefore(script, readCommandLine()) ?? process.execArgv,
    env: { ...process.env, [PART_VARIABLE]: part },
    stdio,
  });
}

/**
 * What stands between the program's file and the script. Node where another C library is the system's is started by its
 * own loader, which is then the program's file, and Node one of its arguments.
 * @returns null when this process was started otherwise
 */
export function argumentsBefore(script: string, commandLine: string[]): string[] | null {
  const at = commandLine.findIndex((argument, index) => index > 0 && isScript(argument, script));
  return at < 0 ? null : commandLine.slice(1, at);
}

/** A program knows its own file without the links that led to it, as to a disk under another name. */
function isScript(argument: string, script: string): boolean {
  const file = path.resolve(argument);
  if (file === script) return true;
  if (path.basename(file) !== path.basename(script)) return false;
  try {
    return realpathSync(file) === realpathSync(script);
  } catch {
    return false;
  }
}

/** Empty where the kernel does not tell. */
function readCommandLine(): string[] {
  try {
    return readFileSync('/proc/self/cmdline', 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
}
