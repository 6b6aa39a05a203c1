import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { errnoOf, PLAIN_FILE, syncDirectory } from '#agent/durable/durable-file.ts';
import type { OriginClient } from '#agent/fetch/origin.ts';
import { nameError } from '#agent/store/disk-finding.ts';
import { namesLocalMachine } from '#protocol/addresses.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';
import type { Artefact } from '#protocol/release.ts';

/** Read at once; between two pieces others have their turn. */
const PIECE_BYTES = 256 * 1024;
/** So much may be fetched again after a power cut, bytes. */
const SYNC_BYTES = 4 * 1024 * 1024;
/** A board of the smallest kind starts Node from a USB stick in 20 s. */
const TRY_MS = 120_000;
const MOST_OUTPUT = 4096;

/**
 * Where installed executables lie on the disk: each under its SHA-256. One that a Node runs would be an ES module to it
 * if the household's disk has a package.json that says so: not under this name.
 */
export class Slots {
  readonly #folder: () => string;

  /** @param folder asked at each use: the disk may be another */
  constructor(folder: () => string) {
    this.#folder = folder;
  }

  fileOf(sha256: string): string {
    return path.join(this.#folder(), `${sha256}.cjs`);
  }

  /** True when an artefact lies there whole; its bytes are verified. */
  async holds({ sha256, sizeBytes }: Artefact, signal: AbortSignal): Promise<boolean> {
    return (await hashOf(this.fileOf(sha256), sizeBytes, signal)) === sha256;
  }

  /** Bytes still to be fetched of an artefact. */
  async missingBytes({ sha256, sizeBytes }: Artefact): Promise<number> {
    return sizeBytes - (await sizeOf(this.#partOf(sha256), sizeBytes));
  }

  /**
   * Fetches an artefact, going on where it was broken off, verifies it and puts it in its place. What is in place was
   * verified.
   * @throws HearthError `artefact_mismatch` (what came is removed), `origin_*`, `disk_*`
   */
  async fetch(
    client: OriginClient,
    baseUrl: string,
    artefact: Artefact,
    signal: AbortSignal,
    onProgress: (bytesDone: number) => void,
  ): Promise<void> {
    try {
      await this.#fetch(client, baseUrl, artefact, signal, onProgress);
    } catch (error) {
      // What the system says of the disk, under the name the household knows it by.
      throw /^E[A-Z0-9]+$/.test(errnoOf(error)) ? nameError(error).error : error;
    }
  }

  async #fetch(
    client: OriginClient,
    baseUrl: string,
    artefact: Artefact,
    signal: AbortSignal,
    onProgress: (bytesDone: number) => void,
  ): Promise<void> {
    const { sha256, sizeBytes } = artefact;
    await mkdir(this.#folder(), { recursive: true, mode: 0o700 });
    const part = this.#partOf(sha256);
    const flags = constants.O_RDWR | constants.O_CREAT | PLAIN_FILE;
    const handle = await open(part, flags, 0o700);
    try {
      await this.#receive(handle, client, `${baseUrl}/${sha256}`, artefact, signal, onProgress);
      await handle.sync();
      // It is executed: a mask of the creator's must not keep it from being so.
      await handle.chmod(0o700).catch((error) => {
        if (!['EPERM', 'ENOTSUP', 'EINVAL'].includes(errnoOf(error))) throw error;
      });
    } finally {
      await handle.close();
    }
    if ((await hashOf(part, sizeBytes, signal)) !== sha256) {
      await rm(part, { force: true });
      throw new HearthError('artefact_mismatch', 'what was fetched is not what was signed');
    }
    await rename(part, this.fileOf(sha256));
    await syncDirectory(this.#folder());
  }

  async #receive(
    handle: FileHandle,
    client: OriginClient,
    url: string,
    { sizeBytes }: Artefact,
    signal: AbortSignal,
    onProgress: (bytesDone: number) => void,
  ): Promise<void> {
    let at = (await handle.stat()).size;
    if (at > sizeBytes) {
      await handle.truncate(0);
      at = 0;
    }
    if (at === sizeBytes) return;
    const asked = { start: at, length: sizeBytes - at, sizeBytes };
    // The fleet's own address, from a signed order: in a house or a demo it is a local one.
    const trust = { redirects: true, local: namesLocalMachine(url) };
    const { body, isWhole } = await client.ask(url, asked, signal, trust);
    if (isWhole) at = 0;
    let unsynced = 0;
    for await (const piece of body) {
      const bytes = piece.subarray(0, sizeBytes - at);
      for (let done = 0; done < bytes.length; ) {
        done += (await handle.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
      }
      at += bytes.length;
      unsynced += bytes.length;
      onProgress(at);
      if (unsynced >= SYNC_BYTES) {
        await handle.sync();
        unsynced = 0;
      }
      // Not a byte more, however much is sent (TUF specification 5.7.3).
      if (at === sizeBytes) break;
    }
    if (at < sizeBytes) throw new HearthError('origin_truncated', 'the artefact ended early');
  }

  /** Removes what is installed or half fetched, but for these. */
  async keepOnly(sha256s: ReadonlySet<string>): Promise<void> {
    const names = await readdir(this.#folder()).catch(() => []);
    for (const name of names) {
      const [, sha256 = ''] = /^([0-9a-f]{64})\.(?:cjs|part)$/.exec(name) ?? [];
      if (sha256 && !sha256s.has(sha256)) await rm(path.join(this.#folder(), name), { force: true });
    }
  }

  #partOf(sha256: string): string {
    return path.join(this.#folder(), `${sha256}.part`);
  }
}

const answerSchema = z.object({ version: z.string(), architecture: z.string() });

/**
 * Asks an executable what it is, before anything depends on it: one for another processor, or one that cannot load,
 * ends here.
 * @throws HearthError `update_unrunnable`
 */
export async function tryOut(
  runner: readonly string[],
  file: string,
  { version, architecture }: Artefact,
  signal: AbortSignal,
): Promise<void> {
  const [command = file, ...words] = [...runner, file, '--version'];
  const { PATH, LD_LIBRARY_PATH, NODE_OPTIONS } = process.env;
  const child = spawn(command, words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...(PATH && { PATH }),
      ...(LD_LIBRARY_PATH && { LD_LIBRARY_PATH }),
      ...(NODE_OPTIONS && { NODE_OPTIONS }),
    },
    signal,
    timeout: TRY_MS,
    killSignal: 'SIGKILL',
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (piece) => {
    output = (output + String(piece)).slice(0, MOST_OUTPUT);
  });
  child.stderr.on('data', (piece) => {
    errors = (errors + String(piece)).slice(-MOST_OUTPUT);
  });
  const ended = await new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(messageOf(error)));
    child.on('close', (code, killed) => resolve(killed ?? `${code}`));
  });
  signal.throwIfAborted();
  const answer = answerSchema.safeParse(parsed(output));
  if (answer.data?.version === version && answer.data.architecture === architecture) return;
  const said = answer.success
    ? `it says that it is ${answer.data.version} for ${answer.data.architecture}`
    : `it ended with ${ended}: ${errors.trim().split('\n').at(-1) ?? ''}`;
  throw new HearthError('update_unrunnable', said.slice(0, 200));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function sizeOf(file: string, most: number): Promise<number> {
  try {
    return Math.min((await lstat(file)).size, most);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0;
    throw error;
  }
}

/** The SHA-256 of a plain file of just this size; '' for anything else. */
async function hashOf(file: string, sizeBytes: number, signal: AbortSignal): Promise<string> {
  let handle: FileHandle;
  try {
    handle = await open(file, constants.O_RDONLY | PLAIN_FILE);
  } catch (error) {
    if (['ENOENT', 'ELOOP'].includes(errnoOf(error))) return '';
    throw error;
  }
  try {
    const found = await handle.stat();
    if (!found.isFile() || found.size !== sizeBytes) return '';
    const hash = createHash('sha256');
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await handle.read(piece, 0, piece.length, null);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(piece.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}
