import { randomBytes, randomInt } from 'node:crypto';
import { BoxCertificate } from '#agent/certificate/box-certificate.ts';
import { certificateState } from '#agent/certificate/certificate-state.ts';
import { StateDirectory } from '#agent/identity/identity.ts';
import type { Options } from '#agent/options.ts';
import { Household } from '#agent/settings/household.ts';
import { kindOf } from '#protocol/addresses.ts';
import { messageOf } from '#protocol/errors.ts';
import type {
  CertificateState,
  Family,
  ReachReason,
  ReachReport,
  ReachRung,
  ReachValues,
} from '#protocol/reach.ts';
import { CERTIFICATE_PROBLEMS, FAMILIES } from '#protocol/reach.ts';
import { reachEn } from '#webui/box/messages/en-reach.ts';
import { reachZh } from '#webui/box/messages/zh-reach.ts';
import type { MappingMethod, PortMapper } from './mapping.ts';
import { MappingError } from './mapping.ts';
import { NatPmpMapper } from './natpmp/natpmp.ts';
import type { Network } from './network.ts';
import { networkOf, readTables } from './network.ts';
import { PcpMapper } from './pcp/pcp.ts';
import type { FamilyFacts, Try } from './planner.ts';
import { METHODS } from './planner.ts';
import { reportOf, uselessOf } from './report.ts';
import { UpnpMapper } from './upnp/upnp.ts';

/** The mapping made to see whether one can be had lives so long, should this process be killed. */
const TEST_LIFETIME_S = 120;
const GIVE_UP_MS = 20_000;
const LONGEST_MS = 120_000;

export interface DoctorOptions {
  contentPort: number;
  bind: string;
  mapping: boolean;
  configuredUrl: string | null;
}

/**
 * `doctor` on the box's command line: examines, and says it in the household's language.
 * @param nowMs what time it is, ms since 1970: whether the certificate has expired
 */
export async function tellReach(options: Options, nowMs: number = Date.now()): Promise<string[]> {
  const { now } = await Household.open(options.stateDir, options.household);
  const { bind, contentPort, portMapping: mapping, contentUrl: configuredUrl } = options;
  const diagnosis = await examine(
    { bind, contentPort, mapping, configuredUrl },
    AbortSignal.timeout(LONGEST_MS),
  );
  const language = now.language ?? 'en';
  return [
    ...inWords(diagnosis, contentPort, language),
    ...certificateInWords(await certificateOf(options.stateDir, nowMs), language),
  ];
}

/** How the certificate stands, by what the agent keeps. @throws HearthError when the state is damaged */
async function certificateOf(stateDir: string, nowMs: number): Promise<CertificateState | null> {
  const settings = await new StateDirectory(stateDir).readSettings();
  const { current } = await BoxCertificate.open(stateDir);
  const { serverName = null, certificateProblem: problem = null } = settings ?? {};
  return certificateState({ serverName, current, problem, nowMs });
}

/** What the doctor has found: the ladder as the agent reports it, and whether content is served on this machine. */
export interface Diagnosis {
  network: Network;
  report: ReachReport;
  /** The content port answers here: the agent runs. */
  serving: boolean;
}

/**
 * Asks the router by every protocol for a port of its own, and gives it back at once: a running agent's mapping is not
 * touched. Whether clients get through only the fleet can tell, over the running agent: that is on the dashboard.
 */
export async function examine(options: DoctorOptions, signal: AbortSignal): Promise<Diagnosis> {
  const network = networkOf(await readTables());
  const now = () => performance.now();
  const mappers: Record<MappingMethod, PortMapper> = {
    pcp: new PcpMapper({ secret: randomBytes(32), now }),
    natpmp: new NatPmpMapper({ now }),
    upnp: new UpnpMapper(),
  };
  const loopbackOnly = kindOf(options.bind) === 'loopback';
  const families = {} as Record<Family, FamilyFacts>;
  for (const family of FAMILIES) {
    const gateway = network.gateways[family];
    const own = network.addresses.find((found) => found.family === family && found.kind === 'public');
    const tries: FamilyFacts['tries'] = {};
    const facts: FamilyFacts = {
      family,
      port: options.contentPort,
      own: own?.address ?? null,
      gateway,
      mapping: options.mapping,
      tries,
      dials: new Map(),
      online: false,
      nowMs: now(),
    };
    if (options.mapping && gateway && !loopbackOnly && options.configuredUrl === null) {
      for (const method of METHODS[family]) {
        Object.assign(tries, { [method]: await tryOnce(mappers[method], gateway, signal) });
      }
    }
    families[family] = facts;
  }
  const report = reportOf({
    families,
    relay: { state: 'off' },
    configured: options.configuredUrl,
    loopbackOnly,
    mappingOn: options.mapping,
  });
  return { network, report, serving: await answers(options.contentPort) };
}

async function tryOnce(
  mapper: PortMapper,
  gateway: NonNullable<FamilyFacts['gateway']>,
  signal: AbortSignal,
): Promise<Try> {
  const port = randomInt(49_152, 65_536);
  const limited = AbortSignal.any([signal, AbortSignal.timeout(GIVE_UP_MS)]);
  const none: Try = {
    atMs: performance.now(),
    mapped: null,
    nextMs: 0,
    expiresMs: 0,
    problem: null,
    useless: null,
    detail: '',
  };
  try {
    const wanted = { gateway, internalPort: port, externalPort: port, lifetimeS: TEST_LIFETIME_S };
    const mapped = await mapper.map(wanted, limited);
    await mapper.unmap(mapped, limited).catch(() => undefined);
    const useless = uselessOf(mapped.externalAddress);
    if (useless) return { ...none, useless, detail: mapped.externalAddress };
    return { ...none, mapped, expiresMs: Number.POSITIVE_INFINITY };
  } catch (error) {
    if (signal.aborted) throw error;
    if (!(error instanceof MappingError)) return { ...none, problem: 'no_answer', detail: messageOf(error) };
    const useless = error.externalAddress ? uselessOf(error.externalAddress) : null;
    return {
      ...none,
      problem: error.problem,
      useless,
      detail: useless ? (error.externalAddress ?? '') : error.message,
    };
  }
}

async function answers(port: number): Promise<boolean> {
  if (port === 0) return false;
  try {
    const response = await fetch(`http://127.0.0.1:${port}/_hearth/health`, {
      signal: AbortSignal.timeout(2_000),
    });
    await response.body?.cancel();
    return response.status === 200;
  } catch {
    return false;
  }
}

/** The diagnosis for a person, a line each, in the words of the dashboard. */
export function inWords(
  { network, report, serving }: Diagnosis,
  contentPort: number,
  language: 'en' | 'zh',
): string[] {
  const words: typeof reachEn | typeof reachZh = language === 'en' ? reachEn : reachZh;
  const lines: string[] = [words['reach.title'], ''];
  for (const { interface: name, address, kind } of network.addresses)
    lines.push(`  ${name}  ${address}  (${kind})`);
  for (const family of FAMILIES) {
    const gateway = network.gateways[family];
    if (gateway)
      lines.push(`  ${family === 'ipv4' ? 'IPv4' : 'IPv6'}  ${gateway.local} -> ${gateway.address}`);
  }
  lines.push(`  :${contentPort}  ${serving ? '✓' : '✗'}`, '', words['reach.ladder']);
  for (const rung of report.ladder) lines.push(`  ${rungLine(rung, words)}`);
  if (report.reason) lines.push('', words[`reach.reason.${report.reason satisfies ReachReason}`]);
  if (report.advice.length > 0) {
    lines.push('', words['reach.do']);
    for (const { code, values } of report.advice)
      lines.push(`  - ${words[`reach.advice.${code}`]} ${inBrief(values)}`.trimEnd());
  }
  return lines;
}

/** How the certificate stands, in the words of the dashboard; nothing where the box has no name. */
export function certificateInWords(state: CertificateState | null, language: 'en' | 'zh'): string[] {
  if (state === null) return [];
  const words: typeof reachEn | typeof reachZh = language === 'en' ? reachEn : reachZh;
  const { serverName, expiresAt, problem } = state;
  const values: Record<string, string> = {
    name: serverName,
    until: dayOf(expiresAt),
    since: dayOf(problem?.since ?? null),
  };
  const filled = (text: string) => text.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? '');
  const lines = ['', words['reach.cert.title'], `  ${filled(words[`reach.cert.${state.state}`])}`];
  if (problem) {
    const why = CERTIFICATE_PROBLEMS.find((code) => code === problem.code) ?? 'ca_refused';
    lines.push(`  ${filled(words['reach.cert.failing'])} ${words[`reach.cert.why.${why}`]}`);
    if (state.state === 'valid') lines.push(`  ${words['reach.cert.servesOn']}`);
  }
  return lines;
}

/** A day as both languages write it. */
function dayOf(time: string | null): string {
  return time === null ? '' : `${time.slice(0, 16).replace('T', ' ')} UTC`;
}

function rungLine(
  { way, family, state, reason, values }: ReachRung,
  words: typeof reachEn | typeof reachZh,
): string {
  const name = `${words[`reach.way.${way}`]}${family === null ? '' : family === 'ipv4' ? ' IPv4' : ' IPv6'}`;
  const why = reason ? ` ${words[`reach.reason.${reason}`]}` : '';
  return `${name}: ${words[`reach.rung.${state}`]}.${why} ${inBrief(values)}`.trimEnd();
}

function inBrief({ address, port, detail }: ReachValues): string {
  const parts = [address, port].filter((part) => part !== undefined && part !== '');
  const where = parts.length > 0 ? `[${parts.join(' : ')}]` : '';
  return `${where}${detail ? ` (${detail})` : ''}`;
}
