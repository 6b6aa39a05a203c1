import { createHash } from 'node:crypto';
import fs, { readFileSync, writeSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import pino from 'pino';
import { folderPlace } from '#agent/disks/places.ts';
import { Downloads } from '#agent/fetch/downloads.ts';
import { ORIGIN_DEFAULTS, OriginClient } from '#agent/fetch/origin.ts';
import { Executor } from '#agent/plan/executor.ts';
import { Disk } from '#agent/store/disk.ts';
import { diskMemoryIn } from '#agent/store/marker.ts';
import { PartialObject } from '#agent/store/object-files.ts';
import { Store } from '#agent/store/store.ts';
import { Clock } from '#agent/time/clock.ts';
import type { AssetManifest } from '#protocol/asset.ts';

/**
 * One life of a box's storage: the real disk, store, downloads and executor, without fleet and clients. It says what
 * it finds, one JSON line each, then changes what is wanted again and again, saying what is durable, until it is
 * killed: by itself, at the n-th change to the file system, before it, after it, or with a write half done.
 */
export interface Job {
  root: string;
  stateDir: string;
  manifests: AssetManifest[];
  seed: number;
  /** Rounds of changes to what is wanted; 0: only see to it that everything wanted is there. */
  rounds: number;
  /** Number of the change it does not survive; 0: none. */
  killAt: number;
  partBytes: number;
  settleMs: number;
}

export type Said =
  | {
      say: 'found';
      served: string[];
      wrong: string[];
      wanted: string[];
      good: [string, number[]][];
      states: string[];
    }
  | { say: 'will'; assetId: string; want: boolean }
  | { say: 'did'; assetId: string; want: boolean }
  | { say: 'kept'; sha256: string; index: number }
  | { say: 'held'; sha256: string }
  | { say: 'done'; usedBytes: number; wanted: string[]; changes: number };

const job: Job = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
/** At once: what was said must be heard even if the next instruction is the last. */
const say = (said: Said) => writeSync(1, `${JSON.stringify(said)}\n`);

/** Numbers below `bound`, the same for the same seed (mulberry32). */
let randomState = job.seed;
function below(bound: number): number {
  randomState = (randomState + 0x6d2b79f5) | 0;
  let mixed = Math.imul(randomState ^ (randomState >>> 15), 1 | randomState);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
}

let changes = 0;
let armed = false;
const manner = ['before', 'after', 'torn'][below(3)];
const die = () => process.kill(process.pid, 'SIGKILL');

/** Runs one change to the file system, unless it is the last one. */
async function change<T>(whole: () => Promise<T>, torn: (() => Promise<unknown>) | null): Promise<T> {
  if (!armed || ++changes !== job.killAt) return whole();
  if (manner === 'before') die();
  if (manner === 'torn' && torn) {
    await torn();
    die();
  }
  const result = await whole();
  die();
  return result;
}

/** Puts the counting in front of every call that changes something. */
async function countChanges(): Promise<void> {
  const calls = fs.promises as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
  for (const name of ['rename', 'rm', 'mkdir', 'rmdir']) {
    const real = calls[name]?.bind(fs.promises);
    if (real) calls[name] = (...args) => change(() => real(...args), null);
  }
  const handle = await fs.promises.open(job.root, 'r');
  const prototype = Object.getPrototypeOf(handle) as Record<
    string,
    (this: FileHandle, ...args: unknown[]) => Promise<unknown>
  >;
  await handle.close();
  for (const name of ['write', 'appendFile', 'writeFile', 'sync', 'datasync', 'truncate']) {
    const real = prototype[name];
    if (!real) throw new Error(`a FileHandle has no ${name}`);
    prototype[name] = function (...args) {
      return change(
        () => real.apply(this, args),
        half(args) ? () => real.apply(this, half(args) ?? []) : null,
      );
    };
  }
  syncBuiltinESMExports();
}

/** The same write with half the bytes. */
function half(args: unknown[]): unknown[] | null {
  const [data, offset, length, ...more] = args;
  if (typeof data === 'string') return [data.slice(0, data.length >> 1)];
  if (Buffer.isBuffer(data) && typeof length === 'number') return [data, offset, length >> 1, ...more];
  return null;
}

await countChanges();
const log = pino({ level: 'silent' });
const clock = new Clock();
const disk = new Disk({
  place: folderPlace(job.root, true),
  memory: diskMemoryIn(job.stateDir),
  boxId: null,
  bounds: () => ({ floorBytes: 0, quota: null }),
  probeMs: 60_000,
  stamp: () => clock.stamp(),
  log,
});
const store = new Store(disk, log, { partBytes: job.partBytes, settleMs: job.settleMs });
const origin = new OriginClient(ORIGIN_DEFAULTS);
const downloads = new Downloads({
  store,
  origin,
  options: { parallel: 2, backoff: { baseMs: 1, capMs: 5 }, tries: 3 },
  clock,
  log,
  slots: 2,
  retryMs: 50,
  onEnd: () => executor.wake(),
});
const executor = new Executor({ store, downloads, clock, log });
const keep = PartialObject.prototype.keep;
PartialObject.prototype.keep = async function (index) {
  await keep.call(this, index);
  say({ say: 'kept', sha256: this.sha256, index });
};
store.on((event) => {
  if (event.type === 'changed') executor.wake();
});

/** Reads every object that would be served, as it would be served. */
async function lookAround(): Promise<Said> {
  const served: string[] = [];
  const wrong: string[] = [];
  const good: [string, number[]][] = [];
  for (const { sha256, state, sizeBytes } of [...store.catalog.objects.values()]) {
    if (state === 'partial') {
      const manifest = await store.manifestOf(sha256);
      if (!manifest) continue;
      const opened = await store.openPartial(manifest, new AbortController().signal);
      await opened.partial.close();
      good.push([sha256, [...opened.good]]);
    } else if (state === 'complete') {
      const file = await store.openComplete(sha256).catch(() => null);
      if (file === null) {
        // As when a request comes for it before the index has been compared with the disk: it is not answered from here.
        store.lost(sha256);
        continue;
      }
      const hash = createHash('sha256');
      const piece = Buffer.alloc(1 << 20);
      let at = 0;
      for (;;) {
        const { bytesRead } = await file.read(piece, 0, Math.min(piece.length, sizeBytes - at), at);
        if (bytesRead === 0) break;
        hash.update(piece.subarray(0, bytesRead));
        at += bytesRead;
      }
      await file.close();
      (hash.digest('hex') === sha256 && at === sizeBytes ? served : wrong).push(sha256);
    }
  }
  const states = Array.from(store.catalog.objects.values(), (one) => `${one.sha256} ${one.state}`);
  return { say: 'found', served, wrong, wanted: wanted(), good, states };
}

const wanted = () => Array.from(store.catalog.assets.values(), (asset) => asset.assetId);

async function atRest(): Promise<void> {
  executor.wake();
  const deadline = performance.now() + 60_000;
  const busy = () =>
    store.isLoading ||
    store.orphans.size > 0 ||
    [...store.catalog.objects.values()].some(
      (one) => one.state !== 'complete' || [...one.assetIds].length === 0,
    );
  while (busy()) {
    if (performance.now() > deadline) throw new Error('it does not come to rest');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

await disk.start();
if (!disk.readable) throw new Error(disk.problem ?? disk.state);
await store.load();
say(await lookAround());
armed = true;
let issuedAtMs = Date.now();
for (let round = 0; round < job.rounds; round++) {
  for (let turn = 0; turn < 4; turn++) {
    const manifest = job.manifests[below(job.manifests.length)];
    if (!manifest) break;
    const { assetId } = manifest;
    const want = !store.catalog.assets.has(assetId);
    say({ say: 'will', assetId, want });
    if (want) await store.want(manifest, null, issuedAtMs++);
    else await store.unwant(assetId, 'deleted');
    say({ say: 'did', assetId, want });
    executor.wake();
  }
  await atRest();
}
await atRest();
await executor.close();
await downloads.stopAll();
await store.close();
await disk.close();
origin.close();
say({ say: 'done', usedBytes: store.catalog.totals().bytes, wanted: wanted(), changes });
process.exit(0);
