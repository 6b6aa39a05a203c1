import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LAN, LAN6, WAN } from './home.ts';
import { until } from './logged.ts';
import { needsNamespaces } from './namespaces.ts';
import { CONTENT_PORT, Town } from './town.ts';

const AT_HOME = `http://${WAN.router}:${CONTENT_PORT}`;
const FORWARD = `${CONTENT_PORT} -> ${LAN.box}:${CONTENT_PORT}`;

describe('a box in an odd home, and a fleet outside', { ...needsNamespaces(), timeout: 600_000 }, () => {
  for (const [name, wanAddress] of [
    ['the provider’s NAT', '100.64.0.8'],
    ['another router', '10.20.30.8'],
  ] as const) {
    test(`behind ${name}: noticed, and not claimed as reachable`, async (t) => {
      const town = await Town.build(t, { wanAddress });
      await town.home.serve();
      const box = town.startBox();
      // A router like this one does not even tell its address.
      await until(
        'noticed',
        () => box.lines.some((line) => line.includes('"reason":"behind_nat"')),
        () => box.text(),
      );
      assert.deepEqual(town.home.forwards(), []);
      const recorded = await until('a dial', async () => {
        const found = await town.recorded();
        return found.ok === false && found;
      });
      assert.ok(!recorded.url?.includes(wanAddress), String(recorded.url));
    });
  }

  test('the wanted port is another device’s: another one is had, and clients are sent there', async (t) => {
    const town = await Town.build(t);
    await town.home.serve();
    town.home.other.exec('upnpc', ['-a', LAN.other, '8080', String(CONTENT_PORT), 'TCP', '600']);
    const box = town.startBox();
    const { port } = await box.said('mapped a port');
    assert.notEqual(port, CONTENT_PORT);
    await town.reachedAt(`http://${WAN.router}:${port}`);
    assert.ok(
      town.home.forwards().includes(`${CONTENT_PORT} -> ${LAN.other}:8080`),
      'the other’s is left alone',
    );
  });

  test('a lease is renewed before it runs out, and after a SIGKILL by the next process', async (t) => {
    const town = await Town.build(t);
    await town.home.serve({ lines: ['max_lifetime=12'] });
    const box = town.startBox({ HEARTH_PORT_CHECK_MS: '3600000' });
    await town.reachedAt(AT_HOME);
    assert.equal((await box.said('mapped a port')).lifetimeS, 12);
    const end = performance.now() + 20_000;
    while (performance.now() < end) {
      assert.deepEqual(town.home.forwards(), [FORWARD]);
      await sleep(500);
    }
    await box.end('SIGKILL');
    const next = town.startBox({ HEARTH_PORT_CHECK_MS: '3600000' });
    await next.said('clients can reach this box');
    assert.deepEqual(town.home.forwards(), [FORWARD]);
  });

  test('a router that answers garbage: nothing crashes, nothing is claimed', async (t) => {
    const town = await Town.build(t);
    town.home.oddRouter('garbage');
    const box = town.startBox();
    await until(
      'every way tried',
      () => box.lines.filter((line) => line.includes('no mapping this way')).length >= 3,
      () => box.text(),
    );
    const tried = box.lines
      .filter((line) => line.includes('no mapping this way'))
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      tried.slice(0, 3).map(({ method, problem }) => [method, problem]),
      [
        ['pcp', 'bad_answer'],
        ['natpmp', 'bad_answer'],
        ['upnp', 'unsupported'],
      ],
    );
    assert.equal(await box.end('SIGTERM'), 0);
  });

  for (const [address, reason] of [
    ['100.64.0.8', 'cgnat'],
    ['192.168.178.20', 'double_nat'],
  ] as const) {
    test(`a router that maps, and tells that its own address is ${address}: ${reason}, not reachable`, async (t) => {
      const town = await Town.build(t);
      town.home.oddRouter('natpmp', address);
      const box = town.startBox();
      await until(
        'noticed',
        () => box.lines.some((line) => line.includes(`"reason":"${reason}","address":"${address}"`)),
        () => box.text(),
      );
      const recorded = await until('a dial', async () => {
        const found = await town.recorded();
        return found.ok === false && found;
      });
      assert.ok(!recorded.url?.includes(address), String(recorded.url));
    });
  }

  test('IPv6 only: let through the firewall, dialled, and closed again', async (t) => {
    const town = await Town.build(t, { ipv6: true, ipv4: false });
    await town.home.serve();
    const box = town.startBox();
    const url = `http://[${LAN6.box}]:${CONTENT_PORT}`;
    await town.reachedAt(url);
    assert.deepEqual(town.home.pinholes(), [`${LAN6.box} ${CONTENT_PORT}`]);
    assert.equal(JSON.parse(await town.client(url)).nonce, 'client');
    await box.end('SIGTERM');
    await until('closed', () => town.home.pinholes().length === 0);
  });
});
