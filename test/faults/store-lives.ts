import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { lstat, mkdir, readdir, rename } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { build } from 'esbuild';
import { OriginFixture } from '#agent/fetch/origin-fixture.ts';
import { MIB, manifestFor } from '#agent/store/store-fixture.ts';
import type { AssetManifest } from '#protocol/asset.ts';
import { newId } from '#protocol/ids.ts';
import type { Job, Said, Want } from './store-program.ts';

/** Two chunks to a part, so that objects of three lie in folders. */
export const PART_BYTES = 2 * MIB;

/** Lives that go on; a test that has failed ends them. */
const living = new Set<ChildProcess>();

/** Bundles the program: a life then begins in a fraction of the time. */
export async function buildProgram(t: TestContext): Promise<string> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'hearth-program-'));
  t.after(() => {
    for (const child of living) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  const outfile = path.join(folder, 'store-program.mjs');
  await build({
    entryPoints: [path.join(import.meta.dirname, 'store-program.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node22',
    outfile,
    logLevel: 'warning',
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
  return outfile;
}

/** What a box is asked to hold in a test. */
export interface Objects {
  manifests: AssetManifest[];
  pinned: string[];
  /** Those worth compressing. */
  texts: string[];
}

/** Some objects of all sizes at a real origin, of which two assets share one. */
export async function makeObjects(t: TestContext, count: number): Promise<Objects> {
  const origin = await OriginFixture.start();
  t.after(() => origin.close());
  const sizes = [0, 1, 5_000, MIB, 300_000, 2 * MIB, 2 * MIB + 70_000, 3 * MIB + 11];
  const made: Objects = { manifests: [], pinned: [], texts: [] };
  for (let index = 0; index < count; index++) {
    const kind = index % sizes.length;
    const sizeBytes = (sizes[kind] ?? 0) + (kind === 0 ? 0 : index);
    const isText = kind === 2 || kind === 4;
    const name = `/object-${index}`;
    const bytes = isText ? textOf(sizeBytes) : randomBytes(sizeBytes);
    origin.files.set(name, bytes);
    const manifest = manifestFor(bytes, origin.url(name), { path: name, assetId: newId('asset') });
    made.manifests.push(manifest);
    if (isText) made.texts.push(manifest.assetId);
    if (kind === 3) made.pinned.push(manifest.assetId);
    if (index === 5) made.manifests.push({ ...manifest, path: '/shared', assetId: newId('asset') });
  }
  return made;
}

function textOf(sizeBytes: number): Buffer {
  const lines: string[] = [];
  for (let at = 0; at < sizeBytes; at += 32) lines.push(randomBytes(6).toString('hex').padEnd(31, ' text'));
  return Buffer.from(lines.join('\n').padEnd(sizeBytes).slice(0, sizeBytes));
}

export interface Life {
  said: Said[];
  /** What ended it: its own end, a kill, or a fault of the program with what it wrote. */
  ended: 'done' | 'killed' | { fault: string };
}

/** A life takes a second; this is for a machine that has much else to do. */
const LONGEST_LIFE_MS = 240_000;

/** Lives one life. @param stopAfterMs killed from outside then */
export async function live(program: string, folder: string, job: Job, stopAfterMs = 0): Promise<Life> {
  const file = path.join(folder, 'job.json');
  writeFileSync(file, JSON.stringify(job));
  const child = spawn(process.execPath, [program, file], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // Hundreds of lives need not compile the same program each anew.
    env: { ...process.env, NODE_COMPILE_CACHE: path.join(path.dirname(program), 'compiled') },
  });
  living.add(child);
  let out = '';
  let errors = '';
  child.stdout.on('data', (piece) => {
    out += piece;
  });
  child.stderr.on('data', (piece) => {
    errors += piece;
  });
  let hangs = false;
  const timer = setTimeout(() => {
    hangs = stopAfterMs === 0;
    child.kill('SIGKILL');
  }, stopAfterMs || LONGEST_LIFE_MS);
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.once('close', (...end) => resolve(end)),
  );
  clearTimeout(timer);
  living.delete(child);
  const said: Said[] = out
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
  if (code === 0) return { said, ended: 'done' };
  if (hangs) return { said, ended: { fault: `it does not end by itself: ${JSON.stringify(said.at(-1))}` } };
  return { said, ended: signal === 'SIGKILL' ? 'killed' : { fault: errors } };
}

/** What a box must still have after any of its ends: followed by what it said, checked against what it finds. */
export class Memory {
  readonly #objects: Map<string, string>;
  readonly #chunks: Map<string, number>;
  /** Until when each is wanted for certain, or not; missing: it was told, and was killed before it had said so. */
  readonly #wanted = new Map<string, Want>();
  /** Chunks of objects that must be there as long as anything wants the object. */
  readonly #must = new Map<string, Set<number>>();

  constructor(manifests: AssetManifest[]) {
    this.#objects = new Map(manifests.map((one) => [one.assetId, one.sha256]));
    this.#chunks = new Map(
      manifests.map((one) => [one.sha256, Buffer.from(one.chunkHashes, 'base64url').length / 32]),
    );
    for (const { assetId } of manifests) this.#wanted.set(assetId, false);
  }

  /** @param unsyncedLost after a power cut chunks that were not yet on the disk may be gone, and are fetched again */
  follow(life: Life, unsyncedLost = false): void {
    for (const said of life.said) {
      if (said.say === 'found') this.#check(said, unsyncedLost);
      else if (said.say === 'held') this.#mustAll(said.sha256);
      else if (said.say === 'kept') {
        const kept = this.#must.get(said.sha256) ?? new Set();
        this.#must.set(said.sha256, kept.add(said.index));
      } else if (said.say === 'will') {
        // Wanted again, while its bytes may still be on their way out.
        if (said.want !== false && !this.#wanted.get(said.assetId)) this.#free(said.assetId);
        this.#wanted.delete(said.assetId);
      } else if (said.say === 'did') {
        this.#wanted.set(said.assetId, said.want);
        if (said.want === false) this.#free(said.assetId);
      }
    }
  }

  #mustAll(sha256: string): void {
    const chunks = this.#chunks.get(sha256) ?? 0;
    this.#must.set(sha256, new Set(Array.from({ length: chunks }, (_, index) => index)));
  }

  /** Nothing wants this any more: its bytes may go, unless something else wants them. */
  #free(assetId: string): void {
    const sha256 = this.#objects.get(assetId) ?? '';
    for (const [other, object] of this.#objects) {
      if (object === sha256 && other !== assetId && this.#wanted.get(other)) return;
    }
    this.#must.delete(sha256);
  }

  #check({ served, wrong, wanted, good, states }: Said & { say: 'found' }, unsyncedLost: boolean): void {
    assert.deepEqual(wrong, [], 'wrong bytes would be served');
    const known = new Map(wanted);
    for (const [assetId, sure] of this.#wanted) {
      assert.equal(known.get(assetId) ?? false, sure, `${assetId}: until when it had said it is wanted`);
    }
    for (const assetId of this.#objects.keys()) this.#wanted.set(assetId, known.get(assetId) ?? false);
    const partial = new Map(good);
    for (const [sha256, chunks] of this.#must) {
      const isWanted = wanted.some(([assetId]) => this.#objects.get(assetId) === sha256);
      if (!isWanted || served.includes(sha256) || unsyncedLost) continue;
      const lost = [...chunks].filter((index) => !partial.get(sha256)?.includes(index));
      const state = states.find((one) => one.startsWith(sha256));
      const isEmptyAndGone = chunks.size === 0 && !partial.has(sha256);
      assert.ok(!isEmptyAndGone, `an empty object is lost: ${state}`);
      assert.deepEqual(lost, [], `chunks it had said it kept, of ${state ?? 'an object it does not know'}`);
    }
    this.#must.clear();
    for (const [sha256, indexes] of good) this.#must.set(sha256, new Set(indexes));
    for (const sha256 of served) this.#mustAll(sha256);
  }
}

/** Files that are no content: whose disk it is (and that again), the index, what was put out. */
const NOTES = [
  '.hearth-disk.json',
  ...['disk.json', 'index.jsonl', 'index.stale', 'evicted.log'].map((name) => `hearth/${name}`),
];

/** What lies below a disk's folder: bytes by kind, and the names of everything that belongs to none. */
export async function filesOf(root: string) {
  const found = { objectBytes: 0, encodedBytes: 0, manifests: 0, other: [] as string[] };
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    const name = path.relative(root, path.join(entry.parentPath, entry.name));
    const size = async () => (await lstat(path.join(root, name))).size;
    if (/^hearth\/objects\/[0-9a-f]{2}\/[0-9a-f]{64}(\.parts\/\d{4})?$/.test(name))
      found.objectBytes += await size();
    else if (/^hearth\/encodings\/[0-9a-f]{2}\/[0-9a-f]{64}\.(br|gzip)\.[0-9a-f]{64}$/.test(name))
      found.encodedBytes += await size();
    else if (/^hearth\/assets\/(..\/)?asset-[^.]+\.json$/.test(name)) found.manifests++;
    else if (!NOTES.includes(name)) found.other.push(name);
  }
  return found;
}

/** At rest every file is accounted for, to the byte. */
export async function assertAccounted(root: string, life: Life): Promise<void> {
  const end = life.said.at(-1);
  assert.ok(end?.say === 'done', JSON.stringify(life.ended));
  const files = await filesOf(root);
  const other = files.other.filter((name) => !name.startsWith('lost+found'));
  assert.deepEqual(other, [], 'left behind');
  assert.equal(files.objectBytes, end.usedBytes, 'what it says its objects take, to the byte');
  assert.equal(files.encodedBytes, end.encodedBytes, 'what it says compressed copies take, to the byte');
  assert.equal(files.manifests, end.wanted);
}

/** Puts all manifests where they lay before there were folders for them: as a box of that time has left them. */
export async function makeOld(root: string): Promise<void> {
  const assets = path.join(root, 'hearth', 'assets');
  for (const entry of await readdir(assets, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.json') || entry.parentPath === assets) continue;
    await rename(path.join(entry.parentPath, entry.name), path.join(assets, entry.name));
  }
}

/** A folder with a disk and a state directory in it. */
export async function newBox(t: TestContext): Promise<{ folder: string; root: string; stateDir: string }> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'hearth-lives-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const made = { folder, root: path.join(folder, 'disk'), stateDir: path.join(folder, 'state') };
  await mkdir(made.root);
  await mkdir(made.stateDir);
  return made;
}
