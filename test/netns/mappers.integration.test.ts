import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Mapped, PortMapper, Wanted } from '#agent/reach/mapping.ts';
import { Home, LAN, LAN6, WAN } from './home.ts';
import type { Order, Outcome } from './mapper-driver.ts';
import type { Machine } from './namespaces.ts';
import { needsNamespaces } from './namespaces.ts';

const DRIVER = join(import.meta.dirname, 'mapper-driver.ts');
const WANTED: Wanted = {
  gateway: { family: 'ipv4', address: LAN.router, local: LAN.box },
  internalPort: 7090,
  externalPort: 7090,
  lifetimeS: 600,
};

/** The agent's mappers on one machine. */
function mappersOn(t: TestContext, machine: Machine, secret = 'a box') {
  const child = machine.spawn(process.execPath, [DRIVER], { PCP_SECRET: secret });
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  let errors = '';
  child.stderr?.on('data', (piece) => {
    errors += String(piece);
  });
  t.after(async () => {
    const exited = once(child, 'exit');
    if (child.exitCode === null && child.kill('SIGKILL')) await exited;
  });
  const tell = async (order: Order): Promise<Outcome> => {
    child.stdin?.write(`${JSON.stringify(order)}\n`);
    const { value, done } = await lines.next();
    assert.ok(!done, `the mappers ended: ${errors}`);
    return JSON.parse(value);
  };
  return {
    map: (method: PortMapper['method'], wanted: Partial<Wanted> = {}) =>
      tell({ method, map: { ...WANTED, ...wanted } }),
    unmap: (method: PortMapper['method'], unmap: Mapped) => tell({ method, unmap }),
  };
}

function mapped(outcome: Outcome): Mapped {
  assert.ok('mapped' in outcome, JSON.stringify(outcome));
  return outcome.mapped;
}
function problem(outcome: Outcome): string {
  assert.ok('problem' in outcome, JSON.stringify(outcome));
  assert.notEqual(outcome.problem, 'crashed', outcome.detail);
  return outcome.problem;
}

describe('mappers beside a real router', { ...needsNamespaces(), timeout: 240_000 }, () => {
  for (const method of ['pcp', 'natpmp', 'upnp'] as const) {
    test(`${method}: maps, renews, is seen by upnpc and the kernel, and takes it back`, async (t) => {
      const home = new Home(t);
      await home.serve();
      const mappers = mappersOn(t, home.box);
      const first = mapped(await mappers.map(method));
      assert.deepEqual(
        {
          address: first.externalAddress,
          port: first.externalPort,
          method: first.method,
          rebooted: first.rebooted,
        },
        { address: WAN.router, port: 7090, method, rebooted: false },
      );
      assert.ok(first.lifetimeS > 500 && first.lifetimeS <= 600, `${first.lifetimeS} s`);
      assert.deepEqual(home.forwards(), [`7090 -> ${LAN.box}:7090`]);
      assert.match(home.other.exec('upnpc', ['-l']), /TCP\s+7090->192\.168\.1\.2:7090/);
      const again = mapped(await mappers.map(method, { previous: first }));
      assert.equal(again.externalPort, 7090);
      assert.deepEqual(home.forwards(), [`7090 -> ${LAN.box}:7090`], 'renewed, not doubled');
      assert.deepEqual(await mappers.unmap(method, again), { done: true });
      assert.deepEqual(home.forwards(), []);
      assert.deepEqual(await mappers.unmap(method, again), { done: true }, 'gone already is no error');
    });

    test(`${method}: a port that is another device's is left to it, and another one had`, async (t) => {
      const home = new Home(t);
      await home.serve();
      home.other.exec('upnpc', ['-a', LAN.other, '8080', '7090', 'TCP', '600']);
      const mappers = mappersOn(t, home.box);
      assert.equal(problem(await mappers.map(method, { exact: true })), 'port_taken');
      const got = mapped(await mappers.map(method));
      assert.notEqual(got.externalPort, 7090);
      assert.deepEqual(
        home.forwards().sort(),
        [`7090 -> ${LAN.other}:8080`, `${got.externalPort} -> ${LAN.box}:7090`].sort(),
      );
    });

    test(`${method}: a router that was restarted is noticed, and the mapping made again`, async (t) => {
      const home = new Home(t);
      await home.serve();
      const mappers = mappersOn(t, home.box);
      const first = mapped(await mappers.map(method));
      // An epoch counts whole seconds, and the rules allow two of them as noise.
      await sleep(4_500);
      await home.reboot();
      assert.deepEqual(home.forwards(), []);
      const again = mapped(await mappers.map(method, { previous: first }));
      assert.equal(again.rebooted, true);
      assert.equal(again.externalPort, 7090);
      assert.deepEqual(home.forwards(), [`7090 -> ${LAN.box}:7090`]);
    });

    test(`${method}: another address outside is told at the next renewal`, async (t) => {
      const home = new Home(t);
      await home.serve();
      const mappers = mappersOn(t, home.box);
      const first = mapped(await mappers.map(method));
      home.setWan(WAN.second);
      const again = mapped(await mappers.map(method, { previous: first }));
      assert.equal(again.externalAddress, WAN.second);
    });
  }

  test('upnp: a router that knows IGD v1 only', async (t) => {
    const home = new Home(t);
    await home.serve({ pcp: false, igd1: true });
    const mappers = mappersOn(t, home.box);
    for (const method of ['pcp', 'natpmp'] as const) {
      assert.equal(problem(await mappers.map(method)), 'not_offered');
    }
    assert.equal(mapped(await mappers.map('upnp')).externalPort, 7090);
    assert.deepEqual(home.forwards(), [`7090 -> ${LAN.box}:7090`]);
  });

  test('a router that offers nothing', async (t) => {
    const home = new Home(t);
    const mappers = mappersOn(t, home.box);
    for (const method of ['pcp', 'natpmp'] as const) {
      assert.equal(problem(await mappers.map(method)), 'not_offered');
    }
    assert.equal(problem(await mappers.map('upnp')), 'no_answer');
  });

  test('pcp: a mapping is renewed by the process after the one that was killed', async (t) => {
    const home = new Home(t);
    await home.serve();
    const first = mapped(await mappersOn(t, home.box).map('pcp'));
    const afterRestart = mapped(await mappersOn(t, home.box).map('pcp'));
    assert.equal(afterRestart.externalPort, first.externalPort);
    assert.deepEqual(home.forwards(), [`7090 -> ${LAN.box}:7090`]);
  });

  test('IPv6: pinholes by PCP and by IGD v2, and taken back', async (t) => {
    const home = new Home(t, { ipv6: true });
    await home.serve();
    const route = home.box.ip('-6', 'route', 'show', 'default');
    const router = /via (fe80:\S+) dev (\S+)/.exec(route);
    const gateway = { family: 'ipv6', address: `${router?.[1]}%${router?.[2]}`, local: LAN6.box } as const;
    const mappers = mappersOn(t, home.box);
    for (const method of ['pcp', 'upnp'] as const) {
      const first = mapped(await mappers.map(method, { gateway }));
      assert.deepEqual([first.externalAddress, first.externalPort], [LAN6.box, 7090]);
      assert.deepEqual(home.pinholes(), [`${LAN6.box} 7090`], method);
      const again = mapped(await mappers.map(method, { gateway, previous: first }));
      assert.deepEqual(home.pinholes(), [`${LAN6.box} 7090`], method);
      assert.deepEqual(await mappers.unmap(method, again), { done: true });
      // One that miniupnpd cannot delete any more runs out within seconds; it looks every few.
      const deadline = performance.now() + 30_000;
      while (home.pinholes().length > 0 && performance.now() < deadline) await sleep(200);
      assert.deepEqual(home.pinholes(), [], method);
    }
    assert.equal(problem(await mappers.map('natpmp', { gateway })), 'unsupported');
  });
});
