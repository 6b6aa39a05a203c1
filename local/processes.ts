import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * What tells a process from a later one with the same id: its start time, in the system's own spelling.
 * @returns null when no such process lives (a zombie counts as dead)
 */
export function processIdentity(pid: number): string | null {
  if (process.platform === 'linux') {
    try {
      // The command may hold spaces and brackets: fields are counted from behind its last bracket (proc(5)).
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' || fields[0] === 'X' ? null : `${pid}@${fields[19]}`;
    } catch {
      return null;
    }
  }
  try {
    const out = execFileSync('ps', ['-o', 'state=,lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    const [state, ...started] = out.split(/\s+/);
    return out === '' || state?.startsWith('Z') ? null : `${pid}@${started.join(' ')}`;
  } catch {
    return null;
  }
}

/** True while the very process that `identity` was taken of lives. */
export function isAlive(identity: string): boolean {
  return processIdentity(Number.parseInt(identity, 10)) === identity;
}

/**
 * Ends a process that need not be our child: a signal, time to obey, then SIGKILL.
 * @param identity as `processIdentity` gave it; nothing is sent to another process that took over the id
 */
export async function endProcess(identity: string, signal: NodeJS.Signals, graceMs: number): Promise<void> {
  const pid = Number.parseInt(identity, 10);
  for (const [how, waitMs] of [
    [signal, graceMs],
    ['SIGKILL', 10_000],
  ] as const) {
    if (!isAlive(identity)) return;
    try {
      process.kill(pid, how);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
    const deadline = Date.now() + waitMs;
    while (isAlive(identity) && Date.now() < deadline) await new Promise((done) => setTimeout(done, 25));
  }
}
