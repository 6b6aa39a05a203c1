import { existsSync, readFileSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder, hashOf, onceInCache } from '#firmware/qemu/cache.ts';
import { runTool } from '#firmware/qemu/run-tool.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';
import type { ImageBoard } from '../boards/board.ts';
import type { Release } from './release.ts';
import { usignVerify } from './usign.ts';

export const DOWNLOADS = 'https://downloads.openwrt.org';
const MOST_LIST_BYTES = 1024 * 1024;
const MOST_TARBALL_BYTES = 2 * 1024 ** 3;
const STALLED_MS = 60_000;

export interface Download {
  board: ImageBoard;
  release: Release;
  /** Of downloads.openwrt.org, or a mirror's: what comes is verified with OpenWrt's key. */
  mirror: string;
  log: (line: string) => void;
  signal?: AbortSignal;
}

/**
 * The ImageBuilder for a board's subtarget: downloaded once, by the SHA-256 in the list OpenWrt signs, and unpacked in
 * the cache.
 * @returns its folder
 * @throws HearthError `unavailable` saying what could not be had and what to do instead
 */
export async function downloadImageBuilder(download: Download): Promise<string> {
  const { board, release, mirror, log } = download;
  const { target, subtarget } = board.openwrt;
  const base = `${mirror}/releases/${release.version}/targets/${target}/${subtarget}`;
  const file = `openwrt-imagebuilder-${release.version}-${target}-${subtarget}.Linux-x86_64.tar.zst`;
  try {
    const list = await small(`${base}/sha256sums`, download);
    const signature = await small(`${base}/sha256sums.sig`, download);
    if (!usignVerify(list, signature.toString(), release.publicKey)) {
      throw new HearthError(
        'unavailable',
        `the list of hashes is not signed by OpenWrt's key ${release.keyId}`,
      );
    }
    const sha256 = hashIn(list.toString(), file);
    const folder = await onceInCache('imagebuilder', sha256, async (draft) => {
      const tarball = join(cacheFolder('downloads'), `${sha256}.tar.zst`);
      await large(`${base}/${file}`, tarball, download);
      const found = await hashOf(tarball, 'sha256', 'hex');
      if (found !== sha256) {
        await rm(tarball, { force: true });
        throw new HearthError('unavailable', `it has SHA-256 ${found} where OpenWrt's list says ${sha256}`);
      }
      log('unpacking');
      const unpack = ['--zstd', '-x', '-f', tarball, '-C', draft, '--strip-components=1'];
      await runTool('tar', unpack, { timeoutMs: 1_800_000 });
      await rm(tarball, { force: true });
    });
    return folder;
  } catch (error) {
    throw new HearthError(
      'unavailable',
      `the ImageBuilder cannot be had from ${base}/${file}: ${messageOf(error)}. Where you can reach it, download ` +
        `${file}, sha256sums and sha256sums.sig, check them, unpack it here, and give --imagebuilder FOLDER`,
      { cause: error },
    );
  }
}

/** The hash a `sha256sums` has for a file: lines of hash, space, star, name. */
export function hashIn(list: string, file: string): string {
  for (const line of list.split('\n')) {
    const [, hash, name] = /^([0-9a-f]{64}) [ *](.+)$/.exec(line) ?? [];
    if (hash !== undefined && name === file) return hash;
  }
  throw new HearthError('unavailable', `OpenWrt's list of hashes does not name ${file}`);
}

async function get(url: string, signal: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    // fetch itself says only that it failed.
    const cause = error instanceof Error ? error.cause : undefined;
    throw new HearthError('unavailable', messageOf(cause ?? error), { cause: error });
  }
  if (response.ok && response.body) return response;
  await response.body?.cancel();
  throw new HearthError('unavailable', `${url} answers ${response.status}`);
}

async function small(url: string, { signal }: Download): Promise<Buffer> {
  const bound = AbortSignal.any([AbortSignal.timeout(STALLED_MS), ...(signal ? [signal] : [])]);
  const response = await get(url, bound);
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body ?? []) {
    bytes += part.length;
    if (bytes > MOST_LIST_BYTES) throw new HearthError('unavailable', `${url} is too large for what it is`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

async function large(url: string, file: string, { signal, log }: Download): Promise<void> {
  const stalled = new AbortController();
  let timer = setTimeout(() => stalled.abort(new Error('the download stands still')), STALLED_MS);
  const response = await get(url, AbortSignal.any([stalled.signal, ...(signal ? [signal] : [])]));
  const total = Number(response.headers.get('content-length') ?? 0);
  const handle = await open(file, 'w');
  let bytes = 0;
  let told = 0;
  try {
    for await (const part of response.body ?? []) {
      clearTimeout(timer);
      timer = setTimeout(() => stalled.abort(new Error('the download stands still')), STALLED_MS);
      bytes += part.length;
      if (bytes > MOST_TARBALL_BYTES) throw new HearthError('unavailable', `${url} does not end`);
      await handle.write(part);
      const percent = total > 0 ? Math.floor((bytes / total) * 100) : 0;
      if (percent >= told + 10) {
        told = percent;
        log(`downloading: ${percent} %`);
      }
    }
  } finally {
    clearTimeout(timer);
    await handle.close();
  }
}

/**
 * Makes sure that a folder holds an ImageBuilder for this board and release.
 * @throws HearthError `bad_request` saying what it is instead
 */
export async function checkImageBuilder(folder: string, board: ImageBoard, release: Release): Promise<void> {
  const wrong = (what: string) => {
    throw new HearthError('bad_request', `${folder} ${what}`);
  };
  if (!existsSync(join(folder, 'Makefile'))) wrong('is no ImageBuilder: it has no Makefile');
  const repositories = join(folder, release.packages === 'apk' ? 'repositories' : 'repositories.conf');
  if (!existsSync(repositories)) {
    wrong(
      `is no ImageBuilder with ${release.packages} packages: it has no ${repositories.slice(folder.length + 1)}`,
    );
  }
  if (!readFileSync(repositories, 'utf8').includes(`/releases/${release.version}/`)) {
    wrong(
      `is an ImageBuilder of another release than ${release.version}: see its ${repositories.slice(folder.length + 1)}`,
    );
  }
  const info = await runTool('make', ['-s', 'info'], { cwd: folder, debian: 'make', env: makeEnvironment() });
  const { target, subtarget, profile } = board.openwrt;
  const own = /^Current Target: "(.*)"$/m.exec(info)?.[1];
  if (own !== `${target}/${subtarget}`) wrong(`is an ImageBuilder for ${own}, not ${target}/${subtarget}`);
  if (!info.split('\n').includes(`${profile}:`)) wrong(`knows no profile ${profile}: see make info there`);
}

/** Ours without what another make left: the ImageBuilder is a make of its own. */
export function makeEnvironment(): NodeJS.ProcessEnv {
  const { MAKEFLAGS: _flags, MAKELEVEL: _level, MFLAGS: _old, ...rest } = process.env;
  return rest;
}
