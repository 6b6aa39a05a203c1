import { plainAddress } from '#protocol/addresses.ts';
import { MappingError } from '../mapping.ts';
import { askHttp } from './http.ts';
import type { XmlElement } from './xml.ts';
import { findAll, readXml, textOf } from './xml.ts';

/** Services that map ports, best first; a router may have several of them. */
const PORT_SERVICES = ['WANIPConnection:2', 'WANIPConnection:1', 'WANPPPConnection:1'] as const;
const PINHOLE_SERVICES = ['WANIPv6FirewallControl:1'] as const;
const URN = 'urn:schemas-upnp-org:service:';
const MOST_SERVICES = 16;

export interface IgdService {
  /** The whole urn. */
  type: string;
  control: URL;
}

/** The error a UPnP action ended with (UDA 1.1 section 3.2.2). */
export class UpnpFault extends Error {
  readonly code: number;

  constructor(code: number, description: string) {
    super(`${code} ${description}`.trim());
    this.name = 'UpnpFault';
    this.code = code;
  }
}

/**
 * The services in a device's description that map ports (`ipv4`) or open pinholes (`ipv6`), best first. A service whose
 * control address is on another host than the description is left out: nobody may make us post elsewhere.
 */
export function servicesIn(description: XmlElement, location: URL, family: 'ipv4' | 'ipv6'): IgdService[] {
  const wanted: readonly string[] = family === 'ipv4' ? PORT_SERVICES : PINHOLE_SERVICES;
  const services: (IgdService & { rank: number })[] = [];
  for (const element of findAll(description, 'service')) {
    const type = textOf(element, 'servicetype') ?? '';
    const rank = type.startsWith(URN) ? wanted.indexOf(type.slice(URN.length)) : -1;
    const path = textOf(element, 'controlurl');
    if (rank < 0 || !path || !URL.canParse(path, location)) continue;
    const control = new URL(path, location);
    if (control.protocol !== 'http:' || control.hostname !== location.hostname) continue;
    services.push({ type, control, rank });
    if (services.length >= MOST_SERVICES) break;
  }
  return services.sort((a, b) => a.rank - b.rank).map(({ type, control }) => ({ type, control }));
}

/** Reads a device's description and finds its services. @throws MappingError */
export async function describe(
  location: URL,
  from: string,
  family: 'ipv4' | 'ipv6',
  signal: AbortSignal,
): Promise<IgdService[]> {
  const { status, text } = await askHttp(location, from, signal);
  if (status !== 200) throw new MappingError('bad_answer', `${location.href} answered ${status}`);
  const description = await readXml(text);
  if (!description) throw new MappingError('bad_answer', `${location.href} is no device description`);
  return servicesIn(description, location, family);
}

/** A SOAP request's body. Values are numbers and addresses of ours; they are escaped all the same. */
export function soapBody(type: string, action: string, values: Record<string, string | number>): string {
  const fields = Object.entries(values)
    .map(([name, value]) => `<${name}>${escapeXml(String(value))}</${name}>`)
    .join('');
  return (
    '<?xml version="1.0"?>\r\n' +
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" ' +
    's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/">' +
    `<s:Body><u:${action} xmlns:u="${type}">${fields}</u:${action}></s:Body></s:Envelope>\r\n`
  );
}

const escapeXml = (text: string) => text.replace(/[<>&"']/g, (character) => `&#${character.charCodeAt(0)};`);

/**
 * Has a device carry out an action.
 * @returns what came back, to be read with `textOf`
 * @throws UpnpFault when the device says why not; MappingError when it does not make sense; AbortError
 */
export async function act(
  service: IgdService,
  action: string,
  values: Record<string, string | number>,
  from: string,
  signal: AbortSignal,
): Promise<XmlElement> {
  const { status, text } = await askHttp(service.control, from, signal, {
    headers: { 'Content-Type': 'text/xml; charset="utf-8"', SOAPAction: `"${service.type}#${action}"` },
    body: soapBody(service.type, action, values),
  });
  const answer = await readXml(text);
  const code = answer && textOf(answer, 'errorcode');
  if (answer && code !== null && code !== '') {
    throw new UpnpFault(Number.parseInt(code ?? '', 10) || 0, textOf(answer, 'errordescription') ?? '');
  }
  if (status !== 200 || !answer) throw new MappingError('bad_answer', `${action}: answered ${status}`);
  const found = findAll(answer, `${action}Response`.toLowerCase()).next().value;
  if (!found) throw new MappingError('bad_answer', `${action}: the answer is not one to it`);
  return found;
}

/** A whole number in an answer, within bounds. @throws MappingError */
export function numberIn(answer: XmlElement, name: string, min: number, max: number): number {
  const text = textOf(answer, name) ?? '';
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max))
    throw new MappingError('bad_answer', `${name} is "${text.slice(0, 40)}"`);
  return value;
}

/** An address in an answer. @throws MappingError */
export function addressIn(answer: XmlElement, name: string): string {
  const text = textOf(answer, name) ?? '';
  const address = plainAddress(text);
  if (address === null) throw new MappingError('bad_answer', `${name} is "${text.slice(0, 60)}", no address`);
  return address;
}
