import { randomInt } from 'node:crypto';
import { kindOf, plainAddress } from '#protocol/addresses.ts';
import type { MappingProblem } from '#protocol/reach.ts';
import type { Gateway, Mapped, PortMapper, Wanted } from '../mapping.ts';
import { MappingError } from '../mapping.ts';
import type { IgdService } from './igd.ts';
import { act, addressIn, describe, numberIn, UpnpFault } from './igd.ts';
import { searchGateways } from './ssdp.ts';
import { textOf } from './xml.ts';

const DESCRIPTION = 'Hearth';
/** Other ports asked for when the wanted one is another device's, from the dynamic range (RFC 6335 section 6). */
const OTHER_PORTS = 4;
const DYNAMIC = { from: 49_152, to: 65_536 };
/** WANIPv6FirewallControl:1 section 2.3.3. */
const MOST_PINHOLE_S = 86_400;

/** WANIPConnection:2 table 2-12, WANIPv6FirewallControl:1 table 2-7. */
const PROBLEMS: Record<number, MappingProblem> = {
  401: 'unsupported',
  602: 'unsupported',
  606: 'not_authorized',
  702: 'unsupported',
  703: 'not_authorized',
  718: 'port_taken',
  724: 'port_taken',
  728: 'router_full',
  729: 'port_taken',
};
const NO_SUCH_ENTRY = new Set([704, 714]);
const CONFLICT = 718;
const SAME_PORTS_ONLY = 724;
const PERMANENT_ONLY = 725;

export interface UpnpOptions {
  /** How long devices may take to answer a search, ms. */
  searchMs?: number;
  random?: (from: number, to: number) => number;
}

interface Found {
  gateway: Gateway;
  service: IgdService;
}

/** Mappings by UPnP: IGD v1 and v2 for IPv4, IGD v2's pinholes for IPv6. */
export class UpnpMapper implements PortMapper {
  readonly method = 'upnp';
  readonly #options: UpnpOptions;
  /** The device that answered last, by family: it is asked again without a search. */
  readonly #found = new Map<Gateway['family'], Found>();

  constructor(options: UpnpOptions = {}) {
    this.#options = options;
  }

  map(wanted: Wanted, signal: AbortSignal): Promise<Mapped> {
    return this.#withDevice(wanted.gateway, signal, (service) =>
      wanted.gateway.family === 'ipv4'
        ? this.#mapPort(service, wanted, signal)
        : this.#openPinhole(service, wanted, signal),
    );
  }

  unmap(mapped: Mapped, signal: AbortSignal): Promise<void> {
    const { gateway, externalPort, pinholeId } = mapped;
    return this.#withDevice(gateway, signal, async (service) => {
      const [action, values] =
        pinholeId === undefined
          ? (['DeletePortMapping', nameOf(externalPort)] as const)
          : (['DeletePinhole', { UniqueID: pinholeId }] as const);
      await act(service, action, values, gateway.local, signal).catch((error) => {
        if (!(error instanceof UpnpFault && NO_SUCH_ENTRY.has(error.code))) throw error;
      });
    });
  }

  /** A device that has moved or gone is looked for again, once. */
  async #withDevice<T>(
    gateway: Gateway,
    signal: AbortSignal,
    work: (service: IgdService) => Promise<T>,
  ): Promise<T> {
    const known = this.#found.get(gateway.family);
    try {
      if (known && known.gateway.local === gateway.local && known.gateway.address === gateway.address) {
        try {
          return await work(known.service);
        } catch (error) {
          const moved = error instanceof MappingError && ['no_answer', 'bad_answer'].includes(error.problem);
          if (!moved) throw error;
        }
      }
      this.#found.delete(gateway.family);
      const service = await this.#find(gateway, signal);
      this.#found.set(gateway.family, { gateway, service });
      return await work(service);
    } catch (error) {
      if (!(error instanceof UpnpFault)) throw error;
      throw new MappingError(PROBLEMS[error.code] ?? 'router_error', error.message);
    }
  }

  async #find(gateway: Gateway, signal: AbortSignal): Promise<IgdService> {
    const locations = await searchGateways(gateway, signal, this.#options.searchMs);
    if (locations.length === 0) throw new MappingError('no_answer', 'no gateway answered the search');
    let trouble: unknown = new MappingError('unsupported', 'the gateway has no service that maps ports');
    for (const location of locations) {
      try {
        const [first, ...others] = await describe(location, gateway.local, gateway.family, signal);
        if (!first) continue;
        // Routers list services of lines they do not use; the one in use has an address.
        for (const service of gateway.family === 'ipv4' ? [first, ...others] : []) {
          if (await hasAddress(service, gateway, signal)) return service;
        }
        return first;
      } catch (error) {
        if (signal.aborted) throw error;
        trouble = error;
      }
    }
    throw trouble;
  }

  // ------------------------------------------------------------------------------------------------------- IPv4

  async #mapPort(service: IgdService, wanted: Wanted, signal: AbortSignal): Promise<Mapped> {
    const { gateway, internalPort } = wanted;
    const previous = wanted.previous?.method === 'upnp' ? wanted.previous : null;
    const answer = await act(service, 'GetExternalIPAddress', {}, gateway.local, signal);
    const said = textOf(answer, 'newexternalipaddress');
    if (said === '' || said === '0.0.0.0') throw new MappingError('no_wan', 'it has no external address');
    const externalAddress = addressIn(answer, 'newexternalipaddress');
    if (kindOf(externalAddress) !== 'public') {
      throw new MappingError('no_wan', `its own address is ${externalAddress}`, { externalAddress });
    }
    const rebooted =
      previous !== null && (await this.#owner(service, previous.externalPort, gateway, signal)) === null;
    let port = previous?.externalPort ?? wanted.externalPort;
    for (let attempt = 0; ; attempt++) {
      try {
        const lifetimeS = await this.#addMapping(service, wanted, port, signal);
        const owner = await this.#owner(service, port, gateway, signal);
        if (owner !== plainAddress(gateway.local) && owner !== undefined) {
          throw new MappingError('bad_answer', `it says that port ${port} leads to ${owner ?? 'nobody'}`);
        }
        return {
          method: 'upnp',
          family: 'ipv4',
          gateway,
          internalPort,
          externalAddress,
          externalPort: port,
          lifetimeS,
          rebooted,
        };
      } catch (error) {
        const code = error instanceof UpnpFault ? error.code : 0;
        if (wanted.exact) throw error;
        if (code === SAME_PORTS_ONLY && port !== internalPort) port = internalPort;
        else if (code === CONFLICT && attempt < OTHER_PORTS) port = this.#otherPort();
        else throw error;
      }
    }
  }

  /** @returns the lease, seconds; Infinity from routers that know no other */
  async #addMapping(service: IgdService, wanted: Wanted, port: number, signal: AbortSignal): Promise<number> {
    const { gateway, internalPort, lifetimeS } = wanted;
    const add = (leaseS: number) =>
      act(
        service,
        'AddPortMapping',
        {
          ...nameOf(port),
          NewInternalPort: internalPort,
          NewInternalClient: gateway.local,
          NewEnabled: 1,
          NewPortMappingDescription: DESCRIPTION,
          NewLeaseDuration: leaseS,
        },
        gateway.local,
        signal,
      );
    try {
      await add(lifetimeS);
      return lifetimeS;
    } catch (error) {
      if (!(error instanceof UpnpFault && error.code === PERMANENT_ONLY)) throw error;
      await add(0);
      return Number.POSITIVE_INFINITY;
    }
  }

  /** Whom a port leads to: an address; null: nobody; undefined: the router does not say. */
  async #owner(service: IgdService, port: number, gateway: Gateway, signal: AbortSignal) {
    try {
      const entry = await act(service, 'GetSpecificPortMappingEntry', nameOf(port), gateway.local, signal);
      return addressIn(entry, 'newinternalclient');
    } catch (error) {
      if (error instanceof UpnpFault) return NO_SUCH_ENTRY.has(error.code) ? null : undefined;
      throw error;
    }
  }

  #otherPort(): number {
    return (this.#options.random ?? randomInt)(DYNAMIC.from, DYNAMIC.to);
  }

  // ------------------------------------------------------------------------------------------------------- IPv6

  async #openPinhole(service: IgdService, wanted: Wanted, signal: AbortSignal): Promise<Mapped> {
    const { gateway, internalPort } = wanted;
    const lifetimeS = Math.min(wanted.lifetimeS, MOST_PINHOLE_S);
    const run = (action: string, values: Record<string, string | number>) =>
      act(service, action, values, gateway.local, signal);
    const status = await run('GetFirewallStatus', {});
    if (textOf(status, 'inboundpinholeallowed') === '0') {
      throw new MappingError('not_authorized', 'its settings allow no pinholes');
    }
    const mapped: Mapped = {
      method: 'upnp',
      family: 'ipv6',
      gateway,
      internalPort,
      externalAddress: gateway.local,
      externalPort: internalPort,
      lifetimeS,
      rebooted: false,
    };
    const before = wanted.previous?.method === 'upnp' ? wanted.previous.pinholeId : undefined;
    if (before !== undefined) {
      try {
        await run('UpdatePinhole', { UniqueID: before, NewLeaseTime: lifetimeS });
        return { ...mapped, pinholeId: before };
      } catch (error) {
        if (!(error instanceof UpnpFault)) throw error;
        mapped.rebooted = NO_SUCH_ENTRY.has(error.code);
      }
    }
    const answer = await run('AddPinhole', {
      RemoteHost: '',
      RemotePort: 0,
      InternalClient: gateway.local,
      InternalPort: internalPort,
      Protocol: 6,
      LeaseTime: lifetimeS,
    });
    return { ...mapped, pinholeId: numberIn(answer, 'uniqueid', 0, 65_535) };
  }
}

const nameOf = (port: number) => ({ NewRemoteHost: '', NewExternalPort: port, NewProtocol: 'TCP' });

async function hasAddress(service: IgdService, gateway: Gateway, signal: AbortSignal): Promise<boolean> {
  try {
    const answer = await act(service, 'GetExternalIPAddress', {}, gateway.local, signal);
    const address = textOf(answer, 'newexternalipaddress') ?? '';
    return plainAddress(address) !== null && address !== '0.0.0.0';
  } catch (error) {
    if (signal.aborted) throw error;
    return false;
  }
}
