import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { ObjectEntry } from '#agent/store/catalog.ts';
import type { Store } from '#agent/store/store.ts';
import type { Clock } from '#agent/time/clock.ts';
import { messageOf } from '#protocol/errors.ts';
import type { Evictions, EvictionsVerdict } from '#protocol/evictions.ts';
import { LIMITS } from '#protocol/limits.ts';
import { EvictionLog } from './eviction-log.ts';
import { HALF_LIFE_S, HEAT_ORIGIN_S, Heat } from './heat.ts';
import { Vetoes } from './vetoes.ts';
import type { Need, Victim } from './victims.ts';
import { chooseVictims, warmestWaiting } from './victims.ts';

export interface EvictorParts {
  store: Store;
  clock: Clock;
  log: Logger;
  /** Sends a proposal; false when there is no link to the fleet. */
  propose: (message: Evictions) => Promise<boolean>;
  replan: () => void;
  /** How long the fleet may think about a proposal, ms. */
  verdictMs?: number;
  /** How often room is looked at without a reason, ms. */
  everyMs?: number;
  /** How long a fleet that cannot be reached is waited for, ms. */
  aloneAfterMs?: number;
}

const VERDICT_MS = 10_000;
const EVERY_MS = 30_000;
/** A box that starts has its disk before its link, and links break for a moment: only the fleet knows an only copy. */
const ALONE_AFTER_MS = 30_000;
/** One waking makes room at most so often; the next goes on. */
const MOST_ROUNDS = 100;

/**
 * Keeps room on the disk: for what the fleet has newly assigned, as far as that is worth more than what must go, and
 * for the household, whose quota counts above all. The fleet is asked first, and has a few seconds to answer; by
 * itself the box goes by heat alone, and tells later.
 */
export class Evictor {
  readonly #parts: EvictorParts;
  readonly #heat = new Heat(HALF_LIFE_S, HEAT_ORIGIN_S);
  readonly #memory: EvictionLog;
  readonly #vetoes: Vetoes;
  #asked: { proposalId: string; answer: (verdict: EvictionsVerdict | null) => void } | null = null;
  #running: Promise<void> | null = null;
  #telling: Promise<void> | null = null;
  #again = false;
  #closed = false;
  /** Since when the fleet could not be asked, monotonic ms; null: it could. */
  #aloneSinceMs: number | null = null;
  #patience: NodeJS.Timeout | null = null;
  readonly #timer: NodeJS.Timeout;

  constructor(parts: EvictorParts) {
    this.#parts = parts;
    const { store } = parts;
    this.#memory = new EvictionLog(store.disk.layout);
    this.#vetoes = new Vetoes(parts.clock);
    store.on((event) => {
      if (event.type !== 'changed') return;
      const { object } = event.asset;
      if (object.heat === 0) this.#welcome(object);
      if (object.failure?.code === 'disk_full') this.wake();
    });
    store.disk.onChange(() => this.wake());
    this.#timer = setInterval(() => this.wake(), parts.everyMs ?? EVERY_MS);
    this.#timer.unref();
  }

  /** Clients were served so much of an asset. */
  used(assetId: string, bytes: number, requests: number): void {
    const { catalog } = this.#parts.store;
    const { assets, objects } = catalog.tables;
    const asset = assets.find(assetId);
    if (asset < 0) return;
    const row = assets.objectOf(asset);
    const nowS = this.#nowS();
    const uses = bytes / Math.max(1, objects.sizeBytes(row));
    objects.setUse(row, {
      hits: objects.hits(row) + requests,
      lastUsedS: nowS,
      heat: uses > 0 ? this.#heat.used(objects.heat(row), nowS, uses) : objects.heat(row),
    });
  }

  /** The fleet's answer. One that nobody waits for any more changes nothing. */
  verdict(verdict: EvictionsVerdict): void {
    if (this.#asked?.proposalId === verdict.proposalId) this.#asked.answer(verdict);
  }

  /**
   * A disk has come: what was put out of it before is remembered again, and what the fleet wanted kept. Before anything
   * of it is told.
   */
  async recall(): Promise<void> {
    await this.#memory.open();
    for (const [assetId, saidMs] of this.#memory.vetoes) this.#vetoes.recalled(assetId, saidMs);
    this.linked();
  }

  /** There is a link to the fleet: it is told what went meanwhile. */
  linked(): void {
    this.#aloneSinceMs = null;
    if (this.#patience) this.wake();
    void this.#tell();
  }

  /** Room may be short: looks, and makes some. Cheap to call. */
  wake(): void {
    if (this.#closed) return;
    this.#again = true;
    this.#running ??= this.#run()
      .catch((error) => this.#parts.log.warn({ reason: messageOf(error) }, 'room could not be made'))
      .finally(() => {
        this.#running = null;
      });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    if (this.#patience) clearTimeout(this.#patience);
    this.#asked?.answer(null);
    await this.#running;
    await this.#telling;
  }

  async #run(): Promise<void> {
    for (let round = 0; this.#again && round < MOST_ROUNDS; round++) {
      this.#again = false;
      const need = this.#need();
      if (need === null) return;
      const victims = chooseVictims(this.#parts.store.catalog, need);
      if (victims.length === 0) return;
      const gone = await this.#agree(victims, need);
      if (this.#closed || gone === null) return;
      // Before it is deleted, or the fleet would send it again the moment it hears that it has gone.
      await this.#tell();
      for (const victim of gone) await this.#evict(victim);
      await this.#parts.store.disk.look();
      if (gone.length > 0) this.#forgive();
      this.#parts.replan();
      // Asked again: there may be vetoes to go around, or more to go than one proposal takes.
      this.#again = true;
    }
  }

  /** How much must go; null when there is room, or nothing can be done about it. */
  #need(): Need | null {
    const { store, clock } = this.#parts;
    const { disk, catalog } = store;
    if (store.isLoading || !(disk.writable || disk.state === 'full')) return null;
    const nowMs = clock.fleetNow();
    const common = { nowMs, vetoed: this.#vetoes.current(), most: LIMITS.evictionsPerProposal };
    const over = catalog.usedBytes - disk.capacityBytes();
    if (over > 0) return { ...common, bytes: over, below: Number.POSITIVE_INFINITY };
    const newcomer = warmestWaiting(catalog);
    if (!newcomer) return null;
    const bytes = newcomer.sizeBytes - newcomer.bytesDone - disk.spareBytes;
    // What could never fit is not worth anything that is there.
    if (bytes <= 0 || newcomer.sizeBytes > disk.capacityBytes()) return null;
    return { ...common, bytes, below: newcomer.heat };
  }

  /** Asks the fleet. @returns what may go: all of it when there is no answer; null: the link is waited for */
  async #agree(victims: Victim[], need: Need): Promise<Victim[] | null> {
    const assets = victims.flatMap(({ sha256, assetIds }) =>
      assetIds.map((assetId) => ({ assetId, sha256 })),
    );
    const verdict = await this.#ask(assets);
    if (this.#closed || (verdict === 'offline' && this.#waitsForLink())) return null;
    if (verdict === null || verdict === 'offline') {
      await this.#note(victims, false);
      return victims;
    }
    const vetoed = new Set(verdict.vetoed.map(({ assetId }) => assetId));
    const isLastWord =
      need.below === Number.POSITIVE_INFINITY && assets.every(({ assetId }) => this.#vetoes.has(assetId));
    for (const assetId of vetoed) this.#vetoes.said(assetId);
    // Before anything goes: after a power cut there may be no fleet to ask.
    await this.#memory
      .veto(vetoed, this.#parts.clock.bestNow())
      .catch((error) => this.#parts.log.warn({ reason: messageOf(error) }, 'a veto could not be noted'));
    const kept = victims.filter(({ assetIds }) => assetIds.some((assetId) => vetoed.has(assetId)));
    const agreed = victims.filter((victim) => !kept.includes(victim));
    if (agreed.length > 0) await this.#note(agreed, true);
    if (!isLastWord || kept.length === 0) return agreed;
    // The disk is the household's: when all that is left was vetoed before, its quota counts more.
    await this.#note(kept, false);
    return victims;
  }

  /** On the disk before anything goes, as far as it takes it: one that is full to the last byte must be relieved. */
  async #note(victims: Victim[], isTold: boolean): Promise<void> {
    const { clock, log } = this.#parts;
    await this.#memory.note(victims, isTold, clock.bestNow()).catch((error) => {
      log.warn({ reason: messageOf(error) }, 'evictions could not be noted on the disk');
    });
  }

  /** True as long as the fleet may yet come; then it is looked at again by itself. */
  #waitsForLink(): boolean {
    const now = this.#parts.clock.monotonic();
    this.#aloneSinceMs ??= now;
    const leftMs = this.#aloneSinceMs + (this.#parts.aloneAfterMs ?? ALONE_AFTER_MS) - now;
    if (leftMs <= 0) return false;
    this.#patience ??= setTimeout(() => {
      this.#patience = null;
      this.wake();
    }, leftMs);
    return true;
  }

  /** @returns null when it does not answer in time */
  async #ask(assets: Evictions['assets']): Promise<EvictionsVerdict | 'offline' | null> {
    const { propose, clock, verdictMs } = this.#parts;
    const proposalId = randomUUID();
    return new Promise((resolve) => {
      const answer = (verdict: EvictionsVerdict | 'offline' | null) => {
        clearTimeout(timer);
        this.#asked = null;
        if (verdict !== 'offline') this.#aloneSinceMs = null;
        resolve(verdict);
      };
      const timer = setTimeout(() => answer(null), verdictMs ?? VERDICT_MS);
      this.#asked = { proposalId, answer };
      propose({ v: 1, at: clock.stamp(), proposalId, done: false, assets })
        .then((sent) => {
          if (!sent && this.#asked?.proposalId === proposalId) answer('offline');
        })
        .catch(() => answer(null));
    });
  }

  async #evict({ sha256, assetIds }: Victim): Promise<void> {
    const { store, log } = this.#parts;
    for (const assetId of assetIds) await store.unwant(assetId, 'evicted');
    await store.removeObject(sha256);
    log.info({ sha256 }, 'evicted');
  }

  /** Tells what the fleet may not know; ends early when it does not get through. */
  #tell(): Promise<void> {
    this.#telling ??= this.#tellAll()
      .catch((error) => this.#parts.log.warn({ reason: messageOf(error) }, 'evictions were not told'))
      .finally(() => {
        this.#telling = null;
      });
    return this.#telling;
  }

  async #tellAll(): Promise<void> {
    const { propose, clock, store } = this.#parts;
    while (this.#memory.untold.length > 0) {
      const next = this.#memory.untold.slice(0, LIMITS.evictionsPerProposal);
      // What was asked for again since it went is not gone.
      const assets = next
        .filter(({ assetId, atMs }) => (store.catalog.assets.get(assetId)?.issuedAtMs ?? 0) <= atMs)
        .map(({ assetId, sha256 }) => ({ assetId, sha256 }));
      const message = { v: 1 as const, at: clock.stamp(), proposalId: randomUUID(), done: true, assets };
      if (assets.length > 0 && !(await propose(message))) return;
      await this.#memory.told(next);
    }
  }

  /** A newcomer counts as used once, now; one that was here before has what it had. */
  #welcome(object: ObjectEntry): void {
    if (!object.isListed) return;
    const { objects } = this.#parts.store.catalog.tables;
    const heat = this.#heat.used(this.#memory.heatOf(object.sha256), this.#nowS());
    objects.setUse(object.row, { hits: object.hits, lastUsedS: object.lastUsedS, heat });
  }

  /** Those that waited for room need not wait any longer. */
  #forgive(): void {
    const { objects } = this.#parts.store.catalog.tables;
    for (const [row, { failure }] of [...objects.extras()]) {
      if (failure?.code === 'disk_full') objects.setExtra(row, { failure: null });
    }
  }

  #nowS(): number {
    return Math.max(0, Math.floor(this.#parts.clock.bestNow() / 1000));
  }
}
