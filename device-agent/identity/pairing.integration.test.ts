import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { FleetFixture } from '#agent/link/fleet-fixture.ts';
import { silent, tempFolder, until } from '#agent/store/store-fixture.ts';
import type { Identity } from './identity.ts';
import { StateDirectory } from './identity.ts';
import { Pairing } from './pairing.ts';

async function rig(t: TestContext) {
  const fleet = await FleetFixture.start();
  t.after(() => fleet.close());
  const state = new StateDirectory(await tempFolder(t, 'state'));
  await state.open();
  const paired: Identity[] = [];
  const pairing = new Pairing({
    state,
    stamp: () => new Date().toISOString(),
    backoff: { baseMs: 1, capMs: 5 },
    log: silent,
    onPaired: async (identity) => {
      paired.push(identity);
    },
  });
  t.after(() => pairing.close());
  return { fleet, state, pairing, paired };
}

/** Stands before a fleet and fails the first `times` requests as `how` says; counts them all. */
async function gate(
  t: TestContext,
  fleet: FleetFixture,
  times: number,
  how: (response: http.ServerResponse) => void,
) {
  const bodies: string[] = [];
  const server = http.createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += String(piece);
    bodies.push(body);
    if (bodies.length <= times) return how(response);
    const answer = await fetch(`${fleet.url}${request.url}`, { method: 'POST', body });
    response.writeHead(answer.status, { 'content-type': 'application/json' });
    response.end(await answer.text());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  t.after(() => server.close());
  t.after(() => server.closeAllConnections());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, bodies };
}

test('pairing: by itself it asks again until the fleet answers, with the same key each time', async (t) => {
  const { fleet, pairing, paired, state } = await rig(t);
  const codes = [
    (response: http.ServerResponse) => response.writeHead(503).end('{}'),
    (response: http.ServerResponse) => void response.destroy(),
    (response: http.ServerResponse) => response.writeHead(200).end('not a fleet'),
  ];
  let n = 0;
  const { url, bodies } = await gate(t, fleet, 3, (response) => codes[n++]?.(response));
  pairing.keepTrying([{ fleetUrl: url, claimCode: fleet.newClaim() }]);
  assert.equal(pairing.active, true);
  await until(() => pairing.problem !== null, 'the household can see why');
  await until(() => paired.length === 1, 'it is paired');
  assert.equal(bodies.length, 4);
  assert.equal(new Set(bodies).size, 1);
  await until(() => !pairing.active, 'it has ended');
  assert.equal(pairing.problem, null);
  assert.deepEqual(await state.readIdentity(), paired[0]);
});

test('pairing: a refusal for good ends it, and another invitation is still taken', async (t) => {
  const { fleet, pairing, paired } = await rig(t);
  pairing.keepTrying([{ fleetUrl: fleet.url, claimCode: 'AAAA-BBBB-CCCC' }]);
  await until(() => !pairing.active, 'it has given up');
  assert.match(pairing.problem ?? '', /claim code/);
  pairing.keepTrying([
    { fleetUrl: fleet.url, claimCode: 'AAAA-BBBB-CCCC' },
    { fleetUrl: 'http://127.0.0.1:9', claimCode: fleet.newClaim() },
    { fleetUrl: fleet.url, claimCode: fleet.newClaim() },
  ]);
  await until(() => paired.length === 1, 'it is paired');
});

test('pairing: asked for many times at once, one attempt runs at a time and the last one counts', async (t) => {
  const { fleet, pairing, paired, state } = await rig(t);
  const { url } = await gate(t, fleet, 1, () => undefined);
  pairing.keepTrying([{ fleetUrl: url, claimCode: fleet.newClaim() }]);
  const codes = Array.from({ length: 4 }, () => fleet.newClaim());
  const results = await Promise.allSettled(codes.map((code) => pairing.pair(fleet.url, code)));
  for (const result of results) {
    if (result.status === 'rejected') assert.equal(result.reason.code, 'conflict', String(result.reason));
  }
  assert.ok(results.some(({ status }) => status === 'fulfilled'));
  assert.deepEqual(await state.readIdentity(), paired.at(-1));
  assert.equal(await state.readPending(), null);
  await pairing.close();
  await assert.rejects(pairing.pair(fleet.url, fleet.newClaim()), { code: 'unavailable' });
});
