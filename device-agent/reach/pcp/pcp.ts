import { createHmac } from 'node:crypto';
import type { MappingProblem } from '#protocol/reach.ts';
import type { Gateway, Mapped, PortMapper, Wanted } from '../mapping.ts';
import { MappingError } from '../mapping.ts';
import type { MapRequest, PcpAnswer, ResultCode } from './codec.ts';
import { encodeMap, NONCE_BYTES, RESULTS, readAnswer, SERVER_PORT } from './codec.ts';
import { EpochWatch } from './epoch.ts';
import { ask } from './exchange.ts';
import { pcpWaits } from './timers.ts';

/** How long a router may take; it sits a metre away. */
const GIVE_UP_MS = 12_000;
/** Lifetimes above a day are not believed (RFC 6887 section 15: a client may bound them). */
const MOST_LIFETIME_S = 86_400;
/** Errors are not to be asked again before their lifetime ends, but a router may not silence us for a week. */
const MOST_ERROR_S = 1_800;

export interface PcpOptions {
  /**
   * What the mappings' nonces are derived from. Only who knows the nonce may renew or delete a mapping (RFC 6887
   * section 11.3), so it must outlive the process: after a SIGKILL the port would belong to nobody for hours.
   */
  secret: Uint8Array;
  now: () => number;
  random?: () => number;
  /** Another than the well-known one, for tests. */
  port?: number;
  giveUpMs?: number;
}

const PROBLEMS: Partial<Record<ResultCode, MappingProblem>> = {
  1: 'unsupported',
  2: 'not_authorized',
  4: 'unsupported',
  5: 'unsupported',
  7: 'no_wan',
  8: 'router_full',
  9: 'unsupported',
  10: 'router_full',
  11: 'port_taken',
};

/** Mappings by PCP (RFC 6887): IPv4 ports and, with an IPv6 gateway, holes in its firewall. */
export class PcpMapper implements PortMapper {
  readonly method = 'pcp';
  readonly #options: PcpOptions;
  /** By router. A household has one or two. */
  readonly #epochs = new Map<string, EpochWatch>();

  constructor(options: PcpOptions) {
    this.#options = options;
  }

  async map(wanted: Wanted, signal: AbortSignal): Promise<Mapped> {
    const { gateway, previous } = wanted;
    const same = previous?.method === 'pcp' && previous.gateway.local === gateway.local ? previous : null;
    const request: MapRequest = {
      clientAddress: gateway.local,
      nonce: this.#nonce(gateway, wanted.internalPort),
      internalPort: wanted.internalPort,
      externalPort: same?.externalPort ?? wanted.externalPort,
      externalAddress: same?.externalAddress ?? null,
      lifetimeS: wanted.lifetimeS,
      preferFailure: wanted.exact ?? false,
    };
    const answer = await this.#ask(gateway, request, signal);
    if (answer.lifetimeS === 0) throw new MappingError('bad_answer', 'a mapping that lives 0 s');
    const mapped: Mapped = {
      method: 'pcp',
      family: gateway.family,
      gateway,
      internalPort: wanted.internalPort,
      externalAddress: answer.externalAddress,
      externalPort: answer.externalPort,
      lifetimeS: Math.min(answer.lifetimeS, MOST_LIFETIME_S),
      rebooted: answer.rebooted,
    };
    // Servers need not know PREFER_FAILURE (section 13): miniupnpd gives another port all the same.
    if (wanted.exact && mapped.externalPort !== request.externalPort) {
      await this.unmap(mapped, signal);
      throw new MappingError('port_taken', `port ${mapped.externalPort} was given`);
    }
    return mapped;
  }

  async unmap(mapped: Mapped, signal: AbortSignal): Promise<void> {
    const request: MapRequest = {
      clientAddress: mapped.gateway.local,
      nonce: this.#nonce(mapped.gateway, mapped.internalPort),
      internalPort: mapped.internalPort,
      externalPort: 0,
      externalAddress: null,
      lifetimeS: 0,
      preferFailure: false,
    };
    try {
      await this.#ask(mapped.gateway, request, signal);
    } catch (error) {
      const problem = error instanceof MappingError ? error.problem : null;
      // What miniupnpd says when there is nothing to delete.
      if (problem === 'router_full') return;
      // And when it no longer knows whose a pinhole is that it has renewed: then it is to end by itself, at once.
      if (problem !== 'not_authorized') throw error;
      await this.#ask(
        mapped.gateway,
        { ...request, externalPort: mapped.externalPort, lifetimeS: 1 },
        signal,
      );
    }
  }

  async #ask(gateway: Gateway, request: MapRequest, signal: AbortSignal) {
    const { port = SERVER_PORT, giveUpMs = GIVE_UP_MS, random, now } = this.#options;
    const answer = await ask(
      gateway,
      encodeMap(request),
      (packet) => taken(readAnswer(packet, request)),
      pcpWaits(giveUpMs, random),
      signal,
      port,
    );
    const rebooted = this.#epochOf(gateway).lost(answer.epochS, now());
    if (answer.kind === 'mapped') return { ...answer, rebooted };
    const problem = PROBLEMS[answer.result as ResultCode] ?? 'router_error';
    const name = RESULTS[answer.result as ResultCode] ?? `result ${answer.result}`;
    const detail = answer.highestVersion === 0 ? `${name}: it speaks NAT-PMP` : name;
    const retryAfterMs = Math.min(answer.lifetimeS, MOST_ERROR_S) * 1000;
    throw new MappingError(problem, detail, { retryAfterMs });
  }

  #epochOf(gateway: Gateway): EpochWatch {
    const known = this.#epochs.get(gateway.address);
    if (known) return known;
    if (this.#epochs.size > 16) this.#epochs.clear();
    const fresh = new EpochWatch('pcp');
    this.#epochs.set(gateway.address, fresh);
    return fresh;
  }

  #nonce(gateway: Gateway, internalPort: number): Buffer {
    return createHmac('sha256', this.#options.secret)
      .update(`pcp ${gateway.local} ${internalPort}`)
      .digest()
      .subarray(0, NONCE_BYTES);
  }
}

function taken(answer: PcpAnswer): Extract<PcpAnswer, { kind: 'mapped' | 'error' }> | null {
  return answer.kind === 'mapped' || answer.kind === 'error' ? answer : null;
}
