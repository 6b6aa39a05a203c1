import { readFileSync } from 'node:fs';
import { HearthError, messageOf } from '#protocol/errors.ts';
import { ReleaseTrust } from '#protocol/release-trust.ts';

/**
 * The root of trust that a package brings, as `hearth release init` wrote it. One that boxes could not begin with, or
 * that has run out, is no use in a package.
 * @throws HearthError `bad_request` that says what to give instead
 */
export function readRootOfTrust(file: string, nowMs = Date.now()): string {
  const want = 'give the newest N.root.json in the folder metadata that "hearth release init" made';
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new HearthError('bad_request', `${file} cannot be read (${messageOf(cause)}): ${want}`, { cause });
  }
  try {
    const { expiries } = new ReleaseTrust({ root: text, timestamp: null, snapshot: null, targets: null });
    if (expiries.root !== null && Date.parse(expiries.root) <= nowMs) {
      throw new HearthError('release_expired', `it expired at ${expiries.root}: sign a successor`);
    }
    return text;
  } catch (cause) {
    throw new HearthError('bad_request', `${file} is no root of trust (${messageOf(cause)}): ${want}`, {
      cause,
    });
  }
}
