import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { lstat, mkdir, readdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { build } from 'esbuild';
import { OriginFixture } from '#agent/fetch/origin-fixture.ts';
import { MIB, manifestFor } from '#agent/store/store-fixture.ts';
import type { AssetManifest } from '#protocol/asset.ts';
import { newId } from '#protocol/ids.ts';
import type { Job, Said } from './store-program.ts';

/** Two chunks to a part, so that objects of three lie in folders. */
export const PART_BYTES = 2 * MIB;

/** Bundles the program: a life then begins in a fraction of the time. */
export async function buildProgram(t: TestContext): Promise<string> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'hearth-program-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
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

/** Some objects of all sizes at a real origin. */
export async function makeObjects(t: TestContext, count: number): Promise<AssetManifest[]> {
  const origin = await OriginFixture.start();
  t.after(() => origin.close());
  const sizes = [0, 1, 5_000, MIB, MIB + 1, 2 * MIB, 2 * MIB + 70_000, 3 * MIB + 11];
  return Array.from({ length: count }, (_, index) => {
    const bytes = randomBytes((sizes[index % sizes.length] ?? 0) + (index % sizes.length === 0 ? 0 : index));
    const name = `/object-${index}`;
    origin.files.set(name, bytes);
    return manifestFor(bytes, origin.url(name), { path: name, assetId: newId('asset') });
  });
}

export interface Life {
  said: Said[];
  /** What ended it: its own end, a kill, or a fault of the program with what it wrote. */
  ended: 'done' | 'killed' | { fault: string };
}

/** Lives one life. @param stopAfterMs killed from outside then */
export async function live(program: string, folder: string, job: Job, stopAfterMs = 0): Promise<Life> {
  const file = path.join(folder, 'job.json');
  writeFileSync(file, JSON.stringify(job));
  const child = spawn(process.execPath, [program, file], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let errors = '';
  child.stdout.on('data', (piece) => {
    out += piece;
  });
  child.stderr.on('data', (piece) => {
    errors += piece;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), stopAfterMs || 60_000);
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.once('close', (...end) => resolve(end)),
  );
  clearTimeout(timer);
  const said: Said[] = out
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
  if (code === 0) return { said, ended: 'done' };
  return { said, ended: signal === 'SIGKILL' ? 'killed' : { fault: errors } };
}

/** What a box must still know after any of its ends: followed by what it said, checked against what it finds. */
export class Memory {
  readonly #objects: Map<string, string>;
  /** True: wanted for certain; false: not; missing: it was told, and was killed before it had said so. */
  readonly #wanted = new Map<string, boolean>();
  readonly #kept = new Map<string, Set<number>>();

  constructor(manifests: AssetManifest[]) {
    this.#objects = new Map(manifests.map((one) => [one.assetId, one.sha256]));
    for (const { assetId } of manifests) this.#wanted.set(assetId, false);
  }

  /** @param unsyncedLost after a power cut chunks that were not yet on the disk may be gone, and are fetched again */
  follow(life: Life, unsyncedLost = false): void {
    for (const said of life.said) {
      if (said.say === 'found') this.#check(said, unsyncedLost);
      else if (said.say === 'will') this.#wanted.delete(said.assetId);
      else if (said.say === 'did') this.#wanted.set(said.assetId, said.want);
      else if (said.say === 'kept') {
        const kept = this.#kept.get(said.sha256) ?? new Set();
        this.#kept.set(said.sha256, kept.add(said.index));
      }
      // Until it is wanted for certain its chunks may go at any moment.
      if (said.say === 'will' || said.say === 'did') this.#kept.delete(this.#objects.get(said.assetId) ?? '');
    }
  }

  #check({ served, wrong, wanted, good, states }: Said & { say: 'found' }, unsyncedLost: boolean): void {
    assert.deepEqual(wrong, [], 'wrong bytes would be served');
    for (const [assetId, sure] of this.#wanted) {
      assert.equal(wanted.includes(assetId), sure, `${assetId}: it had said ${sure ? 'wanted' : 'removed'}`);
    }
    for (const assetId of this.#objects.keys()) this.#wanted.set(assetId, wanted.includes(assetId));
    const partial = new Map(good);
    for (const [sha256, kept] of this.#kept) {
      const isWanted = wanted.some((assetId) => this.#objects.get(assetId) === sha256);
      if (!isWanted || served.includes(sha256) || unsyncedLost) continue;
      const lost = [...kept].filter((index) => !partial.get(sha256)?.includes(index));
      const state = states.find((one) => one.startsWith(sha256));
      assert.deepEqual(lost, [], `chunks it had said it kept, of ${state ?? 'an object it does not know'}`);
    }
    this.#kept.clear();
    for (const [sha256, indexes] of good) this.#kept.set(sha256, new Set(indexes));
  }
}

/** Every file below the disk's folder: bytes of the objects, and the names of everything that is not one of those. */
export async function filesOf(
  root: string,
): Promise<{ objectBytes: number; manifests: number; other: string[] }> {
  const found = { objectBytes: 0, manifests: 0, other: [] as string[] };
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    const name = path.relative(root, path.join(entry.parentPath, entry.name));
    if (/^hearth\/objects\/[0-9a-f]{2}\/[0-9a-f]{64}(\.parts\/\d{4})?$/.test(name)) {
      found.objectBytes += (await lstat(path.join(root, name))).size;
    } else if (/^hearth\/assets\/..\/asset-[^.]+\.json$/.test(name)) found.manifests++;
    else if (!['.hearth-disk.json', 'hearth/index.jsonl', 'hearth/index.stale'].includes(name))
      found.other.push(name);
  }
  return found;
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
