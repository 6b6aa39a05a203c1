import { openAsBlob } from 'node:fs';
import path from 'node:path';
import { UsageError } from '#fleet/cli/usage.ts';
import type { FleetApi } from '#fleet/client/fleet-api.ts';
import { size, table, time } from '#fleet/client/format.ts';
import type { Architecture } from '#protocol/release.ts';
import { architectureSchema, releaseVersionSchema } from '#protocol/release.ts';
import { releasesSchema } from '#protocol/rollout.ts';
import { FRESH_DAYS, Repository, readKey, writeKey } from './repository.ts';

/** What `hearth release` is given. */
export interface ReleaseArguments {
  words: string[];
  json: boolean;
  key: string[];
  'new-key': string[];
  'fresh-key': string[];
  threshold?: string | undefined;
  artefact: string[];
  'minimum-from'?: string | undefined;
  'rollback-to': string[];
  days?: string | undefined;
}

interface Output {
  print(text: string): void;
  progress(text: string): void;
}

/** Words after `release` that need no fleet: the keys are on a machine of their own. */
export const OFFLINE = ['keygen', 'init', 'add', 'refresh', 'rotate'];

const passphrase = () => process.env.HEARTH_KEY_PASSPHRASE || undefined;

/** `hearth release keygen|init|add|refresh|rotate`: signing, without a fleet. */
export async function releaseOffline(args: ReleaseArguments, out: Output): Promise<void> {
  const [action = '', first, second] = args.words;
  if (action === 'keygen') {
    const file = need(first, 'into which file?');
    const id = await writeKey(file, passphrase());
    return args.json ? out.print(`${JSON.stringify({ file, id })}\n`) : out.print(`${id}  ${file}\n`);
  }
  const repository = new Repository(need(first, 'which folder? It will hold the signed releases'));
  const keys = await keysOf(args.key, '--key');
  const days = numberOf(args.days, FRESH_DAYS, 'days', 1, 365);
  switch (action) {
    case 'init':
      await repository.init(
        keys,
        await keysOf(args['fresh-key']),
        numberOf(args.threshold, 1, 'threshold', 1, 10),
      );
      out.progress(
        `the root of trust for packages (--root): ${path.join(first ?? '', 'metadata', '1.root.json')}\n`,
      );
      break;
    case 'add': {
      const version = versionOf(need(second, 'which version? For example 1.4.0'));
      const files = new Map(args.artefact.map(artefactOf));
      if (files.size === 0)
        throw new UsageError('which executables? For example --artefact arm64=dist/hearth-agent-arm64');
      const terms = {
        minimumFrom: versionOf(args['minimum-from'] ?? '0.0.0'),
        rollbackTo: args['rollback-to'].map(versionOf),
      };
      const added = await repository.add(version, files, terms, keys, days);
      for (const { architecture, sizeBytes, sha256 } of added) {
        out.progress(`${version} ${architecture} ${size(sizeBytes)} ${sha256}\n`);
      }
      break;
    }
    case 'refresh':
      await repository.refresh(keys, days);
      break;
    case 'rotate': {
      const next = await keysOf(args['new-key'], '--new-key');
      const threshold = numberOf(args.threshold, 1, 'threshold', 1, 10);
      await repository.rotate(keys, next, await keysOf(args['fresh-key']), threshold);
      break;
    }
  }
  const { expiries, versions } = await repository.trust();
  if (args.json) return out.print(`${JSON.stringify({ versions, expiries })}\n`);
  out.print(`root ${versions.root}, targets ${versions.targets}; fresh until ${expiries.timestamp}\n`);
}

/** `hearth release publish|list`: with the fleet. */
export async function releaseOnline(api: FleetApi, args: ReleaseArguments, out: Output): Promise<void> {
  const [action = 'list', folder] = args.words;
  if (action === 'publish') {
    const repository = new Repository(need(folder, 'which folder? That of "release init"'));
    const trust = await repository.trust();
    for (const { sha256, version, architecture } of trust.artefacts()) {
      out.progress(`uploading ${version} ${architecture}\n`);
      await upload(api, sha256, repository.artefactFile(sha256));
    }
    await api.post('/releases', { files: Object.fromEntries(await repository.files()) }, releasesSchema);
  }
  const { releases, rootVersion, freshUntil } = await api.get('/releases', releasesSchema);
  if (args.json) return out.print(`${JSON.stringify({ releases, rootVersion, freshUntil }, null, 2)}\n`);
  out.print(
    table(
      ['VERSION', 'ARCHITECTURE', 'SIZE', 'FROM', 'BACK FROM', 'SHA-256'],
      releases.flatMap(({ version, artefacts }) =>
        artefacts.map((artefact) => [
          version,
          artefact.architecture,
          size(artefact.sizeBytes),
          artefact.minimumFrom,
          artefact.rollbackFrom.join(', ') || '-',
          artefact.sha256.slice(0, 12),
        ]),
      ),
    ),
  );
  out.print(`root ${rootVersion ?? '-'}; fresh until ${freshUntil ? time(freshUntil) : '-'}\n`);
}

async function upload(api: FleetApi, sha256: string, file: string): Promise<void> {
  // One that is there already need not cross the line again.
  const there = await fetch(`${api.url}/api/v1/updates/artefacts/${sha256}`, {
    headers: { range: 'bytes=0-0' },
  }).catch(() => null);
  await there?.body?.cancel();
  if (there?.status === 206) return;
  await api.upload(`/updates/artefacts/${sha256}`, await openAsBlob(file));
}

async function keysOf(files: string[], option?: string) {
  if (option && files.length === 0) throw new UsageError(`which key? Give its file by ${option}`);
  return Promise.all(files.map((file) => readKey(file, passphrase())));
}

function artefactOf(text: string): [Architecture, string] {
  const [, name, file = ''] = /^([^=]+)=(.+)$/.exec(text) ?? [];
  const architecture = architectureSchema.safeParse(name);
  if (!architecture.success || file === '') {
    throw new UsageError(`--artefact is armv7=FILE, arm64=FILE or x64=FILE, not "${text}"`);
  }
  return [architecture.data, file];
}

export function versionOf(text: string): string {
  const version = releaseVersionSchema.safeParse(text);
  if (!version.success) throw new UsageError(`"${text}" is no version; 1.4.0 is one`);
  return version.data;
}

export function numberOf(
  text: string | undefined,
  fallback: number,
  name: string,
  least: number,
  most: number,
): number {
  const number = text === undefined ? fallback : Number(text);
  if (number >= least && number <= most) return number;
  throw new UsageError(`--${name} must be a number from ${least} to ${most}`);
}

function need(word: string | undefined, question: string): string {
  if (word === undefined) throw new UsageError(question);
  return word;
}
