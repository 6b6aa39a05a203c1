import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { MappingError } from '../mapping.ts';
import { askHttp } from './http.ts';
import { servicesIn, soapBody } from './igd.ts';
import { readSearchAnswer, TARGETS } from './ssdp.ts';
import { findAll, readXml, textOf } from './xml.ts';

const answer = (location: string, target = TARGETS[1]) =>
  `HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: ${target}\r\nLocation:  ${location} \r\nUSN: uuid:x\r\n\r\n`;

test('ssdp: a device speaks for itself alone', () => {
  const from = '192.168.1.1';
  assert.equal(
    readSearchAnswer(answer('http://192.168.1.1:5000/d.xml'), from)?.href,
    'http://192.168.1.1:5000/d.xml',
  );
  for (const elsewhere of [
    'http://192.168.1.9:5000/d.xml',
    'http://fleet.example/d.xml',
    'http://127.0.0.1:7070/api/password',
    'https://192.168.1.1/d.xml',
    'file:///etc/passwd',
    'http://user@192.168.1.1/',
    'http://192.168.1.1:0/',
    'nonsense',
    '',
  ]) {
    assert.equal(readSearchAnswer(answer(elsewhere), from), null, elsewhere);
  }
  assert.equal(readSearchAnswer(answer('http://192.168.1.1/d', 'upnp:rootdevice'), from), null);
  assert.ok(readSearchAnswer(answer('http://[2a10:1::1]:5000/d'), 'fe80::1%eth0'));
  assert.equal(readSearchAnswer(answer('http://[2a10:1::1]:5000/d'), '2a10:9::9'), null);
  fc.assert(fc.property(fc.string(), (text) => readSearchAnswer(text, from) === null));
});

const DESCRIPTION = `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceList><device>
<serviceList>
 <service><serviceType>urn:schemas-upnp-org:service:WANPPPConnection:1</serviceType><controlURL>/ppp</controlURL></service>
 <service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>http://192.168.1.1:5000/ip</controlURL></service>
 <service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:2</serviceType><controlURL>http://10.0.0.9/steal</controlURL></service>
 <service><serviceType>urn:schemas-upnp-org:service:WANIPv6FirewallControl:1</serviceType><controlURL>ctl/6</controlURL></service>
</serviceList></device></deviceList></device></root>`;

test('igd: the services that map ports, best first, none of them on another host', async () => {
  const location = new URL('http://192.168.1.1:5000/d/root.xml');
  const description = await readXml(DESCRIPTION);
  assert.ok(description);
  assert.deepEqual(
    servicesIn(description, location, 'ipv4').map(({ control }) => control.href),
    ['http://192.168.1.1:5000/ip', 'http://192.168.1.1:5000/ppp'],
  );
  assert.deepEqual(
    servicesIn(description, location, 'ipv6').map(({ control }) => control.href),
    ['http://192.168.1.1:5000/d/ctl/6'],
  );
});

test('xml: what routers write is read; a bomb is not expanded, and too much of it is refused', async () => {
  const answer = await readXml(
    '<s:Envelope><s:Body><u:R><NewReservedPort> 42 </NewReservedPort><unclosed></u:R>',
  );
  assert.equal(answer && textOf(answer, 'newreservedport'), '42');
  const bomb = await readXml(
    '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><r>&b;&b;&b;&b;</r>',
  );
  assert.ok(!bomb || !(textOf(bomb, 'r') ?? '').includes('aaaaaaaaaa'));
  assert.equal(await readXml('<a>'.repeat(100)), null);
  assert.equal(await readXml(`<a>${'<b/>'.repeat(5_000)}</a>`), null);
  assert.equal(await readXml(''), null);
  await fc.assert(
    fc.asyncProperty(fc.string(), async (text) => {
      const root = await readXml(text);
      if (root) [...findAll(root, 'x')];
    }),
  );
});

test('soap: values cannot break out of their element', () => {
  assert.ok(soapBody('urn:x', 'A', { B: '"><C>&' }).includes('<B>&#34;&#62;&#60;C&#62;&#38;</B>'));
});

async function device(t: TestContext, body: () => Iterable<string>, hang = false): Promise<URL> {
  const server = createServer((_request, response) => {
    response.writeHead(200);
    for (const piece of body()) response.write(piece);
    if (!hang) response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
}

test('http: a device that does not stop talking, or does not end, is left', async (t) => {
  const isProblem = (problem: string) => (error: unknown) =>
    error instanceof MappingError && error.problem === problem;
  const signal = AbortSignal.timeout(30_000);
  const endless = await device(t, () => Array.from({ length: 40 }, () => 'x'.repeat(10_000)), true);
  await assert.rejects(askHttp(endless, '127.0.0.1', signal), isProblem('bad_answer'));
  const silent = await device(t, () => ['<root>'], true);
  await assert.rejects(askHttp(silent, '127.0.0.1', signal), isProblem('no_answer'));
  const fine = await device(t, () => ['<root/>']);
  assert.deepEqual(await askHttp(fine, '127.0.0.1', signal), { status: 200, text: '<root/>' });
});
