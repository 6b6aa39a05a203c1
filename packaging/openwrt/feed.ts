import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { AGENT_VERSION } from '#agent/version.ts';
import { compress, pack } from '../archive.ts';
import type { Executable } from '../executable/build.ts';
import { makeFolder } from '../out-folder.ts';
import type { PayloadOptions } from '../payload.ts';
import { stage } from '../payload.ts';
import { agentPayload } from './payload.ts';

/** The feed's sources: its Makefiles as they are, without a release. */
export const FEED = path.resolve(import.meta.dirname, '..', '..', 'openwrt-feed');

/**
 * Writes a feed for OpenWrt's SDK: the Makefiles, and `release.mk` with the hash of each archive that they package.
 * The archives, which are the whole of hearth-agent for each target, are put into `archives/`, to be published at `url`.
 * @param folder is made, or takes the place of a feed made before
 * @param epochS of every file in the archives, seconds since 1970
 * @throws HearthError `bad_request` when something else is in the folder; then, as with any other error, it stays as it was
 */
export async function writeFeed(
  executables: readonly Executable[],
  folder: string,
  { url, epochS, ...payload }: { url: string; epochS: number } & PayloadOptions,
): Promise<void> {
  await makeFolder(folder, path.join('hearth-agent', 'Makefile'), (draft) =>
    fill(executables, draft, { url, epochS, ...payload }),
  );
}

async function fill(
  executables: readonly Executable[],
  folder: string,
  { url, epochS, ...payload }: { url: string; epochS: number } & PayloadOptions,
): Promise<void> {
  cpSync(FEED, folder, { recursive: true });
  const archives = path.join(folder, 'archives');
  mkdirSync(archives);
  const lines = [`HEARTH_VERSION:=${AGENT_VERSION}`, `HEARTH_URL:=${url}`];
  for (const executable of executables) {
    const target = executable.target.name;
    const work = mkdtempSync(path.join(tmpdir(), 'hearth-sdk-'));
    try {
      // The SDK unpacks it beside where it works: one folder named as it expects.
      const top = `hearth-agent-${AGENT_VERSION}`;
      stage(agentPayload(executable, payload), path.join(work, top, 'root'));
      const file = path.join(archives, `hearth-agent-openwrt_${AGENT_VERSION}_${target}.tar.gz`);
      await compress(await pack(work, path.join(work, 'tar'), [top], epochS), file);
      lines.push(`HEARTH_HASH_${target}:=${createHash('sha256').update(readFileSync(file)).digest('hex')}`);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }
  writeFileSync(path.join(folder, 'hearth-agent', 'release.mk'), `${lines.join('\n')}\n`);
}
