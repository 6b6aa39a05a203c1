import { createHash } from 'node:crypto';
import { chmodSync, cpSync, globSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Executable } from './executable/build.ts';
import { builtWebui } from './webui.ts';

/** One file of a package: where it is on the device, and what it is. */
export interface PayloadFile {
  /** Absolute, on the device. */
  path: string;
  mode: number;
  /** A file here, or what is in it. */
  source: { file: string } | { text: string } | { bytes: Buffer };
}

/** Where the program lies on a device, whatever its package and its base. */
export const PROGRAM_FOLDER = '/usr/lib/hearth';
export const WEBUI_FOLDER = '/usr/share/hearth/webui';
/** Changes with any file of the program: what a supervisor compares to see that it is another one. */
export const BUILD_ID = `${PROGRAM_FOLDER}/build-id`;

/** The root of trust for updates, if the package brings one: the program finds it beside itself. */
export const ROOT_OF_TRUST = `${PROGRAM_FOLDER}/root.json`;

export interface PayloadOptions {
  /** Where the dashboard was built. */
  webui?: string | undefined;
  /** The text of the root of trust for updates; null: boxes take none until they are told where one is. */
  root?: string | null | undefined;
}

/**
 * The program and its dashboard, as every package of it holds them: OpenWrt's, the archive for other Linux, images.
 * What the system needs beside it (services, settings) is the package's own.
 * @throws HearthError `not_found` when the dashboard was not built
 */
export function programPayload(
  executable: Executable,
  { webui, root = null }: PayloadOptions = {},
): PayloadFile[] {
  const program = filesBelow(executable.folder, PROGRAM_FOLDER);
  if (root !== null) program.push({ path: ROOT_OF_TRUST, mode: 0o644, source: { text: root } });
  const dashboard = filesBelow(builtWebui(webui), WEBUI_FOLDER);
  const hash = createHash('sha256');
  for (const file of program) hash.update(`${file.path} ${file.mode}\n`).update(contentsOf(file));
  const buildId: PayloadFile = { path: BUILD_ID, mode: 0o644, source: { text: `${hash.digest('hex')}\n` } };
  return sorted([...program, ...dashboard, buildId]);
}

/** Every file below a folder, at the same place below another one; executable where it is. */
export function filesBelow(folder: string, to: string): PayloadFile[] {
  const names = globSync('**', { cwd: folder }).filter((name) => lstatSync(path.join(folder, name)).isFile());
  return sorted(
    names.map((name) => {
      const file = path.join(folder, name);
      const mode = (lstatSync(file).mode & 0o100) === 0 ? 0o644 : 0o755;
      return { path: path.posix.join(to, name.split(path.sep).join('/')), mode, source: { file } };
    }),
  );
}

export function contentsOf({ source }: PayloadFile): Buffer {
  if ('file' in source) return readFileSync(source.file);
  return 'text' in source ? Buffer.from(source.text) : source.bytes;
}

/** Writes files below a folder, which stands for the device's root, with their modes whatever the umask is. */
export function stage(files: readonly PayloadFile[], root: string): void {
  for (const file of files) {
    const to = path.join(root, file.path);
    makeFolders(root, path.dirname(file.path));
    if ('file' in file.source) cpSync(file.source.file, to);
    else writeFileSync(to, contentsOf(file));
    chmodSync(to, file.mode);
  }
}

function makeFolders(root: string, folder: string): void {
  mkdirSync(path.join(root, folder), { recursive: true });
  for (let at = folder; at !== '/' && at !== '.'; at = path.dirname(at))
    chmodSync(path.join(root, at), 0o755);
  chmodSync(root, 0o755);
}

function sorted(files: PayloadFile[]): PayloadFile[] {
  return files.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}
