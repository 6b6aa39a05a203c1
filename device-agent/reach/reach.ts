import type { Logger } from 'pino';
import { kindOf } from '#protocol/addresses.ts';
import { messageOf } from '#protocol/errors.ts';
import type { DialCode, DialTarget, Family, ReachReport } from '#protocol/reach.ts';
import { FAMILIES } from '#protocol/reach.ts';
import type { Mapped, MappingMethod, PortMapper } from './mapping.ts';
import { MappingError } from './mapping.ts';
import type { Network } from './network.ts';
import { fingerprintOf, publicAddress } from './network.ts';
import type { Dial, Endpoint, FamilyFacts, Step, Try } from './planner.ts';
import { keyOf, mappedEndpoint, planFamily, renewAfterMs } from './planner.ts';
import { type RelayState, reportOf, uselessOf } from './report.ts';

/** What is asked of routers; they may give less. RFC 6886 section 3.3 recommends two hours. */
const LIFETIME_S = 7_200;
const RETRY_MS = 600_000;
const DIAL_AGAIN_OK_MS = 900_000;
const DIAL_AGAIN_MS = 300_000;
/** A request to the fleet that got no answer is made again soon. */
const DIAL_LOST_MS = 15_000;
/** How long giving mappings back may take at the end. */
const GOODBYE_MS = 4_000;
/** Until there is something to be reached, it is looked for this often. */
const NO_PORT_MS = 2_000;
/** Addresses whose dial is remembered. */
const MOST_DIALS = 64;
/** A permanent mapping whose router is gone for so many renewals is no longer believed in. */
const PERMANENT_FAILURES_MS = 3_600_000;

export interface ReachOptions {
  /** Where content is served; asked for anew each time, since 0 becomes a port when it listens, and is waited for. */
  port: () => number;
  /** The port wanted outside, where it is another. */
  outsidePort?: () => number | null;
  /** The fleet is to dial by TLS. */
  secure?: boolean;
  /** What the content server is bound to. */
  bind: string;
  /** Whether routers may be asked. */
  mapping: boolean;
  /** Set by hand; then nothing is tried. */
  configuredUrl: string | null;
  mappers: Record<MappingMethod, PortMapper>;
  /** Has the fleet dial addresses. What it does not answer for is asked again. @throws when it cannot be asked */
  dial: (targets: DialTarget[], signal: AbortSignal) => Promise<{ target: DialTarget; code: DialCode }[]>;
  readNetwork: () => Promise<Network>;
  relay: () => RelayState;
  /** Something changed that clients or people should know. */
  onChange: () => void;
  log: Logger;
  /** Monotonic, ms. */
  now: () => number;
  random?: () => number;
  /** How often addresses and routes are looked at, ms. */
  pollMs?: number;
  /** How often a mapping is checked by renewing it, ms. */
  checkMs?: number;
  lifetimeS?: number;
}

interface FamilyState {
  tries: Partial<Record<MappingMethod, Try>>;
  dials: Map<string, Dial>;
  /** Ends the wait between two steps. */
  wake: () => void;
  /** Ends the step under way, when the network it is about is gone. */
  abort: AbortController;
}

/** Climbs the ladder and stays there: has what `planner.ts` decides done, one step of each address family at a time. */
export class Reach {
  readonly #options: ReachOptions;
  readonly #random: () => number;
  readonly #closing = new AbortController();
  readonly #state: Record<Family, FamilyState>;
  readonly #loops: Promise<void>[] = [];
  #network: Network = { addresses: [], gateways: { ipv4: null, ipv6: null } };
  #fingerprint = '';
  #poll: NodeJS.Timeout | null = null;
  #online = false;
  #lastState = '';

  constructor(options: ReachOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    const fresh = (): FamilyState => ({
      tries: {},
      dials: new Map(),
      wake: () => undefined,
      abort: new AbortController(),
    });
    this.#state = { ipv4: fresh(), ipv6: fresh() };
  }

  async start(): Promise<void> {
    if (this.idle) return;
    await this.#look();
    this.#poll = setInterval(() => void this.#look(), this.#options.pollMs ?? 5_000);
    this.#poll.unref();
    for (const family of FAMILIES) this.#loops.push(this.#climb(family));
  }

  /** The fleet's link came or went: only while it stands can addresses be dialled. */
  setOnline(online: boolean): void {
    if (online === this.#online) return;
    this.#online = online;
    for (const family of FAMILIES) {
      // Who was away may have come back from elsewhere.
      if (online) this.#state[family].dials.clear();
      this.#state[family].wake();
    }
  }

  /** A router said that it has been restarted (RFC 6887 section 14.1.3): its mappings are made again. */
  routerRestarted(): void {
    for (const family of FAMILIES) {
      for (const known of Object.values(this.#state[family].tries)) {
        known.nextMs = Math.min(known.nextMs, this.#options.now());
      }
      this.#state[family].wake();
    }
  }

  /** Everything is tried anew. */
  retry(): void {
    for (const family of FAMILIES) {
      const state = this.#state[family];
      for (const [method, known] of Object.entries(state.tries)) {
        if (known.mapped) known.nextMs = this.#options.now();
        else delete state.tries[method as MappingMethod];
      }
      state.dials.clear();
      state.wake();
    }
  }

  /** Where clients are best sent, IPv4 first: confirmed, or the best guess; null: this box knows of no address. */
  endpoint(): Endpoint | null {
    const guesses: Endpoint[] = [];
    for (const family of FAMILIES) {
      const facts = this.#facts(family);
      const held = Object.values(facts.tries).find(({ mapped }) => mapped)?.mapped;
      for (const endpoint of [
        ...(facts.own ? [{ family, way: 'public' as const, address: facts.own, port: facts.port }] : []),
        ...(held ? [mappedEndpoint(held)] : []),
      ]) {
        const dial = facts.dials.get(keyOf(endpoint));
        if (dial?.code === 'ok') return endpoint;
        if (!dial || dial.code === 'rate_limited') guesses.push(endpoint);
      }
    }
    return guesses[0] ?? null;
  }

  report(): ReachReport {
    return reportOf({
      families: { ipv4: this.#facts('ipv4'), ipv6: this.#facts('ipv6') },
      relay: this.#options.relay(),
      configured: this.#options.configuredUrl,
      loopbackOnly: kindOf(this.#options.bind) === 'loopback',
      mappingOn: this.#options.mapping,
    });
  }

  /** Gives every mapping back, within a few seconds. */
  async close(): Promise<void> {
    if (this.#poll) clearInterval(this.#poll);
    this.#closing.abort();
    for (const family of FAMILIES) {
      this.#state[family].abort.abort();
      this.#state[family].wake();
    }
    await Promise.all(this.#loops);
    const signal = AbortSignal.timeout(GOODBYE_MS);
    const held = FAMILIES.flatMap((family) =>
      Object.values(this.#state[family].tries).flatMap(({ mapped }) => (mapped ? [mapped] : [])),
    );
    await Promise.all(held.map((mapped) => this.#giveBack(mapped, signal)));
  }

  /** Nothing to climb: the address is given, or nobody else could reach the port anyway. */
  get idle(): boolean {
    return this.#options.configuredUrl !== null || kindOf(this.#options.bind) === 'loopback';
  }

  async #look(): Promise<void> {
    let network: Network;
    try {
      network = await this.#options.readNetwork();
    } catch (error) {
      this.#options.log.debug({ reason: messageOf(error) }, 'the network could not be looked at');
      return;
    }
    const fingerprint = fingerprintOf(network);
    if (fingerprint === this.#fingerprint || this.#closing.signal.aborted) return;
    const isFirst = this.#fingerprint === '';
    const before = this.#network;
    this.#network = network;
    this.#fingerprint = fingerprint;
    if (!isFirst) this.#options.log.info({ gateways: network.gateways }, 'the network changed');
    for (const family of FAMILIES) {
      const same =
        JSON.stringify(before.gateways[family]) === JSON.stringify(network.gateways[family]) &&
        publicAddress(before, family) === publicAddress(network, family);
      if (same) continue;
      const state = this.#state[family];
      // What another router or address had given is nothing here; it runs out by itself.
      state.tries = {};
      state.dials.clear();
      state.abort.abort();
      state.abort = new AbortController();
      state.wake();
    }
    this.#changed();
  }

  #facts(family: Family): FamilyFacts {
    const bound = this.#options.bind;
    const boundKind = kindOf(bound);
    // 0.0.0.0 and :: are everything; any other address is the one that is served on.
    const everywhere = bound === '0.0.0.0' || bound === '::';
    const serves = bound === '0.0.0.0' ? family === 'ipv4' : true;
    const found = serves ? publicAddress(this.#network, family) : null;
    const own = everywhere ? found : boundKind === 'public' && found === bound ? bound : null;
    return {
      family,
      port: this.#options.port(),
      own,
      gateway: serves ? this.#network.gateways[family] : null,
      mapping: this.#options.mapping,
      tries: this.#state[family].tries,
      dials: this.#state[family].dials,
      online: this.#online,
      nowMs: this.#options.now(),
    };
  }

  async #climb(family: Family): Promise<void> {
    const state = this.#state[family];
    while (!this.#closing.signal.aborted) {
      if (this.#options.port() === 0) {
        await this.#rest(state, NO_PORT_MS);
        continue;
      }
      const step = planFamily(this.#facts(family));
      if (step.do === 'wait') {
        await this.#rest(state, step.untilMs - this.#options.now());
        continue;
      }
      const { signal } = state.abort;
      try {
        await this.#take(family, step, signal);
      } catch (error) {
        if (signal.aborted) continue;
        this.#options.log.warn(
          { step: step.do, family, reason: messageOf(error) },
          'a step towards clients failed',
        );
        // Whatever it was, it must not be tried in a loop.
        await this.#rest(state, DIAL_LOST_MS);
      }
      this.#changed();
    }
  }

  #rest(state: FamilyState, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, Math.min(Math.max(ms, 50), 3_600_000));
      function done() {
        clearTimeout(timer);
        state.wake = () => undefined;
        resolve();
      }
      state.wake = done;
      if (this.#closing.signal.aborted) done();
    });
  }

  async #take(family: Family, step: Exclude<Step, { do: 'wait' }>, signal: AbortSignal): Promise<void> {
    const state = this.#state[family];
    switch (step.do) {
      case 'dial':
        return this.#dial(state, step.endpoint, signal);
      case 'map':
        return this.#map(family, state, step.method, step.previous, signal);
      case 'unmap': {
        await this.#giveBack(step.mapped, signal);
        if (step.because === null) delete state.tries[step.method];
        else {
          const { address } = mappedEndpoint(step.mapped);
          this.#failed(
            state,
            step.method,
            { problem: null, useless: step.because, detail: address },
            RETRY_MS,
          );
        }
      }
    }
  }

  async #dial(state: FamilyState, endpoint: Endpoint, signal: AbortSignal): Promise<void> {
    const { address, port, way } = endpoint;
    const { log, now } = this.#options;
    const target = { address, port, ...(this.#options.secure && { secure: true }) };
    const answers = await this.#options.dial([target], signal).catch((error) => {
      log.info({ address, port, reason: messageOf(error) }, 'the fleet could not be asked to dial');
      return [];
    });
    signal.throwIfAborted();
    const code = answers.find(({ target }) => keyOf(target) === keyOf(endpoint))?.code;
    if (!code) return this.#rest(state, DIAL_LOST_MS);
    const atMs = now();
    const againMs = atMs + (code === 'ok' ? DIAL_AGAIN_OK_MS : DIAL_AGAIN_MS) * (0.9 + this.#random() / 5);
    for (const oldest of state.dials.keys()) {
      if (state.dials.size < MOST_DIALS) break;
      state.dials.delete(oldest);
    }
    const before = state.dials.get(keyOf(endpoint))?.code;
    state.dials.set(keyOf(endpoint), { atMs, code, againMs });
    if (before === code) return;
    if (code === 'ok') log.info({ way, address, port }, 'clients can reach this box');
    else log.warn({ way, address, port, code }, 'the fleet dialled in vain');
  }

  async #map(
    family: Family,
    state: FamilyState,
    method: MappingMethod,
    previous: Mapped | null,
    signal: AbortSignal,
  ): Promise<void> {
    const { mappers, now, log, checkMs = 300_000, lifetimeS = LIFETIME_S } = this.#options;
    const { gateway, port } = this.#facts(family);
    if (!gateway) return;
    const before = state.tries[method];
    try {
      const externalPort = this.#options.outsidePort?.() ?? port;
      const wanted = { gateway, internalPort: port, externalPort, lifetimeS, previous };
      const mapped = await mappers[method].map(wanted, signal);
      signal.throwIfAborted();
      const useless = uselessOf(mapped.externalAddress);
      if (useless) {
        await this.#giveBack(mapped, signal);
        this.#failed(state, method, { problem: null, useless, detail: mapped.externalAddress }, RETRY_MS);
        log.warn({ method, address: mapped.externalAddress }, 'the router is itself behind another one');
        return;
      }
      const atMs = now();
      const nextMs = atMs + renewAfterMs(mapped.lifetimeS, checkMs, this.#random);
      const expiresMs = atMs + mapped.lifetimeS * 1000;
      state.tries[method] = { atMs, mapped, nextMs, expiresMs, problem: null, useless: null, detail: '' };
      const moved = !previous || keyOf(mappedEndpoint(previous)) !== keyOf(mappedEndpoint(mapped));
      if (moved || mapped.rebooted) state.dials.delete(keyOf(mappedEndpoint(mapped)));
      if (mapped.rebooted) log.info({ method }, 'the router was restarted; the mapping is made again');
      if (moved) {
        const { externalAddress: address, externalPort } = mapped;
        log.info(
          { method, family, address, port: externalPort, lifetimeS: mapped.lifetimeS },
          'mapped a port',
        );
      }
    } catch (error) {
      signal.throwIfAborted();
      const known = error instanceof MappingError;
      const problem = known ? error.problem : 'router_error';
      const useless = known && error.externalAddress ? uselessOf(error.externalAddress) : null;
      const detail = useless && known ? (error.externalAddress ?? '') : messageOf(error);
      const atMs = now();
      // A lease that has not run out still stands; it is asked for again while it does (section 11.2.1).
      const leftMs = before?.mapped
        ? Math.min(before.expiresMs - atMs, PERMANENT_FAILURES_MS - (atMs - before.atMs))
        : 0;
      if (before?.mapped && !useless && leftMs > 0) {
        before.nextMs = atMs + Math.max(4_000, Math.min(leftMs / 2, 60_000));
        log.info({ method, problem, detail }, 'a mapping could not be renewed yet');
        return;
      }
      if (before?.mapped) log.warn({ method, problem, detail }, 'a mapping is lost');
      const retryMs = Math.max(RETRY_MS * (0.9 + this.#random() / 5), (known && error.retryAfterMs) || 0);
      this.#failed(state, method, { problem, useless, detail }, retryMs);
      log.info({ method, family, problem, detail }, 'no mapping this way');
    }
  }

  #failed(
    state: FamilyState,
    method: MappingMethod,
    why: Pick<Try, 'problem' | 'useless' | 'detail'>,
    retryMs: number,
  ): void {
    const atMs = this.#options.now();
    state.tries[method] = { atMs, mapped: null, nextMs: atMs + retryMs, expiresMs: atMs, ...why };
  }

  async #giveBack(mapped: Mapped, signal: AbortSignal): Promise<void> {
    const { mappers, log } = this.#options;
    try {
      await mappers[mapped.method].unmap(mapped, signal);
      log.info({ method: mapped.method, port: mapped.externalPort }, 'gave a mapping back');
    } catch (error) {
      log.info({ method: mapped.method, reason: messageOf(error) }, 'a mapping is left to run out');
    }
  }

  #changed(): void {
    if (this.#closing.signal.aborted) return;
    const endpoint = this.endpoint();
    const { state, way, reason, values } = this.report();
    const now = JSON.stringify([endpoint, state, way, reason]);
    if (now === this.#lastState) return;
    this.#lastState = now;
    this.#options.log.info({ state, way, reason, ...values }, 'how clients reach this box');
    this.#options.onChange();
  }
}
