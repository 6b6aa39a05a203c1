import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { WAN } from './home.ts';
import { until } from './logged.ts';
import { needsNamespaces } from './namespaces.ts';
import { CONTENT_PORT, Town } from './town.ts';

const at = (address: string) => `${address}:${CONTENT_PORT}`;

describe('an address that changes, and a NAT without one to speak of', {
  ...needsNamespaces(),
  timeout: 600_000,
}, () => {
  test('the address outside changes while a client downloads: it gets the rest, and the next one comes by the new address', async (t) => {
    const town = await Town.build(t);
    await town.home.serve();
    // Slow enough to be under way when the address changes.
    const box = town.startBox({ HEARTH_UP_BYTES_PER_SECOND: '1500000' });
    await town.reachedAt(`http://${at(WAN.router)}`);
    const { sha256, hostname } = await town.hold('/film.bin', 16_000_000);
    const client = town.download(hostname, '/film.bin');
    await client.said('begun');
    // More than once, if this machine stood still for longer than the client's patience.
    assert.deepEqual(
      [...new Set(client.told.flatMap(({ what, from }) => (what === 'from' ? [from] : [])))],
      [at(WAN.router)],
    );
    town.home.setWan(WAN.second);
    // Nobody is at the old address any more: it was broken off, and went on.
    assert.equal((await client.said('done')).sha256, sha256);
    assert.ok(client.told.some(({ what }) => what === 'broken'));
    await town.reachedAt(`http://${at(WAN.second)}`);
    await until(
      'the next client is sent to the new address',
      async () => {
        const next = town.download(hostname, '/film.bin');
        assert.equal((await next.said('done')).sha256, sha256);
        return next.told.every(({ what, from }) => what !== 'from' || from === at(WAN.second));
      },
      () => box.text(),
    );
  });

  test('a symmetric NAT that maps nothing: not claimed as reachable, and clients come through the relay', async (t) => {
    const town = await Town.build(
      t,
      { symmetric: true },
      {
        HEARTH_ROLES: 'api,broker,worker,router,relay',
        HEARTH_RELAY_URL: `http://${WAN.internet}:7082`,
        HEARTH_RELAY_TUNNEL_URL: `tls://${WAN.internet}:7443`,
      },
    );
    const box = town.startBox();
    await until(
      'a relay holds the box',
      async () => (await town.query('SELECT 1 FROM relay_tunnels')).length > 0,
      () => box.text(),
    );
    const { ok, reason } = await town.recorded();
    assert.equal(ok, false);
    assert.match(reason ?? '', /forbidden_address/);
    assert.equal(box.found('clients can reach this box'), null);
    const { sha256, hostname } = await town.hold('/film.bin', 4_000_000);
    await until(
      'clients are sent to the relay',
      async () => {
        const client = town.download(hostname, '/film.bin');
        assert.equal((await client.said('done')).sha256, sha256);
        return client.told.every(({ what, from }) => what !== 'from' || from === `${WAN.internet}:7082`);
      },
      () => box.text(),
    );
    assert.deepEqual(town.home.forwards(), []);
  });
});
