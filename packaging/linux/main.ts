import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { HearthError, messageOf } from '#protocol/errors.ts';
import { sourceEpoch } from '../epoch.ts';
import type { Executable } from '../executable/build.ts';
import { BASES, buildExecutable } from '../executable/build.ts';
import { readSigningKey } from '../openwrt/usign.ts';
import { readRootOfTrust } from '../root-of-trust.ts';
import { TARGETS, targetNamed } from '../targets.ts';
import { writeRelease } from './build.ts';

const USAGE = `npm run build:linux [-- --target ${Object.keys(TARGETS).join('|')}|all] [--base ${BASES.join('|')}] [--key FILE] [--root FILE] [--out FOLDER]
Makes the archives for Linux with systemd, with install.sh, in dist/linux. --key is a secret key of usign or signify
(npm run build:ipk -- --new-key FILE makes one); install.sh takes only what is signed. --root is the root
of trust for updates (docs/updates.md): without it machines take no updates but by install.sh.`;

try {
  const { values } = parseArgs({
    options: {
      target: { type: 'string', default: 'all' },
      base: { type: 'string', default: 'linuxstatic' },
      key: { type: 'string' },
      out: { type: 'string' },
      root: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  const base = BASES.find((name) => name === values.base);
  if (values.help) {
    process.stdout.write(`${USAGE}\n`);
  } else if (base === undefined) {
    throw new HearthError('bad_request', `no base ${values.base}: there are ${BASES.join(', ')}`);
  } else {
    const targets = values.target === 'all' ? Object.values(TARGETS) : [targetNamed(values.target)];
    const out = values.out ?? path.resolve(import.meta.dirname, '..', '..', 'dist', 'linux');
    const log = (line: string) => process.stderr.write(`${line}\n`);
    const root = values.root === undefined ? null : readRootOfTrust(values.root);
    if (root === null) log('without --root its machines take no updates but by install.sh (docs/updates.md)');
    const executables: Executable[] = [];
    for (const target of targets) executables.push(await buildExecutable({ target, base, log }));
    const key = values.key === undefined ? null : readSigningKey(readFileSync(values.key, 'utf8'));
    if (key === null) log('without --key nothing is signed, and install.sh will not take it');
    await writeRelease(executables, out, { epochS: sourceEpoch(), key, root });
    process.stdout.write(`${path.relative(process.cwd(), out)}\n`);
  }
} catch (error) {
  process.stderr.write(`build:linux: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
