import { existsSync, globSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { HearthError, messageOf } from '#protocol/errors.ts';
import { sourceEpoch } from '../epoch.ts';
import { BASES } from '../executable/build.ts';
import { readRootOfTrust } from '../root-of-trust.ts';
import { TARGETS } from '../targets.ts';
import { buildApkFeed, buildIpkFeed } from './build.ts';
import { newSigningKey, readSigningKey } from './usign.ts';

const ARCHS = Object.values(TARGETS).flatMap(({ openwrt }) => openwrt);
const FORMATS = ['ipk', 'apk'] as const;

const USAGE = `npm run build:ipk [-- --arch ARCH[,ARCH]|all] [--base ${BASES.join('|')}] [--key FILE] [--root FILE] [--out FOLDER]
npm run build:apk, with the same options
Makes hearth-agent and luci-app-hearth with the index of a feed, in dist/packages/FORMAT/ARCH.
--key signs the index: for ipk a secret key of usign or signify, for apk an EC key in PEM. --new-key FILE makes one for
ipk, with FILE.pub, which goes into /etc/opkg/keys. Architectures: ${ARCHS.join(', ')}.
--root is the root of trust for updates (docs/updates.md): without it boxes take no updates but packages.
SOURCE_DATE_EPOCH is the time of every file; without it that of the commit.`;

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      arch: { type: 'string', default: 'all' },
      base: { type: 'string', default: 'linuxstatic' },
      key: { type: 'string' },
      'new-key': { type: 'string' },
      root: { type: 'string' },
      out: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  const format = FORMATS.find((name) => name === positionals[0]);
  const base = BASES.find((name) => name === values.base);
  if (values.help || format === undefined) {
    process.stdout.write(`${USAGE}\n`);
  } else if (values['new-key'] !== undefined) {
    makeKey(values['new-key']);
  } else if (base === undefined) {
    throw new HearthError('bad_request', `no base ${values.base}: there are ${BASES.join(', ')}`);
  } else {
    const out = values.out ?? path.resolve(import.meta.dirname, '..', '..', 'dist', 'packages', format);
    const archs = values.arch === 'all' ? ARCHS : values.arch.split(',');
    const log = (line: string) => process.stderr.write(`${line}\n`);
    const root = values.root === undefined ? null : readRootOfTrust(values.root);
    const options = { archs, base, out, epochS: sourceEpoch(), root, log };
    if (values.key === undefined)
      log('without --key the index is not signed, and opkg will not take it by default');
    if (root === null) log('without --root its boxes take no updates but by packages (docs/updates.md)');
    const folders =
      format === 'ipk'
        ? await buildIpkFeed(
            options,
            values.key === undefined ? null : readSigningKey(readFileSync(values.key, 'utf8')),
          )
        : await buildApkFeed(options, values.key ?? null);
    for (const folder of folders) tell(folder, format);
  }
} catch (error) {
  process.stderr.write(`build: ${messageOf(error)}\n`);
  process.exitCode = 1;
}

function makeKey(file: string): void {
  if (existsSync(file))
    throw new HearthError('conflict', `${file} is there already: a key is never overwritten`);
  const key = newSigningKey();
  writeFileSync(file, key.secret, { mode: 0o600, flag: 'wx' });
  writeFileSync(`${file}.pub`, key.public);
  process.stdout.write(`${file}\n${file}.pub\n`);
}

function tell(folder: string, format: string): void {
  for (const name of globSync(`*.${format}`, { cwd: folder }).sort()) {
    const file = path.join(folder, name);
    process.stdout.write(
      `${String(statSync(file).size).padStart(10)} ${path.relative(process.cwd(), file)}\n`,
    );
  }
}
