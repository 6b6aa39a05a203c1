import path from 'node:path';
import { parseArgs } from 'node:util';
import { HearthError, messageOf } from '#protocol/errors.ts';
import { sourceEpoch } from '../epoch.ts';
import type { Executable } from '../executable/build.ts';
import { BASES, buildExecutable } from '../executable/build.ts';
import { readRootOfTrust } from '../root-of-trust.ts';
import { TARGETS, targetNamed } from '../targets.ts';
import { writeFeed } from './feed.ts';

const USAGE = `npm run build:feed -- --url URL [--target ${Object.keys(TARGETS).join('|')}|all] [--base ${BASES.join('|')}] [--root FILE] [--out FOLDER]
Makes a feed for OpenWrt's SDK in dist/feed: Makefiles that package the archives in dist/feed/archives by their hashes.
Publish the archives at URL (or put them into the SDK's dl/), and add the folder, or a repository made of it, to
feeds.conf. --root is the root of trust for updates (docs/updates.md).`;

try {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      target: { type: 'string', default: 'all' },
      base: { type: 'string', default: 'linuxstatic' },
      root: { type: 'string' },
      out: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  const base = BASES.find((name) => name === values.base);
  const { url = '' } = values;
  if (values.help) {
    process.stdout.write(`${USAGE}\n`);
  } else if (base === undefined) {
    throw new HearthError('bad_request', `no base ${values.base}: there are ${BASES.join(', ')}`);
  } else if (!/^https?:\/\/[^\s$#]+$/.test(url)) {
    throw new HearthError(
      'bad_request',
      '--url is wanted: where the archives will be, such as https://example.org/hearth',
    );
  } else {
    const targets = values.target === 'all' ? Object.values(TARGETS) : [targetNamed(values.target)];
    const out = values.out ?? path.resolve(import.meta.dirname, '..', '..', 'dist', 'feed');
    const log = (line: string) => process.stderr.write(`${line}\n`);
    const root = values.root === undefined ? null : readRootOfTrust(values.root);
    if (root === null) log('without --root its boxes take no updates but by packages (docs/updates.md)');
    const executables: Executable[] = [];
    for (const target of targets) executables.push(await buildExecutable({ target, base, log }));
    await writeFeed(executables, out, { url, epochS: sourceEpoch(), root });
    process.stdout.write(`${path.relative(process.cwd(), out)}\n`);
  }
} catch (error) {
  process.stderr.write(`build:feed: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
