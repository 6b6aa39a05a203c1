import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HearthError } from '#protocol/errors.ts';

/** An OpenWrt release line that images are made on. */
interface Line {
  packages: 'ipk' | 'apk';
  /** The usign key its files are signed with (firmware/openwrt-keys). */
  keyId: string;
}

const KEYS = join(import.meta.dirname, '..', 'openwrt-keys');

const LINES: Record<string, Line> = {
  '24.10': { packages: 'ipk', keyId: 'd310c6f2833e97f7' },
  // Its target folders are signed with the key of unattended builds.
  '25.12': { packages: 'apk', keyId: 'b5043e70f9a75cde' },
};

export interface Release extends Line {
  /** Such as 25.12.4. */
  version: string;
  /** In usign's format. */
  publicKey: string;
}

/** @throws HearthError `bad_request` */
export function releaseNamed(version: string): Release {
  const [, line] = /^(\d\d\.\d\d)\.\d{1,2}(?:-rc\d)?$/.exec(version) ?? [];
  const found = line === undefined ? undefined : LINES[line];
  if (found) return { ...found, version, publicKey: readFileSync(join(KEYS, found.keyId), 'utf8') };
  const known = Object.keys(LINES).map((name) => `${name}.x`);
  throw new HearthError('bad_request', `no release ${version}: images are made on ${known.join(' and ')}`);
}
