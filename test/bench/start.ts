import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path, { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { build } from 'esbuild';
import { AGENT_ENVIRONMENT } from '#agent/build.ts';
import { DiskLayout } from '#agent/store/layout.ts';
import { mintToken } from '#protocol/delivery-token.ts';
import type { Bench } from './bench.ts';

const PROGRAM = join(import.meta.dirname, 'start-program.ts');
const BOX = 'box-0123456789abcdef';
const SITE = 'site-0123456789abcdef';
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const objectPath = (n: number) => `/video/${Math.floor(n / 1000)}/segment-${n}.m4s`;
const bytesOf = (n: number) => Buffer.from(`object ${n}\n`.repeat(50));

/** A disk with so many small objects, as an agent of before shards and snapshots left it. */
export function fillDisk(root: string, objects: number): void {
  const layout = new DiskLayout(root);
  for (const folder of layout.folders) mkdirSync(folder, { recursive: true });
  for (let n = 0; n < 256; n++)
    mkdirSync(path.join(layout.objects, n.toString(16).padStart(2, '0')), { recursive: true });
  for (let n = 0; n < objects; n++) {
    const bytes = bytesOf(n);
    const digest = createHash('sha256').update(bytes).digest();
    let assetId = 'asset-';
    for (let at = 0; at < 16; at++) assetId += ALPHABET[(digest[at] ?? 0) & 31];
    const asset = {
      assetId,
      siteId: SITE,
      path: objectPath(n),
      originUrl: `http://origin.test${objectPath(n)}`,
      sizeBytes: bytes.length,
      sha256: digest.toString('hex'),
      chunkSizeBytes: 2 ** 20,
      chunkHashes: digest.toString('base64url'),
      headers: { contentType: 'video/iso.segment', cacheControl: 'public, max-age=60', lastModified: null },
    };
    writeFileSync(layout.object(asset.sha256), bytes);
    writeFileSync(
      layout.oldManifest(assetId),
      JSON.stringify({ v: 1, asset, expiresAtMs: null, issuedAtMs: 1 }),
    );
  }
}

export interface Start {
  /** From the start of the process to the last byte of the first object a client asked for, ms. */
  firstAnswerMs: number;
  /** To the moment when every manifest was read, ms; null when the first answer came before it. */
  loadedMs: number | null;
  stop(): Promise<void>;
  /** Waits until every manifest has been read. @returns how many assets are known */
  loaded(): Promise<number>;
  kill(): Promise<void>;
}

/** Starts the store and content server on a disk, and asks for one object until it comes. */
export async function startOn(
  root: string,
  state: string,
  key: Buffer,
  objects: number,
  program = PROGRAM,
): Promise<Start> {
  const startedAt = performance.now();
  const args = [root, state, BOX, key.toString('hex')];
  const env = { ...process.env, ...AGENT_ENVIRONMENT };
  const child = fork(program, args, { env, execArgv: ['--disable-warning=ExperimentalWarning'] });
  let loadedMs: number | null = null;
  let assets = 0;
  child.on('message', (message: { loaded?: number }) => {
    if (message.loaded === undefined) return;
    loadedMs = performance.now() - startedAt;
    assets = message.loaded;
  });
  const { port } = await messageWithPort(child);
  const n = objects - 1;
  const scope = {
    boxId: BOX,
    siteId: SITE,
    prefix: '/',
    maxBytes: 2 ** 40,
    expiresAtMs: Date.now() + 3_600_000,
  };
  const url = `http://127.0.0.1:${port}/c/${mintToken(scope, key, randomBytes(32))}/${SITE}${objectPath(n)}`;
  for (;;) {
    const response = await fetch(url, { redirect: 'manual' });
    const body = Buffer.from(await response.arrayBuffer());
    // Until it knows the object, it sends clients back to the router.
    if (response.status === 200 && body.equals(bytesOf(n))) break;
    if (response.status !== 302) throw new Error(`status ${response.status}`);
    if (performance.now() - startedAt > 300_000) throw new Error('no answer within 300 s');
    await sleep(20);
  }
  const firstAnswerMs = performance.now() - startedAt;
  const exited = once(child, 'exit');
  return {
    firstAnswerMs,
    loadedMs,
    loaded: async () => {
      while (loadedMs === null && child.exitCode === null) await sleep(20);
      return assets;
    },
    stop: async () => {
      child.send('stop');
      await exited;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

async function messageWithPort(child: ChildProcess): Promise<{ port: number }> {
  const [message] = await once(child, 'message');
  return message as { port: number };
}

/** What is in memory of the disk is dropped, as after a power cut; false where that is not permitted. */
function dropPageCache(): boolean {
  try {
    execFileSync('sync');
    writeFileSync('/proc/sys/vm/drop_caches', '3');
    return true;
  } catch {
    return false;
  }
}

/** How soon a box with 100,000 objects answers its first request. */
export const start: Bench = async ({ emit, progress }) => {
  const objects = 100_000;
  const folder = await mkdtemp(join(tmpdir(), 'hearth-bench-start-'));
  const [root, state] = [join(folder, 'disk'), join(folder, 'state')];
  for (const made of [root, state]) mkdirSync(made);
  const key = randomBytes(32);
  const report = (name: string, ms: number) =>
    emit({
      bench: 'start',
      case: `${objects} objects, ${name}`,
      value: ms / 1000,
      unit: 's',
      peer: null,
      ratio: null,
    });
  try {
    progress('start: making the disk');
    fillDisk(root, objects);
    // As boxes are shipped it: one file of plain JavaScript.
    const bundle = join(folder, 'start.mjs');
    await build({
      entryPoints: [PROGRAM],
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: bundle,
      banner: { js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);" },
    });
    for (const [name, isCold] of [
      ['no snapshot (first start on an old disk)', true],
      ['snapshot', true],
      ['snapshot', false],
    ] as const) {
      const how = isCold && dropPageCache() ? `${name}, page cache dropped` : name;
      progress(`start: ${how}`);
      const started = await startOn(root, state, key, objects, bundle);
      report(`${how}: first answer`, started.firstAnswerMs);
      await started.loaded();
      await started.stop();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};
