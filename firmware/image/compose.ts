import { spawn } from 'node:child_process';
import {
  copyFileSync,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { HearthError } from '#protocol/errors.ts';
import type { ImageBoard } from '../boards/board.ts';
import { checkImageBuilder, makeEnvironment } from './imagebuilder.ts';
import type { OverlayOptions } from './overlay.ts';
import { overlayFiles, writeOverlay } from './overlay.ts';
import type { Release } from './release.ts';
import { updatesNotice } from './updates.ts';

/**
 * The root file system with what is installed later, MiB. Set once and never changed: with another partition table
 * sysupgrade rewrites the whole card. Room for the agent twice over, and within the smallest card sold.
 */
export const ROOTFS_MIB = 512;

/** What the image has beside OpenWrt's own defaults. */
const OURS = ['hearth-agent', 'luci-app-hearth'];
const BESIDE = [
  'luci',
  ...['block-mount', 'blockd', 'kmod-usb-storage', 'kmod-usb-storage-uas'],
  ...['kmod-fs-ext4', 'kmod-fs-exfat', 'kmod-fs-ntfs3', 'kmod-fs-vfat'],
  // Names on vfat.
  ...['kmod-nls-cp437', 'kmod-nls-iso8859-1', 'kmod-nls-utf8'],
  ...['ca-bundle', 'umdns'],
];

const BUILD_MS = 3_600_000;
const LAST_LINES = 25;
/** What of the ImageBuilder's output tells how far it is. */
const STEPS =
  /^(?:Building images for .*|Package list missing .*|(?:Installing|Finalizing|Building|Calculating) .*\.\.\.)$/;

export interface Composition {
  board: ImageBoard;
  release: Release;
  imagebuilder: string;
  /** Holds our packages: in it, or in a folder in it that is called as the package architecture. */
  packages: string;
  overlay: Omit<OverlayOptions, 'release' | 'packageArch'>;
  /** Goes into the image's name. */
  version: string;
  /** Is filled; must exist. */
  out: string;
  log: (line: string) => void;
  signal?: AbortSignal;
}

export interface Composed {
  image: string;
  manifest: string;
}

/**
 * Makes a board's image with an ImageBuilder: our packages, the files of the overlay, one size of the root file system.
 * @returns the names of image and manifest in `out`
 * @throws HearthError `bad_request`, or `unavailable` with the ImageBuilder's last lines
 */
export async function compose(composition: Composition): Promise<Composed> {
  const { board, release, imagebuilder, out, overlay, log } = composition;
  const { profile, packageArch, image } = board.openwrt;
  await checkImageBuilder(imagebuilder, board, release);
  const packages = ourPackages(composition.packages, packageArch, release);
  const agent = packages.find((file) => basename(file).startsWith('hearth-agent'));
  const notice = agent === undefined ? null : updatesNotice(agent);
  if (notice !== null) log(notice);
  const installed = takeIn(packages, imagebuilder);
  log(`packages: ${installed.join(', ')}`);
  const work = mkdtempSync(join(tmpdir(), 'hearth-image-'));
  try {
    const files = join(work, 'files');
    mkdirSync(files);
    writeOverlay(files, overlayFiles({ ...overlay, release, packageArch }));
    const bin = join(work, 'bin');
    mkdirSync(bin);
    await make(
      [
        'image',
        `PROFILE=${profile}`,
        `PACKAGES=${[...OURS, ...BESIDE].join(' ')}`,
        `FILES=${files}`,
        `BIN_DIR=${bin}`,
        `EXTRA_IMAGE_NAME=hearth-${composition.version}`,
        `ROOTFS_PARTSIZE=${ROOTFS_MIB}`,
      ],
      composition,
      join(out, 'build.log'),
    );
    const made = readdirSync(bin);
    const one = (what: string, ending: string) => {
      const [name, ...more] = made.filter((file) => file.includes(profile) && file.endsWith(ending));
      if (name !== undefined && more.length === 0) return name;
      throw new HearthError(
        'unavailable',
        `the ImageBuilder made ${more.length + (name ? 1 : 0)} of ${what} (${ending})`,
      );
    };
    const composed = { image: one('the image', image), manifest: one('the manifest', '.manifest') };
    for (const name of Object.values(composed)) copyFileSync(join(bin, name), join(out, name));
    return composed;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Our packages for a board. @throws HearthError `bad_request` naming the one that is not there */
function ourPackages(folder: string, packageArch: string, { packages: format }: Release): string[] {
  const own = join(folder, packageArch);
  const from = existsSync(own) ? own : folder;
  const there = existsSync(from) ? readdirSync(from).toSorted() : [];
  const fits = (file: string) =>
    format === 'apk'
      ? file.endsWith('.apk')
      : file.endsWith(`_${packageArch}.ipk`) || file.endsWith('_all.ipk');
  const found = there.filter(
    (file) => /^(?:hearth-agent|luci-app-hearth|luci-i18n-hearth)[_-]/.test(file) && fits(file),
  );
  for (const name of OURS) {
    const versions = found.filter((file) => file.startsWith(name));
    if (versions.length === 1) continue;
    throw new HearthError(
      'bad_request',
      versions.length === 0
        ? `${from} has no ${name} as .${format} for ${packageArch}: npm run build:${format} makes it`
        : `${from} has several ${name}: ${versions.join(', ')}. Leave one`,
    );
  }
  return found.map((file) => join(from, file));
}

/** Puts packages where the ImageBuilder looks, in place of those of an earlier run. @returns their names */
function takeIn(packages: string[], imagebuilder: string): string[] {
  const folder = join(imagebuilder, 'packages');
  mkdirSync(folder, { recursive: true });
  for (const old of readdirSync(folder)) {
    // An index that is newer than the packages would hide them.
    if (/hearth/.test(old) || /^Packages|^packages\.adb$/.test(old)) rmSync(join(folder, old));
  }
  return packages.map((file) => {
    const name = file.slice(file.lastIndexOf('/') + 1);
    copyFileSync(file, join(folder, name));
    return name;
  });
}

async function make(
  args: string[],
  { imagebuilder, log, signal }: Composition,
  logFile: string,
): Promise<void> {
  const child = spawn('make', args, {
    cwd: imagebuilder,
    env: makeEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that what make has started ends with it.
    detached: true,
  });
  const kill = () => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // Gone already.
    }
  };
  const timer = setTimeout(kill, BUILD_MS);
  signal?.addEventListener('abort', kill, { once: true });
  const written = createWriteStream(logFile);
  const last: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      written.write(`${line}\n`);
      last.push(line);
      if (last.length > LAST_LINES) last.shift();
      if (STEPS.test(line)) log(line);
    });
  }
  try {
    const code = await new Promise<number | null>((done, fail) => {
      child.once('error', fail);
      child.once('close', done);
    });
    signal?.throwIfAborted();
    if (code !== 0) {
      throw new HearthError('unavailable', `the ImageBuilder failed. Its last words:\n${last.join('\n')}`);
    }
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', kill);
    await new Promise<void>((done) => written.end(done));
  }
}
