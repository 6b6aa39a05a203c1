import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import type { LookupAddress } from 'node:dns';
import path from 'node:path';
import { test } from 'node:test';
import { namesLocalMachine } from '#protocol/addresses.ts';
import { publicLookup, refuseLocalMachine } from './address-policy.ts';
import { ORIGIN_DEFAULTS, OriginClient } from './origin.ts';
import { OriginFixture, ordinary } from './origin-fixture.ts';

const LOCAL = [
  'http://127.0.0.1/',
  'http://127.1:8080/x',
  'http://2130706433/',
  'http://0x7f.0.0.1/',
  'http://0.0.0.0/',
  'http://localhost/',
  'http://LOCALHOST./',
  'http://box.localhost:7070/',
  'http://192.168.1.1/',
  'http://10.0.0.1/',
  'http://172.20.0.1/',
  'http://100.64.0.1/',
  'http://169.254.169.254/latest/meta-data/',
  'http://[::1]/',
  'http://[::ffff:192.168.1.1]/',
  'http://[fe80::1]/',
  'http://[fd00::1]/',
  'http://[::]/',
  'http://[64:ff9b::c0a8:101]/',
  'https://224.0.0.1/',
];

test('addresses of this machine and its network are known in all their spellings', () => {
  for (const url of LOCAL) {
    assert.equal(namesLocalMachine(url), true, url);
    assert.throws(() => refuseLocalMachine(url), { code: 'origin_unreachable' });
  }
  for (const url of [
    'http://example.org/',
    'http://8.8.8.8/',
    'http://[2606:4700::1111]/',
    'http://10.example.org/',
  ]) {
    assert.equal(namesLocalMachine(url), false, url);
    refuseLocalMachine(url);
  }
});

const answering = (...addresses: LookupAddress[]) =>
  publicLookup((_hostname, _options, callback) => callback(null, addresses));

test('a name is only what is public of it; one that is private alone leads nowhere', () => {
  const mixed = answering({ address: '192.168.1.1', family: 4 }, { address: '8.8.8.8', family: 4 });
  mixed('a.example', { all: true }, (error, found) => {
    assert.equal(error, null);
    assert.deepEqual(found, [{ address: '8.8.8.8', family: 4 }]);
  });
  mixed('a.example', {}, (_error, address, family) => assert.deepEqual([address, family], ['8.8.8.8', 4]));
  answering({ address: '::1', family: 6 })('a.example', { all: true }, (error) => {
    assert.match(error?.message ?? '', /local network/);
  });
});

const SPAN = { start: 0, length: 5, sizeBytes: 5 };

/** An origin on loopback, and a client to whom every name resolves to it. */
async function rig(t: { after: (call: () => unknown) => void }) {
  const inside = await OriginFixture.start();
  inside.files.set('/a', Buffer.from('12345'));
  t.after(() => inside.close());
  const client = new OriginClient(
    { ...ORIGIN_DEFAULTS, stallMs: 2_000 },
    undefined,
    (_name, _options, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]),
  );
  t.after(() => client.close());
  return { inside, client };
}

test('a public name that resolves to the box or its network is not asked: DNS cannot be rebound', async (t) => {
  const { inside, client } = await rig(t);
  const url = inside.url('/a').replace('127.0.0.1', 'origin.example');
  await assert.rejects(client.ask(url, SPAN, new AbortController().signal), {
    code: 'origin_unreachable',
    message: /local network/,
    lasting: true,
  });
  assert.equal(inside.asked.length, 0);
});

test('an origin in the house, named as such by the fleet, is asked and may redirect', async (t) => {
  const { inside, client } = await rig(t);
  inside.files.set('/b', Buffer.from('12345'));
  inside.handler = (request, response, bytes) => {
    if (request.url === '/a') response.writeHead(302, { location: '/b' }).end();
    else ordinary(request, response, bytes);
  };
  const answer = await client.ask(inside.url('/a'), SPAN, new AbortController().signal);
  const pieces: Buffer[] = [];
  for await (const piece of answer.body) pieces.push(piece);
  assert.equal(String(Buffer.concat(pieces)), '12345');
});

const isRoot = process.getuid?.() === 0 && process.platform === 'linux';

/** Runs in a network namespace of its own, where loopback has a public address as well. */
const REDIRECTS = `
  import http from 'node:http';
  import { ORIGIN_DEFAULTS, OriginClient } from ${JSON.stringify(path.join(import.meta.dirname, 'origin.ts'))};
  const asked = [];
  const server = http.createServer((request, response) => {
    asked.push(request.headers.host + request.url);
    const location = decodeURIComponent(request.url.slice(1));
    if (location) response.writeHead(302, { location }).end();
    else response.writeHead(206, { 'content-range': 'bytes 0-4/5' }).end('12345');
  }).listen(0, '0.0.0.0', async () => {
    const { port } = server.address();
    const client = new OriginClient(ORIGIN_DEFAULTS, undefined, (name, _options, callback) =>
      callback(null, [{ address: name.startsWith('inside') ? '127.0.0.1' : '93.184.216.34', family: 4 }]),
    );
    const ends = [];
    for (const host of ['127.0.0.1', 'localhost', 'inside.example', 'outside.example']) {
      const url = 'http://origin.example:' + port + '/' + encodeURIComponent('http://' + host + ':' + port + '/');
      const span = { start: 0, length: 5, sizeBytes: 5 };
      ends.push(await client.ask(url, span, AbortSignal.timeout(5_000)).then(() => 'answered', (error) => error.code));
    }
    const inside = asked.filter((name) => !/^(origin|outside)/.test(name));
    console.log(JSON.stringify({ ends, inside }));
    process.exit(0);
  });
`;

test('a public origin may not redirect a box to its own network, by number or by name', {
  skip: isRoot ? false : 'a network namespace needs root on Linux',
}, () => {
  const output = execFileSync('unshare', [
    '-n',
    'sh',
    '-c',
    'ip link set lo up && ip addr add 93.184.216.34/32 dev lo && exec "$0" --input-type=module-typescript -e "$1"',
    process.execPath,
    REDIRECTS,
  ]);
  const { ends, inside } = JSON.parse(String(output)) as { ends: string[]; inside: string[] };
  assert.deepEqual(ends, ['origin_unreachable', 'origin_unreachable', 'origin_unreachable', 'answered']);
  assert.deepEqual(inside, []);
});
