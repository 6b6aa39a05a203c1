import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LAN, WAN } from './home.ts';
import { until } from './logged.ts';
import { needsNamespaces } from './namespaces.ts';
import { CONTENT_PORT, SECURE_PORT, Town } from './town.ts';

const AT_HOME = `http://${WAN.router}:${CONTENT_PORT}`;
const INNER_PORT = 7443;

describe('a box with a certificate behind a router', { ...needsNamespaces(), timeout: 600_000 }, () => {
  test('TLS is mapped to the port relays have it at, met with its certificate, and given back', async (t) => {
    const town = await Town.build(t);
    await town.home.serve();
    const first = town.startBox();
    await first.said('linked to the fleet');
    await town.certify();
    const met = (url: string) =>
      until(
        `met at ${url}`,
        async () => {
          const [row] = await town.query('SELECT secure_url AS url, secure_ok AS ok FROM boxes');
          return row?.url === url && row.ok === true;
        },
        () => town.box?.text() ?? '',
      );
    await met(`https://${WAN.router}:${SECURE_PORT}`);
    await town.reachedAt(AT_HOME);
    assert.deepEqual(town.home.forwards().sort(), [
      `${CONTENT_PORT} -> ${LAN.box}:${CONTENT_PORT}`,
      `${SECURE_PORT} -> ${LAN.box}:${INNER_PORT}`,
    ]);
    // The provider gives another address: both are found again.
    town.home.setWan(WAN.second);
    await met(`https://${WAN.second}:${SECURE_PORT}`);
    await town.box?.end('SIGTERM');
    assert.deepEqual(town.home.forwards(), []);
  });
});
