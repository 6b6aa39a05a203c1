import { kindOf } from '#protocol/addresses.ts';
import type { MappingProblem } from '#protocol/reach.ts';
import type { Gateway, Mapped, PortMapper, Wanted } from '../mapping.ts';
import { MappingError } from '../mapping.ts';
import { SERVER_PORT } from '../pcp/codec.ts';
import { EpochWatch } from '../pcp/epoch.ts';
import { ask } from '../pcp/exchange.ts';
import { natPmpWaits } from '../pcp/timers.ts';
import type { NatPmpAnswer } from './codec.ts';
import { encodeAddressRequest, encodeMapTcp, RESULTS, readAnswer } from './codec.ts';

const MOST_LIFETIME_S = 86_400;

export interface NatPmpOptions {
  now: () => number;
  /** Another than the well-known one, for tests. */
  port?: number;
  sendings?: number;
}

const PROBLEMS: Record<number, MappingProblem> = {
  1: 'unsupported',
  2: 'not_authorized',
  3: 'no_wan',
  4: 'router_full',
  5: 'unsupported',
};

/** Mappings by NAT-PMP (RFC 6886): IPv4 only. */
export class NatPmpMapper implements PortMapper {
  readonly method = 'natpmp';
  readonly #options: NatPmpOptions;
  readonly #epochs = new Map<string, EpochWatch>();

  constructor(options: NatPmpOptions) {
    this.#options = options;
  }

  async map(wanted: Wanted, signal: AbortSignal): Promise<Mapped> {
    const { gateway, internalPort, lifetimeS, previous } = wanted;
    if (gateway.family !== 'ipv4') throw new MappingError('unsupported', 'NAT-PMP is for IPv4');
    const { address, epochS } = await this.#address(gateway, signal);
    if (address === '0.0.0.0') throw new MappingError('no_wan', 'it has no external address');
    if (kindOf(address) !== 'public') {
      throw new MappingError('no_wan', `its own address is ${address}`, { externalAddress: address });
    }
    const wish = previous?.method === 'natpmp' ? previous.externalPort : wanted.externalPort;
    const answer = await this.#map(gateway, internalPort, wish, lifetimeS, signal);
    if (answer.externalPort === 0 || answer.lifetimeS === 0) {
      throw new MappingError('bad_answer', `mapped to port ${answer.externalPort} for ${answer.lifetimeS} s`);
    }
    const mapped: Mapped = {
      method: 'natpmp',
      family: 'ipv4',
      gateway,
      internalPort,
      externalAddress: address,
      externalPort: answer.externalPort,
      lifetimeS: Math.min(answer.lifetimeS, MOST_LIFETIME_S),
      rebooted: this.#epochOf(gateway).lost(epochS, this.#options.now()),
    };
    if (wanted.exact && answer.externalPort !== wanted.externalPort) {
      await this.unmap(mapped, signal);
      throw new MappingError('port_taken', `port ${answer.externalPort} was given`);
    }
    return mapped;
  }

  async unmap(mapped: Mapped, signal: AbortSignal): Promise<void> {
    await this.#map(mapped.gateway, mapped.internalPort, 0, 0, signal);
  }

  async #address(gateway: Gateway, signal: AbortSignal): Promise<{ address: string; epochS: number }> {
    const answer = await this.#ask(gateway, encodeAddressRequest(), null, signal);
    if (answer.kind === 'address') return answer;
    throw new MappingError('bad_answer', 'not the answer to what was asked');
  }

  async #map(gateway: Gateway, internalPort: number, wish: number, lifetimeS: number, signal: AbortSignal) {
    const packet = encodeMapTcp(internalPort, wish, lifetimeS);
    const answer = await this.#ask(gateway, packet, { internalPort }, signal);
    if (answer.kind === 'mapped') return answer;
    throw new MappingError('bad_answer', 'not the answer to what was asked');
  }

  async #ask(
    gateway: Gateway,
    packet: Buffer,
    asked: { internalPort: number } | null,
    signal: AbortSignal,
  ): Promise<Exclude<NatPmpAnswer, { kind: 'refused' | 'error' }>> {
    const { port = SERVER_PORT, sendings } = this.#options;
    const read = (bytes: Buffer) => {
      const answer = readAnswer(bytes, asked);
      return answer.kind === 'refused' ? null : answer;
    };
    const answer = await ask(gateway, packet, read, natPmpWaits(sendings), signal, port);
    if (answer.kind !== 'error') return answer;
    const problem = PROBLEMS[answer.result] ?? 'router_error';
    throw new MappingError(problem, RESULTS[answer.result] ?? `result ${answer.result}`);
  }

  #epochOf(gateway: Gateway): EpochWatch {
    const known = this.#epochs.get(gateway.address);
    if (known) return known;
    if (this.#epochs.size > 16) this.#epochs.clear();
    const fresh = new EpochWatch('natpmp');
    this.#epochs.set(gateway.address, fresh);
    return fresh;
  }
}
