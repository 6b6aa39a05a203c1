import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { HearthError, isHearthError, messageOf } from '#protocol/errors.ts';
import { imageBoard, readBoards } from './boards/board.ts';
import { buildImage } from './image/build-image.ts';
import { DOWNLOADS, downloadImageBuilder } from './image/imagebuilder.ts';
import type { Role } from './image/overlay.ts';
import { ROLES } from './image/overlay.ts';
import { releaseNamed } from './image/release.ts';

const USAGE = `npm run firmware -- --board NAME --release 24.10.x|25.12.x [options]
Makes the image to flash for a board, with OpenWrt's ImageBuilder and our packages, in dist/firmware/RELEASE/BOARD.

  --board NAME          see --list
  --release VERSION     of OpenWrt; 24.10 takes .ipk packages, 25.12 .apk
  --packages FOLDER     where our packages are (dist/packages; npm run build:ipk, build:apk);
                        boxes take updates from the fleet only with packages built with --root
  --imagebuilder FOLDER an unpacked ImageBuilder; without, it is downloaded and verified
  --mirror URL          of downloads.openwrt.org
  --key FILE            usign secret key (no passphrase) that SHA256SUMS is signed with
  --feed URL            where the box finds new versions of our packages, with
  --feed-key FILE       the feed's public key (usign for 24.10, PEM for 25.12)
  --role guest|router   guest (default): takes an address in the home's network and hands out none
  --hostname NAME       hearth
  --ssh-key FILE        authorized_keys of root
  --set OPTION=VALUE    a UCI option set at the first start; may be repeated
  --list                boards with their profiles, and those OpenWrt has none for`;

function list(): void {
  const line = (cells: string[]) => console.log(`${cells[0]?.padEnd(22)}${cells[1]?.padEnd(30)}${cells[2]}`);
  for (const { name, title, openwrt } of readBoards()) {
    line([
      name,
      title,
      openwrt ? `${openwrt.target}/${openwrt.subtarget} ${openwrt.profile}` : 'no OpenWrt profile',
    ]);
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      board: { type: 'string' },
      release: { type: 'string' },
      packages: { type: 'string', default: join('dist', 'packages') },
      imagebuilder: { type: 'string' },
      mirror: { type: 'string', default: DOWNLOADS },
      key: { type: 'string' },
      feed: { type: 'string' },
      'feed-key': { type: 'string' },
      role: { type: 'string', default: 'guest' },
      hostname: { type: 'string', default: 'hearth' },
      'ssh-key': { type: 'string' },
      set: { type: 'string', multiple: true, default: [] },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(USAGE);
  if (values.list) return list();
  if (!values.board || !values.release)
    throw new HearthError('bad_request', `--board and --release are needed\n${USAGE}`);
  const role = ROLES.find((one) => one === values.role);
  if (!role) throw new HearthError('bad_request', `--role is ${ROLES.join(' or ')}, not ${values.role}`);
  await make(values.board, values.release, role, values);
}

interface Values {
  packages: string;
  imagebuilder?: string | undefined;
  mirror: string;
  key?: string | undefined;
  feed?: string | undefined;
  'feed-key'?: string | undefined;
  hostname: string;
  'ssh-key'?: string | undefined;
  set: string[];
}

async function make(boardName: string, version: string, role: Role, values: Values): Promise<void> {
  const board = imageBoard(boardName);
  const release = releaseNamed(version);
  if ((values.feed === undefined) !== (values['feed-key'] === undefined)) {
    throw new HearthError('bad_request', '--feed and --feed-key come together');
  }
  const log = (text: string) => console.log(`${board.name}: ${text}`);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => stop.abort(new HearthError('unavailable', 'stopped')));
  }
  const { signal } = stop;
  const imagebuilder = values.imagebuilder
    ? resolve(values.imagebuilder)
    : await downloadImageBuilder({ board, release, mirror: values.mirror, log, signal });
  const folder = resolve('dist', 'firmware', release.version, board.name);
  const feed =
    values.feed && values['feed-key'] ? { url: values.feed, publicKey: read(values['feed-key']) } : null;
  const files = await buildImage({
    board,
    release,
    imagebuilder,
    packages: resolve(values.packages),
    version: JSON.parse(read(join(import.meta.dirname, '..', 'package.json'))).version,
    overlay: {
      role,
      hostname: values.hostname,
      feed,
      sshKeys: values['ssh-key'] ? read(values['ssh-key']) : null,
      settings: values.set,
    },
    folder,
    secretKey: values.key ? read(values.key) : null,
    log,
    signal,
  });
  if (!values.key) log('not signed: --key FILE signs SHA256SUMS');
  for (const file of files) console.log(join(folder, file));
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new HearthError('bad_request', `${file} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

main().catch((error: unknown) => {
  // A fault of ours keeps its stack; one of the caller's is a sentence.
  const isUse = isHearthError(error) || (error instanceof TypeError && 'code' in error);
  console.error(isUse ? `npm run firmware: ${messageOf(error)}` : error);
  process.exitCode = 1;
});
