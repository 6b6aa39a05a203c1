import { createHash } from 'node:crypto';
import { readFileSync, writeSync } from 'node:fs';
import zlib from 'node:zlib';
import pino from 'pino';
import { folderPlace } from '#agent/disks/places.ts';
import { Evictor } from '#agent/evict/evictor.ts';
import { Downloads } from '#agent/fetch/downloads.ts';
import { ORIGIN_DEFAULTS, OriginClient } from '#agent/fetch/origin.ts';
import { Executor } from '#agent/plan/executor.ts';
import { ENCODING_LIMITS, Encodings } from '#agent/serve/encodings/encodings.ts';
import { CODINGS, keyOf } from '#agent/serve/encodings/variant.ts';
import { Disk } from '#agent/store/disk.ts';
import { diskMemoryIn } from '#agent/store/marker.ts';
import { PartialObject } from '#agent/store/object-files.ts';
import type { Removal } from '#agent/store/store.ts';
import { Store } from '#agent/store/store.ts';
import { Clock } from '#agent/time/clock.ts';
import type { AssetManifest } from '#protocol/asset.ts';
import type { DiskSettings } from '#protocol/household.ts';
import type { Area, Death } from './deaths.ts';
import { Deaths } from './deaths.ts';

/**
 * One life of a box's storage: the real disk, store, downloads, executor, evictor and compressed copies, without
 * clients and with a fleet that answers as it is told. It says what it finds, one JSON line each, then changes what
 * is wanted and how much room there is again and again, saying what is durable, until it is killed.
 */
export interface Job {
  root: string;
  stateDir: string;
  manifests: AssetManifest[];
  /** Ids of assets that are pinned whenever they are wanted. */
  pinned: string[];
  /** Ids of assets that are text. */
  texts: string[];
  seed: number;
  /** Rounds of changes to what is wanted; 0: only see to it that everything wanted is there. */
  rounds: number;
  death: Death | null;
  /** Whether there is a fleet to ask before something is put out. */
  fleet: 'answers' | 'away';
  partBytes: number;
  settleMs: number;
}

/** Until when an asset is wanted, ms since 1970; false: it is not. */
export type Want = number | false;

export type Said =
  | {
      say: 'found';
      served: string[];
      wrong: string[];
      /** Each asset with the end of its time, ms: the fleet's newest word on it. */
      wanted: [string, number | null][];
      good: [string, number[]][];
      variants: number;
      states: string[];
    }
  | { say: 'will'; assetId: string; want: Want }
  | { say: 'did'; assetId: string; want: Want }
  | { say: 'kept'; sha256: string; index: number }
  | { say: 'held'; sha256: string }
  | { say: 'evicted'; sha256: string }
  | { say: 'dies'; area: Area; what: string }
  | {
      say: 'done';
      usedBytes: number;
      encodedBytes: number;
      wanted: number;
      counts: Partial<Record<Area, number>>;
    };

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

const deaths = new Deaths({
  root: job.root,
  death: job.death,
  evictArea: job.fleet === 'away' ? 'evict alone' : 'evict by verdict',
  onDeath: (what) => {
    if (job.death) say({ say: 'dies', area: job.death.area, what });
  },
});
await deaths.install();
const log = pino({ level: 'silent' });
const clock = new Clock();
let quota: DiskSettings['quota'] = null;
const disk = new Disk({
  place: folderPlace(job.root, true),
  memory: diskMemoryIn(job.stateDir),
  boxId: null,
  bounds: () => ({ floorBytes: 0, quota }),
  probeMs: 60_000,
  stamp: () => clock.stamp(),
  log,
});
const store = new Store(disk, log, { partBytes: job.partBytes, settleMs: job.settleMs });
const encodings = new Encodings({
  store,
  log,
  limits: { ...ENCODING_LIMITS, bytesPerSecond: 1e9 },
  onGone: () => undefined,
  onSourceDamaged: (sha256, error) => {
    throw new Error(`${sha256} is held and is not what it should be`, { cause: error });
  },
});
disk.countBy(() => store.catalog.usedBytes + encodings.usedBytes);
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
const evictor = new Evictor({
  store,
  clock,
  log,
  propose: async ({ proposalId, done, assets }) => {
    await deaths.point('propose');
    if (job.fleet === 'away') return false;
    if (done) return true;
    const vetoed = assets
      .filter(() => below(3) === 0)
      .map(({ assetId }) => ({ assetId, why: 'the only copy' }));
    setTimeout(async () => {
      await deaths.point('verdict');
      evictor.verdict({ v: 1, proposalId, vetoed });
    }, below(4));
    return true;
  },
  replan: () => executor.wake(),
});

/** The last word on each asset: what was done before a newer one is not told as if it were the state of things. */
const words = new Map<string, number>();
async function announce(assetId: string, want: Want, work: () => Promise<void>): Promise<void> {
  say({ say: 'will', assetId, want });
  const word = (words.get(assetId) ?? 0) + 1;
  words.set(assetId, word);
  await work();
  if (words.get(assetId) === word) say({ say: 'did', assetId, want });
}

const evicted = new Set<string>();
const unwant = store.unwant.bind(store);
store.unwant = async (assetId: string, how: Removal) => {
  if (how !== 'evicted') return unwant(assetId, how);
  const asset = store.catalog.assets.get(assetId);
  if (asset?.pinned) throw new Error(`${assetId} is pinned, and put out`);
  if (asset) evicted.add(asset.object.sha256);
  await deaths.evicting(() => announce(assetId, false, () => unwant(assetId, how)));
};
const removeObject = store.removeObject.bind(store);
store.removeObject = async (sha256: string) => {
  if (!evicted.delete(sha256)) return removeObject(sha256);
  await deaths.evicting(() => removeObject(sha256));
  say({ say: 'evicted', sha256 });
};
const keep = PartialObject.prototype.keep;
PartialObject.prototype.keep = async function (index) {
  await keep.call(this, index);
  say({ say: 'kept', sha256: this.sha256, index });
};
store.on((event) => {
  if (event.type !== 'changed') return;
  const { sha256, state } = event.asset.object;
  if (state === 'complete') say({ say: 'held', sha256 });
  executor.wake();
});

/** Reads every object and every compressed copy that would be served, as it would be served. */
async function lookAround(): Promise<Said> {
  const served: string[] = [];
  const wrong: string[] = [];
  const good: [string, number[]][] = [];
  let variants = 0;
  await encodings.settled();
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
      const read = await readAll(file, sizeBytes);
      await file.close();
      const isRight = createHash('sha256').update(read).digest('hex') === sha256;
      (isRight && read.length === sizeBytes ? served : wrong).push(sha256);
      for (const coding of CODINGS) {
        const variant = encodings.find(sha256, coding);
        if (!variant) continue;
        variants++;
        const decoded = await encodings
          .open(keyOf(sha256, coding))
          .then(async (handle) => {
            const encoded = await readAll(handle, variant.sizeBytes);
            await handle.close();
            return coding === 'br' ? zlib.brotliDecompressSync(encoded) : zlib.gunzipSync(encoded);
          })
          .catch(() => null);
        if (!decoded?.equals(read)) wrong.push(keyOf(sha256, coding));
      }
    }
  }
  const states = Array.from(store.catalog.objects.values(), (one) => `${one.sha256} ${one.state}`);
  return { say: 'found', served, wrong, wanted: wanted(), good, variants, states };
}

async function readAll(
  file: {
    read(room: Buffer, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
  },
  sizeBytes: number,
): Promise<Buffer> {
  // One more than it should have: what is too long is wrong as well.
  const room = Buffer.alloc(sizeBytes + 1);
  let at = 0;
  while (at < room.length) {
    const { bytesRead } = await file.read(room, at, room.length - at, at).catch((error) => {
      // Beyond the last part of an object there is nothing to ask.
      if (error instanceof RangeError && at === sizeBytes) return { bytesRead: 0 };
      throw error;
    });
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return room.subarray(0, at);
}

/** Later than any test. */
const END_MS = 365 * 86_400_000;
let issuedAtMs = Date.now();
const wanted = () =>
  Array.from(store.catalog.assets.values(), ({ assetId, expiresAtMs }): [string, number | null] => [
    assetId,
    expiresAtMs,
  ]);

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 200_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`this does not come about: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Everything wanted is held, and nothing else is there. */
async function atRest(): Promise<void> {
  executor.wake();
  const busy = () =>
    store.isLoading ||
    store.orphans.size > 0 ||
    [...store.catalog.objects.values()].some((one) => one.state !== 'complete' || !one.isWanted);
  await until(() => !busy(), 'what is wanted is there, and nothing else');
}

/** The fleet changes its mind on one asset: whether it is wanted, or until when. */
async function change(manifest: AssetManifest): Promise<void> {
  const { assetId } = manifest;
  const isKnown = store.catalog.assets.has(assetId);
  const want = isKnown && below(3) > 0 ? false : END_MS + ++issuedAtMs;
  await announce(assetId, want, () =>
    want
      ? store.want(manifest, want, issuedAtMs, job.pinned.includes(assetId))
      : store.unwant(assetId, 'deleted'),
  );
  executor.wake();
}

/** The household takes room away for a while, and something new comes just then. */
async function squeeze(): Promise<void> {
  const { catalog } = store;
  quota = { unit: 'bytes', value: Math.floor((catalog.usedBytes * (3 + below(5))) / 10) };
  await disk.look();
  evictor.wake();
  const newcomer = any(job.manifests);
  if (!catalog.assets.has(newcomer.assetId)) await change(newcomer);
  const mayGo = () =>
    [...catalog.assets.values()].some(({ pinned, object }) => object.bytesDone > 0 && !pinned);
  await until(() => catalog.usedBytes <= (quota?.value ?? 0) || !mayGo(), 'the quota is kept');
  quota = null;
  await disk.look();
}

function any<T>(list: T[]): T {
  return list[below(list.length)] as T;
}

await disk.start();
if (!disk.readable) throw new Error(disk.problem ?? disk.state);
await store.load();
say(await lookAround());
deaths.arm();
for (let round = 0; round < job.rounds; round++) {
  for (let turn = 0; turn < 4; turn++) await change(any(job.manifests));
  await atRest();
  for (const { assetId, sha256 } of job.manifests) {
    if (store.catalog.objects.get(sha256)?.state !== 'complete' || !job.texts.includes(assetId)) continue;
    encodings.want(sha256, any([...CODINGS]));
  }
  // What follows goes on beside the compressing.
  await store.saveIndex();
  await squeeze();
  await atRest();
  await encodings.settled();
}
await atRest();
await evictor.close();
await executor.close();
await downloads.stopAll();
await encodings.close();
await store.close();
await disk.close();
origin.close();
say({
  say: 'done',
  usedBytes: store.catalog.totals().bytes,
  encodedBytes: encodings.usedBytes,
  wanted: store.catalog.assetCount,
  counts: deaths.counts,
});
process.exit(0);
