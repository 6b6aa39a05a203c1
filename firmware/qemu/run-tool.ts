import { spawn } from 'node:child_process';
import { HearthError } from '#protocol/errors.ts';

export interface ToolOptions {
  /** After this it is killed, ms. */
  timeoutMs?: number;
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** The Debian package that brings it, for the message when it is missing. */
  debian?: string;
}

/** Packages are tens of MB; their lists are no more. */
const MOST_OUTPUT_BYTES = 64 * 1024 * 1024;

/**
 * Runs a program of the host to its end.
 * @returns what it wrote to standard output
 * @throws HearthError `unavailable` with its last words when it is missing, fails or takes too long
 */
export function runTool(program: string, args: string[], options: ToolOptions = {}): Promise<string> {
  const { timeoutMs = 300_000, cwd, env, debian } = options;
  return new Promise((done, fail) => {
    const child = spawn(program, args, {
      cwd,
      env: env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    const output: Buffer[] = [];
    let outputBytes = 0;
    let errors = '';
    child.stdout.on('data', (data: Buffer) => {
      outputBytes += data.length;
      if (outputBytes > MOST_OUTPUT_BYTES) child.kill('SIGKILL');
      else output.push(data);
    });
    child.stderr.on('data', (data: Buffer) => {
      errors = `${errors}${data}`.slice(-4_000);
    });
    child.once('error', (error: NodeJS.ErrnoException) => {
      const missing = error.code === 'ENOENT';
      const cure = debian === undefined ? '' : ` (apt-get install ${debian})`;
      fail(
        new HearthError(
          'unavailable',
          missing ? `${program} is not installed${cure}` : `${program}: ${error}`,
        ),
      );
    });
    child.once('close', (code, signal) => {
      if (code === 0) return done(Buffer.concat(output).toString('utf8'));
      const how = signal === null ? `failed with ${code}` : `was ended by ${signal}`;
      fail(new HearthError('unavailable', `${program} ${args.join(' ')} ${how}: ${errors.trim()}`));
    });
  });
}
