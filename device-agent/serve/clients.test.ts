import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clients } from './clients.ts';

const limits = { connections: 2, requestsPerSecond: 10, loopback: false };

test('a client’s requests: a burst, then so many a second', () => {
  const client = new Clients(limits).of('192.0.2.1', 0);
  for (let n = 0; n < 100; n++) assert.equal(client.ask(0), 0);
  assert.equal(client.ask(0), 100);
  assert.ok(client.ask(99) > 0);
  assert.equal(client.ask(100), 0);
  assert.ok(client.ask(100) > 0);
  for (let n = 0; n < 100; n++) assert.equal(client.ask(1e6), 0);
  assert.ok(client.ask(1e6) > 0, 'nobody saves up more than a burst');
});

test('one household is one client, whichever of its addresses it uses', () => {
  const clients = new Clients(limits);
  assert.equal(clients.of('2001:db8::1', 0), clients.of('2001:db8:0:0:ffff::2', 0));
  assert.notEqual(clients.of('2001:db8::1', 0), clients.of('2001:db8:0:1::1', 0));
  assert.equal(clients.of('::ffff:192.0.2.1', 0), clients.of('192.0.2.1', 0));
});

test('connections of one client are bounded; who asks from the box itself speaks for many', () => {
  const clients = new Clients(limits);
  const client = clients.of('192.0.2.1', 0);
  client.connections = 2;
  assert.ok(!clients.isOverrun(client));
  client.connections = 3;
  assert.ok(clients.isOverrun(client));
  for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1']) {
    const local = clients.of(address, 0);
    local.connections = 1000;
    assert.ok(!clients.isOverrun(local), address);
    for (let n = 0; n < 500; n++) assert.equal(local.ask(0), 0, address);
  }
  const open = new Clients({ connections: 0, requestsPerSecond: 0, loopback: true }).of('192.0.2.1', 0);
  for (let n = 0; n < 500; n++) assert.equal(open.ask(0), 0);
});

test('however many addresses ask, so many are remembered, and who is connected longest of all', () => {
  const clients = new Clients(limits);
  const connected = clients.of('192.0.2.1', 0);
  connected.connections = 1;
  for (let n = 0; n < 20_000; n++) clients.of(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`, 0);
  assert.ok(clients.size <= 4_096, String(clients.size));
  assert.equal(clients.of('192.0.2.1', 0), connected);
});
