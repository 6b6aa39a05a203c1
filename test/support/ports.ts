import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FOLDER = join(tmpdir(), `hearth-test-ports-${process.getuid?.() ?? 0}`);
const mine = new Set<string>();

/**
 * Takes a port for this process, until it ends. Test files run beside one another, and what one has chosen may not be
 * open yet, or not at this moment, when another looks for one that is free.
 * @returns false when another process of this machine has it
 */
export function reservePort(port: number): boolean {
  mkdirSync(FOLDER, { recursive: true, mode: 0o700 });
  const file = join(FOLDER, String(port));
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' });
  } catch {
    // One that was killed has left it behind: for whoever asks next.
    if (!isHeld(file)) rmSync(file, { force: true });
    return false;
  }
  if (mine.size === 0) {
    process.once('exit', () => {
      for (const name of mine) rmSync(name, { force: true });
    });
  }
  mine.add(file);
  return true;
}

function isHeld(file: string): boolean {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    // Empty: about to be written.
    if (pid > 0) process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
