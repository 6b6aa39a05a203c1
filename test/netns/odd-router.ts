import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';

/**
 * Routers one cannot install, for the tests of the ladder: `garbage` answers everything with something that is no
 * answer; `natpmp ADDRESS` knows NAT-PMP alone and maps whatever it is asked for, at an address it tells.
 */
const [manner = 'garbage', claims = ''] = process.argv.slice(2);
const LAN = '192.168.1.1';

const GARBAGE = [
  () => Buffer.alloc(0),
  () => Buffer.from([0]),
  () => Buffer.from([2, 0x81]),
  () => Buffer.from([0, 128]),
  () => randomBytes(16),
  () => randomBytes(60),
  () => Buffer.concat([Buffer.from([2, 0x81, 0, 0]), randomBytes(56)]),
  () => Buffer.concat([Buffer.from([0, 130, 0, 0]), randomBytes(12)]),
  () => randomBytes(1400),
];

const started = Date.now();
const udp = createSocket('udp4');
udp.on('message', (packet, from) => {
  const answer = (bytes: Buffer) => udp.send(bytes, from.port, from.address, () => undefined);
  if (manner === 'garbage') {
    for (const make of GARBAGE) answer(make());
    return;
  }
  const epoch = Math.floor((Date.now() - started) / 1000);
  const reply = Buffer.alloc(16);
  reply[1] = 128 + (packet[1] ?? 0);
  reply.writeUInt32BE(epoch, 4);
  if (packet[0] !== 0) {
    // RFC 6886 section 3.5: "unsupported version".
    reply.writeUInt16BE(1, 2);
    return answer(reply.subarray(0, 8));
  }
  if (packet[1] === 0) {
    reply.set(claims.split('.').map(Number), 8);
    return answer(reply.subarray(0, 12));
  }
  packet.copy(reply, 8, 4, 8);
  packet.copy(reply, 12, 8, 12);
  answer(reply);
});
udp.bind(5351, LAN);

if (manner === 'garbage') {
  const http = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/xml' });
    response.end(
      `<?xml version="1.0"?><root><device><${'a'.repeat(50)}>&lol;<<<${randomBytes(500).toString('latin1')}`,
    );
  });
  http.listen(0, LAN, () => {
    const address = http.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const ssdp = createSocket({ type: 'udp4', reuseAddr: true });
    ssdp.on('message', (_packet, from) => {
      const say = (text: string) => ssdp.send(text, from.port, from.address, () => undefined);
      const target = 'ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n';
      say('HTTP/1.1 200 OK\r\n\r\n');
      say(randomBytes(300).toString('latin1'));
      // Somebody else's address, and other schemes: the box is not to be sent anywhere.
      say(`HTTP/1.1 200 OK\r\n${target}LOCATION: http://192.168.1.3:80/x\r\n\r\n`);
      say(`HTTP/1.1 200 OK\r\n${target}LOCATION: file:///etc/passwd\r\n\r\n`);
      say(`HTTP/1.1 200 OK\r\n${target}LOCATION: http://${LAN}:${port}/rootDesc.xml\r\n\r\n`);
    });
    ssdp.bind(1900, () => ssdp.addMembership('239.255.255.250', LAN));
  });
}
