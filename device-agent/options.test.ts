import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readOptions, urlOf } from './options.ts';

test('options: defaults, and an empty variable is as if absent', () => {
  const read = readOptions({ HEARTH_STATE_DIR: '/s', HEARTH_DISK: '/d', HEARTH_LAN_PORT: '', PATH: '/bin' });
  assert.ok('options' in read);
  assert.equal(read.options.lanPort, 7070);
  assert.equal(read.options.contentPort, 7090);
  assert.equal(read.options.bind, '0.0.0.0');
  assert.equal(read.options.heartbeatMs, 30_000);
  assert.match(read.options.webuiDir, /dist\/webui\/box$/);
});

test('options: one line for each fault, naming the variable', () => {
  const read = readOptions({
    HEARTH_DISK: '/d',
    HEARTH_LAN_PORT: '70000',
    HEARTH_BIND: 'everywhere',
    HEARTH_CLAIM_CODE: 'no',
  });
  assert.ok('faults' in read);
  assert.equal(read.faults.length, 4);
  assert.ok(read.faults.includes('HEARTH_STATE_DIR must be set'));
  for (const name of ['HEARTH_LAN_PORT', 'HEARTH_BIND', 'HEARTH_CLAIM_CODE']) {
    assert.ok(
      read.faults.some((line) => line.startsWith(`${name}: `)),
      name,
    );
  }
});

test('options: a certificate and its key come together', () => {
  const base = { HEARTH_STATE_DIR: '/s' };
  const half = readOptions({ ...base, HEARTH_TLS_CERT: '/c.pem' });
  assert.deepEqual(half, { faults: ['HEARTH_TLS_KEY must be set, since HEARTH_TLS_CERT is'] });
  const whole = readOptions({ ...base, HEARTH_TLS_CERT: '/c.pem', HEARTH_TLS_KEY: '/k.pem' });
  assert.ok('options' in whole);
  assert.deepEqual(whole.options.tlsFiles, { cert: '/c.pem', key: '/k.pem' });
  assert.equal(whole.options.tlsPort, 7443);
});

test('the content URL names an address others can use', () => {
  assert.equal(urlOf('127.0.0.1', 7090), 'http://127.0.0.1:7090');
  assert.equal(urlOf('::1', 1), 'http://[::1]:1');
  assert.doesNotMatch(urlOf('0.0.0.0', 1), /0\.0\.0\.0/);
});

test('options: bounds for one client, and 0 for none', () => {
  const read = readOptions({
    HEARTH_STATE_DIR: '/s',
    HEARTH_CLIENT_CONNECTIONS: '2',
    HEARTH_CLIENT_REQUESTS: '0',
  });
  assert.ok('options' in read);
  const { clientConnections, clientRequestsPerSecond } = read.options;
  assert.deepEqual(
    { clientConnections, clientRequestsPerSecond },
    { clientConnections: 2, clientRequestsPerSecond: 0 },
  );
  const negative = readOptions({ HEARTH_STATE_DIR: '/s', HEARTH_CLIENT_REQUESTS: '-1' });
  assert.ok('faults' in negative && negative.faults[0]?.startsWith('HEARTH_CLIENT_REQUESTS: '));
});
