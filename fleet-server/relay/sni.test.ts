import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { helloFor } from './hello-fixture.ts';
import { MOST_HELLO_BYTES, sniff } from './sni.ts';

test('the name is read from what a real client sends, TLS 1.2 and 1.3, in any case of letters', async () => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const hello = await helloFor('Box-7.Example.NET', { maxVersion });
    assert.deepEqual(sniff(hello), { kind: 'name', name: 'box-7.example.net' });
  }
});

test('a greeting that comes in pieces is waited for', async () => {
  const hello = await helloFor('box.example.net');
  for (let length = 0; length < hello.length; length++) {
    assert.deepEqual(sniff(hello.subarray(0, length)), { kind: 'more' }, `after ${length} bytes`);
  }
  assert.equal(sniff(hello).kind, 'name');
});

test('a greeting split over several records is put together', async () => {
  const hello = await helloFor('box.example.net');
  const body = hello.subarray(5);
  const record = (piece: Buffer) =>
    Buffer.concat([Buffer.from([22, 3, 1, piece.length >> 8, piece.length & 255]), piece]);
  const split = Buffer.concat([
    record(body.subarray(0, 7)),
    record(body.subarray(7, 90)),
    record(body.subarray(90)),
  ]);
  assert.deepEqual(sniff(split), { kind: 'name', name: 'box.example.net' });
});

test('a client that names nobody, another protocol, and an endless greeting are refused', async () => {
  assert.equal(sniff(await helloFor('')).kind, 'none');
  assert.equal(sniff(Buffer.from('GET / HTTP/1.1\r\n\r\n')).kind, 'none');
  assert.equal(sniff(Buffer.from('SSH-2.0-x\r\n')).kind, 'none');
  const endless = Buffer.from([22, 3, 1, 0, 6, 1, 0xff, 0xff, 0xff, 3, 3]);
  assert.deepEqual(sniff(endless), { kind: 'none', why: 'its greeting is too long' });
  assert.ok(MOST_HELLO_BYTES >= 4096);
});

test('property: damaged greetings never throw, and never give a name that is not a host name', async () => {
  const hello = await helloFor('box.example.net');
  const damage = fc.array(fc.tuple(fc.nat(hello.length - 1), fc.nat(255)), { maxLength: 8 });
  fc.assert(
    fc.property(damage, fc.nat(hello.length), (changes, length) => {
      const bytes = Buffer.from(hello.subarray(0, length));
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      const found = sniff(bytes);
      if (found.kind === 'name') assert.match(found.name, /^[a-z0-9][a-z0-9.-]*$/);
    }),
    { numRuns: 2000 },
  );
});
