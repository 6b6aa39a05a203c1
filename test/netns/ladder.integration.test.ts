import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LAN, WAN } from './home.ts';
import { until } from './logged.ts';
import { needsNamespaces } from './namespaces.ts';
import { CONTENT_PORT, Town } from './town.ts';

const AT_HOME = `http://${WAN.router}:${CONTENT_PORT}`;
const FORWARD = `${CONTENT_PORT} -> ${LAN.box}:${CONTENT_PORT}`;

describe('a box in a home, and a fleet outside', { ...needsNamespaces(), timeout: 600_000 }, () => {
  test('a router with everything: mapped, dialled, used, and given back at SIGTERM', async (t) => {
    const town = await Town.build(t);
    await town.home.serve();
    const box = town.startBox();
    await town.reachedAt(AT_HOME);
    assert.equal((await box.said('mapped a port')).method, 'pcp');
    assert.equal(JSON.parse(await town.client(AT_HOME)).nonce, 'client');
    assert.deepEqual(town.home.forwards(), [FORWARD]);
    assert.equal(await box.end('SIGTERM'), 0);
    assert.deepEqual(town.home.forwards(), []);
    await assert.rejects(town.client(AT_HOME));
  });

  test('a router that knows UPnP alone', async (t) => {
    const town = await Town.build(t);
    await town.home.serve({ pcp: false, igd1: true });
    const box = town.startBox();
    await town.reachedAt(AT_HOME);
    assert.equal((await box.said('mapped a port')).method, 'upnp');
    await box.end();
    assert.deepEqual(town.home.forwards(), []);
  });

  test('a router that offers nothing: not claimed, and said why', async (t) => {
    const town = await Town.build(t);
    const box = town.startBox();
    await until(
      'every way tried',
      () => box.lines.filter((line) => line.includes('no mapping this way')).length === 3,
    );
    const tried = box.lines
      .filter((line) => line.includes('no mapping this way'))
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      tried.map(({ method, problem }) => [method, problem]),
      [
        ['pcp', 'not_offered'],
        ['natpmp', 'not_offered'],
        ['upnp', 'no_answer'],
      ],
    );
    assert.equal(
      (await until('a dial', async () => (await town.recorded()).reason)).includes('forbidden_address'),
      true,
    );
    assert.equal((await town.recorded()).ok, false);
  });

  test('a router that lies about its address: the fleet is not fooled, and the mapping is given back', async (t) => {
    const town = await Town.build(t);
    await town.home.serve({ claims: '9.8.7.6' });
    const box = town.startBox();
    const vain = await box.said('the fleet dialled in vain');
    assert.equal(vain.address, '9.8.7.6');
    await until(
      'every way tried',
      () => box.lines.filter((line) => line.includes('dialled in vain')).length >= 3,
    );
    await until('given back', () => town.home.forwards().length === 0);
    assert.notEqual((await town.recorded()).ok, true);
    assert.equal(box.found('clients can reach this box'), null);
  });

  test('a restarted router: noticed, mapped and dialled again', async (t) => {
    const town = await Town.build(t);
    await town.home.serve();
    const box = town.startBox({ HEARTH_PORT_CHECK_MS: '3600000' });
    await town.reachedAt(AT_HOME);
    await sleep(4_000);
    const from = box.lines.length;
    // Nothing is due for an hour: it is the router's own announcement that is heard.
    await town.home.reboot();
    await box.said('the router was restarted; the mapping is made again', from);
    await box.said('clients can reach this box', from);
    assert.deepEqual(town.home.forwards(), [FORWARD]);
    assert.equal(JSON.parse(await town.client(AT_HOME)).nonce, 'client');
  });

  test('another address outside: the fleet sends clients there', async (t) => {
    const town = await Town.build(t);
    await town.home.serve();
    town.startBox();
    await town.reachedAt(AT_HOME);
    town.home.setWan(WAN.second);
    await town.reachedAt(`http://${WAN.second}:${CONTENT_PORT}`);
    assert.equal(JSON.parse(await town.client(`http://${WAN.second}:${CONTENT_PORT}`)).nonce, 'client');
  });
});
