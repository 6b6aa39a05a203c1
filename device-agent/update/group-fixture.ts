import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Reads what nobody writes: it ends when whoever holds the other end does, by whatever death, and takes the group
 * with it. What hangs on purpose would otherwise run on after a test that was killed.
 */
const BOUND = `{ cat <&3; kill -KILL -$$; } >/dev/null 2>&1 & exec 3<&-; exec "$@" </dev/null`;

/** A process with all it starts, as one group that lives no longer than this process. */
export class ProcessGroup {
  readonly leader: ChildProcess;

  constructor(command: string[], env: NodeJS.ProcessEnv, output: 'pipe' | 'ignore') {
    this.leader = spawn('/bin/sh', ['-c', BOUND, 'sh', ...command], {
      stdio: ['ignore', output, output, 'pipe'],
      detached: true,
      env,
    });
    this.leader.once('exit', () => this.#letGo());
  }

  /** Ends the leader and everything it has started, at once. */
  async kill(): Promise<void> {
    const { leader } = this;
    if (leader.pid === undefined) return;
    try {
      process.kill(-leader.pid, 'SIGKILL');
    } catch {
      // Nothing of it is left.
    }
    if (leader.exitCode === null && leader.signalCode === null) await once(leader, 'exit');
    this.#letGo();
  }

  /** What the leader left behind ends with it. */
  #letGo(): void {
    const held = this.leader.stdio[3];
    if (held && 'destroy' in held) held.destroy();
  }
}
