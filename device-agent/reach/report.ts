import { kindOf } from '#protocol/addresses.ts';
import type {
  Family,
  ReachAdvice,
  ReachReason,
  ReachReport,
  ReachRung,
  ReachValues,
  ReachWay,
} from '#protocol/reach.ts';
import { FAMILIES } from '#protocol/reach.ts';
import type { FamilyFacts } from './planner.ts';
import { keyOf, METHODS, mappedEndpoint, ownEndpoint, type Try } from './planner.ts';

export interface RelayState {
  state: 'off' | 'connecting' | 'online';
}

export interface ReportFacts {
  families: Record<Family, FamilyFacts>;
  relay: RelayState;
  /** Set by hand; then nothing else is tried. */
  configured: string | null;
  loopbackOnly: boolean;
  /** The household's or operator's choice. */
  mappingOn: boolean;
}

/** What a person should read first, when nothing bears: causes before symptoms. */
const TELLING: readonly ReachReason[] = [
  'loopback_only',
  'cgnat',
  'double_nat',
  'behind_nat',
  'dial_failed',
  'not_authorized',
  'router_full',
  'port_taken',
  'no_wan',
  'router_error',
  'bad_answer',
  'mapping_off',
  'unsupported',
  'no_answer',
  'not_offered',
  'no_gateway',
  'not_dialled',
  'no_public_address',
];

/** The whole ladder as data, with the one reason that matters and what could be changed. Pure. */
export function reportOf(facts: ReportFacts): ReachReport {
  const ladder = [...FAMILIES.flatMap((family) => rungsOf(facts, family)), relayRung(facts.relay)];
  const bearing = ladder.filter(({ state, way }) => state === 'bears' && way !== 'relay');
  const endpoints = bearing.flatMap(({ family, values: { address, port } }) =>
    family && typeof address === 'string' && typeof port === 'number' ? [{ family, address, port }] : [],
  );
  const relayed = facts.relay.state === 'online';
  const waits = ladder.find(({ state }) => state === 'waits');
  const trying = ladder.some(({ state }) => state === 'trying');
  const base = { endpoints, ladder };
  if (facts.configured !== null) {
    const rung: ReachRung = {
      way: 'configured',
      family: null,
      state: 'waits',
      reason: null,
      values: { url: facts.configured },
      ageMs: null,
    };
    return {
      ...base,
      ladder: [rung],
      state: 'unconfirmed',
      way: 'configured',
      reason: null,
      values: {},
      advice: [],
    };
  }
  const first = bearing[0];
  if (first) return { ...base, state: 'direct', way: first.way, reason: null, values: {}, advice: [] };
  const why = mostTelling(ladder);
  const told = { reason: why?.reason ?? null, values: why?.values ?? {}, advice: adviceFor(facts, why) };
  if (relayed) return { ...base, ...told, state: 'relayed', way: 'relay' };
  if (waits) return { ...base, ...told, state: 'unconfirmed', way: waits.way };
  return { ...base, ...told, state: trying ? 'trying' : 'unreachable', way: null };
}

function rungsOf(facts: ReportFacts, family: Family): ReachRung[] {
  const own = facts.families[family];
  const rungs: ReachRung[] = [];
  const rung = (
    way: ReachWay,
    state: ReachRung['state'],
    reason: ReachReason | null,
    values: ReachValues = {},
    atMs: number | null = null,
  ) =>
    rungs.push({
      way,
      family,
      state,
      reason,
      values,
      ageMs: atMs === null ? null : Math.max(0, own.nowMs - atMs),
    });
  if (facts.loopbackOnly) {
    rung('public', 'failed', 'loopback_only');
    return rungs;
  }
  const held = METHODS[family].find((method) => own.tries[method]?.mapped);
  const pinhole = held && own.tries[held]?.mapped;
  const endpoint = ownEndpoint(own);
  let bears = false;
  if (!endpoint) rung('public', 'failed', 'no_public_address');
  else {
    const dial = own.dials.get(keyOf(endpoint));
    const where = { address: endpoint.address, port: endpoint.port };
    const byPinhole = pinhole && keyOf(mappedEndpoint(pinhole)) === keyOf(endpoint);
    if (byPinhole) rung('public', 'failed', 'dial_failed', { ...where, dial: 'timeout' }, null);
    else if (!dial || dial.code === 'rate_limited') rung('public', 'waits', 'not_dialled', where);
    else if (dial.code === 'ok') rung('public', 'bears', null, where, dial.atMs);
    else rung('public', 'failed', 'dial_failed', { ...where, dial: dial.code }, dial.atMs);
    bears = !byPinhole && dial?.code === 'ok';
  }
  for (const method of METHODS[family]) {
    const known = own.tries[method];
    if (bears) rung(method, 'skipped', 'not_needed');
    else if (!facts.mappingOn) rung(method, 'failed', 'mapping_off');
    else if (!own.gateway) rung(method, 'failed', 'no_gateway');
    else if (known?.mapped) {
      bears = heldRung(own, known, (state, reason, values) =>
        rung(method, state, reason, values, known.atMs),
      );
    } else if (known) {
      // Routers behind another one say that they have no connection (miniupnpd does); we are online through them.
      const problem = known.problem === 'no_wan' && own.online ? 'behind_nat' : known.problem;
      rung(method, 'failed', known.useless ?? problem, valuesOf(known), known.atMs);
      // No other protocol would get another address from it.
      if (known.useless === 'double_nat' || known.useless === 'cgnat') bears = true;
    } else rung(method, 'trying', null);
  }
  return rungs;
}

function heldRung(
  facts: FamilyFacts,
  known: Try,
  rung: (state: ReachRung['state'], reason: ReachReason | null, values: ReachValues) => void,
): boolean {
  if (!known.mapped) return false;
  const { address, port } = mappedEndpoint(known.mapped);
  const dial = facts.dials.get(keyOf({ address, port }));
  const leaseS = Math.max(0, Math.round((known.expiresMs - facts.nowMs) / 1000));
  const values: ReachValues = { address, port, router: known.mapped.gateway.address };
  if (Number.isFinite(leaseS)) values.leaseS = leaseS;
  if (dial?.code === 'ok') rung('bears', null, values);
  else if (!dial || dial.code === 'rate_limited') rung('waits', 'not_dialled', values);
  else rung('failed', 'dial_failed', { ...values, dial: dial.code });
  return dial?.code === 'ok';
}

function valuesOf({ useless, detail }: Try): ReachValues {
  if (useless === 'double_nat' || useless === 'cgnat') return { address: detail };
  return detail === '' ? {} : { detail: detail.slice(0, 200) };
}

function relayRung({ state }: RelayState): ReachRung {
  const base = { way: 'relay', family: null, values: {}, ageMs: null } as const;
  if (state === 'online') return { ...base, state: 'bears', reason: null };
  return { ...base, state: state === 'connecting' ? 'trying' : 'skipped', reason: 'relay_down' };
}

function mostTelling(ladder: ReachRung[]): ReachRung | undefined {
  const rank = ({ reason }: ReachRung) => {
    const place = reason === null ? -1 : TELLING.indexOf(reason);
    return place < 0 ? TELLING.length : place;
  };
  // IPv4 stands first: every client has it.
  return ladder.filter(({ reason }) => reason !== null).sort((a, b) => rank(a) - rank(b))[0];
}

function adviceFor(facts: ReportFacts, why: ReachRung | undefined): ReachReport['advice'] {
  const { gateway, port, own } = facts.families.ipv4;
  const box = gateway?.local ?? own ?? '';
  const codes: ReachAdvice[] = [];
  switch (why?.reason) {
    case 'double_nat':
      codes.push('bridge_modem');
      break;
    case 'behind_nat':
      codes.push('bridge_modem', 'ask_provider_for_address');
      break;
    case 'cgnat':
      codes.push('ask_provider_for_address');
      break;
    case 'mapping_off':
      codes.push('turn_mapping_on', 'forward_port');
      break;
    case 'not_authorized':
      codes.push('allow_this_box', 'forward_port');
      break;
    case 'no_wan':
    case 'no_gateway':
      codes.push('check_cable', 'restart_router');
      break;
    case 'not_offered':
    case 'no_answer':
    case 'unsupported':
      codes.push('enable_upnp', 'forward_port');
      break;
    case 'router_full':
    case 'router_error':
    case 'bad_answer':
    case 'port_taken':
      codes.push('restart_router', 'forward_port');
      break;
    case 'dial_failed':
      codes.push(why.family === 'ipv6' ? 'open_ipv6_port' : 'forward_port');
      break;
  }
  // Behind the provider's NAT IPv6 is the way out, where there is any.
  if (facts.families.ipv6.own && !codes.includes('open_ipv6_port') && codes.length > 0)
    codes.push('open_ipv6_port');
  const values: Record<string, ReachValues> = {
    forward_port: { port, address: box },
    open_ipv6_port: { port, address: facts.families.ipv6.own ?? '' },
    bridge_modem: why?.values ?? {},
  };
  return codes.map((code) => ({ code, values: values[code] ?? {} }));
}

/** What a router's own address outside says about the way further out; null: it is a public one. */
export function uselessOf(externalAddress: string): 'double_nat' | 'cgnat' | null {
  const kind = kindOf(externalAddress);
  if (kind === 'public') return null;
  return kind === 'cgnat' ? 'cgnat' : 'double_nat';
}
