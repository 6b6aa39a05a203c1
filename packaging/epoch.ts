import { execFileSync } from 'node:child_process';
import { HearthError } from '#protocol/errors.ts';

/**
 * The time every file of a package gets, seconds since 1970: SOURCE_DATE_EPOCH, else the commit's.
 * @throws HearthError `bad_request` where there is neither
 */
export function sourceEpoch(environment: NodeJS.ProcessEnv = process.env): number {
  const given = environment.SOURCE_DATE_EPOCH;
  if (given !== undefined && /^\d+$/.test(given)) return Number(given);
  try {
    const options = { cwd: import.meta.dirname, encoding: 'utf8' } as const;
    return Number(execFileSync('git', ['log', '-1', '--format=%ct'], options).trim());
  } catch {
    throw new HearthError(
      'bad_request',
      'this is no git checkout: set SOURCE_DATE_EPOCH to seconds since 1970',
    );
  }
}
