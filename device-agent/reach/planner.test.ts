import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Family } from '#protocol/reach.ts';
import { FAMILIES } from '#protocol/reach.ts';
import type { Gateway, Mapped, MappingMethod } from './mapping.ts';
import type { Dial, FamilyFacts, Step, Try } from './planner.ts';
import { keyOf, METHODS, mappedEndpoint, planFamily, renewAfterMs } from './planner.ts';
import { reportOf } from './report.ts';

const PORT = 7090;
const GATEWAYS: Record<Family, Gateway> = {
  ipv4: { family: 'ipv4', address: '192.168.1.1', local: '192.168.1.2' },
  ipv6: { family: 'ipv6', address: 'fe80::1%eth0', local: '2a10::2' },
};

/** What each rung of a made-up world would turn out to be. */
type Outcome = 'reachable' | 'unreachable' | 'double_nat' | 'problem';
interface World {
  family: Family;
  own: boolean;
  ownReachable: boolean;
  gateway: boolean;
  mapping: boolean;
  online: boolean;
  methods: Record<MappingMethod, Outcome>;
}
const outcome = fc.constantFrom<Outcome>('reachable', 'unreachable', 'double_nat', 'problem');
const world: fc.Arbitrary<World> = fc.record({
  family: fc.constantFrom(...FAMILIES),
  own: fc.boolean(),
  ownReachable: fc.boolean(),
  gateway: fc.boolean(),
  mapping: fc.boolean(),
  online: fc.boolean(),
  methods: fc.record({ pcp: outcome, natpmp: outcome, upnp: outcome }),
});

const OWN: Record<Family, string> = { ipv4: '8.8.8.8', ipv6: '2a10::2' };

/** Does what the planner says, in a world, until it waits. */
function climb(world: World, nowMs = 1_000) {
  const tries: Partial<Record<MappingMethod, Try>> = {};
  const dials = new Map<string, Dial>();
  const steps: Step[] = [];
  const facts = (): FamilyFacts => ({
    family: world.family,
    port: PORT,
    own: world.own ? OWN[world.family] : null,
    gateway: world.gateway ? GATEWAYS[world.family] : null,
    mapping: world.mapping,
    tries,
    dials,
    online: world.online,
    nowMs,
  });
  for (;;) {
    const step = planFamily(facts());
    steps.push(step);
    if (step.do === 'wait') return { steps, facts: facts(), last: step };
    assert.ok(steps.length < 30, `no end: ${JSON.stringify(steps)}`);
    switch (step.do) {
      case 'dial': {
        const held = Object.values(tries).find((known) => known.mapped);
        const isOwn = step.endpoint.address === OWN[world.family];
        const byMapping = held?.mapped && world.methods[held.mapped.method] === 'reachable';
        const ok = isOwn
          ? (world.own && world.ownReachable) || (world.family === 'ipv6' && byMapping)
          : byMapping;
        dials.set(keyOf(step.endpoint), { atMs: nowMs, code: ok ? 'ok' : 'timeout', againMs: nowMs + 1000 });
        break;
      }
      case 'map': {
        const found = world.methods[step.method];
        const useful = found === 'reachable' || found === 'unreachable';
        const mapped: Mapped = {
          method: step.method,
          family: world.family,
          gateway: GATEWAYS[world.family],
          internalPort: PORT,
          externalAddress: world.family === 'ipv6' ? OWN.ipv6 : '5.6.7.8',
          externalPort: PORT,
          lifetimeS: 600,
          rebooted: false,
        };
        tries[step.method] = {
          atMs: nowMs,
          mapped: useful ? mapped : null,
          nextMs: nowMs + 1000,
          expiresMs: nowMs + 600_000,
          problem: found === 'problem' ? 'not_offered' : null,
          useless: found === 'double_nat' ? 'double_nat' : null,
          detail: '10.0.0.1',
        };
        if (useful) dials.delete(keyOf(mappedEndpoint(mapped)));
        break;
      }
      case 'unmap': {
        const useless = step.because;
        tries[step.method] = {
          atMs: nowMs,
          mapped: null,
          nextMs: nowMs + 1000,
          expiresMs: nowMs,
          problem: null,
          useless,
          detail: '',
        };
      }
    }
  }
}

test('ladder: it always comes to rest, holds at most one mapping, and takes the first rung that bears', () => {
  fc.assert(
    fc.property(world, (world) => {
      const { facts, steps } = climb(world);
      const held = Object.values(facts.tries).filter((known) => known.mapped);
      assert.ok(held.length <= 1);
      if (!world.mapping || !world.gateway) assert.ok(steps.every((step) => step.do !== 'map'));
      if (!world.online) assert.ok(steps.every((step) => step.do !== 'dial'));
      if (!world.online || !world.mapping || !world.gateway) return;
      if (world.own && world.ownReachable) return assert.equal(held.length, 0);
      const tried = [...METHODS[world.family]];
      const end = tried.findIndex((method) => world.methods[method] === 'double_nat');
      const able = (end < 0 ? tried : tried.slice(0, end)).find(
        (method) => world.methods[method] === 'reachable',
      );
      assert.equal(held[0]?.mapped?.method, able);
    }),
  );
});

test('ladder: what was not dialled with success is never said to bear', () => {
  fc.assert(
    fc.property(world, (world) => {
      const { facts } = climb(world);
      const empty = { ...facts, own: null, gateway: null, tries: {}, dials: new Map<string, Dial>() };
      const families = {
        ipv4: world.family === 'ipv4' ? facts : { ...empty, family: 'ipv4' as const },
        ipv6: world.family === 'ipv6' ? facts : { ...empty, family: 'ipv6' as const },
      };
      const report = reportOf({
        families,
        relay: { state: 'off' },
        configured: null,
        loopbackOnly: false,
        mappingOn: world.mapping,
      });
      const dialled = [...facts.dials.values()].some(({ code }) => code === 'ok');
      if (report.state === 'direct') assert.ok(dialled && report.endpoints.length > 0);
      else assert.ok(report.reason !== null, 'a reason for whoever asks why');
      if (!world.online) assert.notEqual(report.state, 'direct');
    }),
  );
});

test('ladder: a mapping is renewed when it is due, and a failed way tried again', () => {
  const base: World = {
    family: 'ipv4',
    own: false,
    ownReachable: false,
    gateway: true,
    mapping: true,
    online: true,
    methods: { pcp: 'problem', natpmp: 'reachable', upnp: 'problem' },
  };
  const { facts, last } = climb(base);
  assert.equal(last.do === 'wait' && last.untilMs, 2_000);
  const later = planFamily({ ...facts, nowMs: 2_000 });
  assert.equal(later.do === 'map' && later.method, 'natpmp');
  assert.equal(later.do === 'map' && later.previous?.externalPort, PORT);
  const nothing = climb({ ...base, methods: { pcp: 'problem', natpmp: 'problem', upnp: 'problem' } });
  const again = planFamily({ ...nothing.facts, nowMs: 2_000 });
  assert.equal(again.do === 'map' && again.method, 'pcp');
});

test('ladder: double NAT ends it, with the address that shows it and what to do', () => {
  const { facts, steps } = climb({
    family: 'ipv4',
    own: false,
    ownReachable: false,
    gateway: true,
    mapping: true,
    online: true,
    methods: { pcp: 'double_nat', natpmp: 'reachable', upnp: 'reachable' },
  });
  assert.deepEqual(
    steps.map((step) => step.do),
    ['map', 'wait'],
  );
  const six = { ...facts, family: 'ipv6' as const, gateway: null, tries: {} };
  const report = reportOf({
    families: { ipv4: facts, ipv6: six },
    relay: { state: 'off' },
    configured: null,
    loopbackOnly: false,
    mappingOn: true,
  });
  assert.deepEqual(
    [report.state, report.reason, report.values, report.advice[0]?.code],
    ['unreachable', 'double_nat', { address: '10.0.0.1' }, 'bridge_modem'],
  );
});

test('leases: renewed between a half and five eighths of their life, or at the check', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 60, max: 86_400 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (life, random) => {
        const ms = renewAfterMs(life, Number.POSITIVE_INFINITY, () => random);
        assert.ok(ms >= life * 500 && ms <= life * 625);
        assert.ok(renewAfterMs(life, 10_000, () => random) <= Math.max(11_000, 4_000));
        assert.ok(renewAfterMs(Number.POSITIVE_INFINITY, 10_000, () => random) <= 11_000);
      },
    ),
  );
  assert.equal(
    renewAfterMs(1, 1_000_000, () => 0),
    4_000,
    'a router must not be asked more often than this',
  );
});
