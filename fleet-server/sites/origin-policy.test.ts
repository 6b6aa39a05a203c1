import assert from 'node:assert/strict';
import { test } from 'node:test';
import { originSchema } from '#protocol/http-fleet.ts';
import { refuseLocalOrigin } from './origin-policy.ts';

test('origins of local networks are refused, however they are written; public ones are not', () => {
  for (const origin of [
    'http://127.0.0.1:8080',
    'http://127.1/files',
    'http://2130706433',
    'http://0x7f000001/',
    'http://0.0.0.0',
    'http://10.0.0.8',
    'https://172.16.4.4',
    'http://192.168.1.5',
    'http://100.64.0.1',
    'http://169.254.169.254/latest',
    'http://[::1]:9000',
    'http://[::ffff:10.0.0.1]',
    'http://[fe80::1]',
    'http://[fd12::1]',
    'http://localhost',
    'http://LOCALHOST.:80',
    'http://cdn.localhost',
    'https://nas.local',
    'https://nas.home.arpa',
    'http://build.internal',
    'http://router.lan',
  ]) {
    assert.throws(
      () => refuseLocalOrigin(originSchema.parse(origin)),
      { code: 'bad_request', message: /public name.*HEARTH_DIAL_PRIVATE/ },
      origin,
    );
  }
  for (const origin of [
    'https://origin.example.com/base',
    'http://8.8.8.8',
    'http://[2606:4700::1111]:8080',
    'https://10.example.com',
    'https://localhost.example.com',
    'https://mylocal',
  ]) {
    refuseLocalOrigin(originSchema.parse(origin));
  }
});
