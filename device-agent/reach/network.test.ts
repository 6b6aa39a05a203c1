import assert from 'node:assert/strict';
import type os from 'node:os';
import { test } from 'node:test';
import fc from 'fast-check';
import { fingerprintOf, networkOf, publicAddress, readTables, type Tables } from './network.ts';

const info = (address: string, cidr: string): os.NetworkInterfaceInfo =>
  ({
    address,
    cidr,
    family: address.includes(':') ? 'IPv6' : 'IPv4',
    internal: false,
  }) as os.NetworkInterfaceInfo;

const HOME: Tables = {
  route4: `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
`,
  route6: `2a100001000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe80000000000000020000fffe000001 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
`,
  inet6: `2a100001000000000000000000000077 02 40 00 01     eth0
2a100001000000000000000000000002 02 40 00 80     eth0
`,
  interfaces: {
    lo: [info('127.0.0.1', '127.0.0.1/8')],
    eth0: [
      info('10.9.9.9', '10.9.9.9/24'),
      info('192.168.1.2', '192.168.1.2/24'),
      info('2a10:1::77', '2a10:1::77/64'),
      info('2a10:1::2', '2a10:1::2/64'),
      info('fe80::1', 'fe80::1/64'),
    ],
  },
};

test('network: the default routers, and the address of ours beside them', () => {
  const network = networkOf(HOME);
  assert.deepEqual(network.gateways, {
    ipv4: { family: 'ipv4', address: '192.168.1.1', local: '192.168.1.2' },
    ipv6: { family: 'ipv6', address: 'fe80::200:ff:fe00:1%eth0', local: '2a10:1::2' },
  });
  assert.equal(publicAddress(network, 'ipv4'), null);
  assert.equal(publicAddress(network, 'ipv6'), '2a10:1::2', 'the temporary one is not given away');
});

test('network: a change of address or router is one, anything else is none', () => {
  const before = fingerprintOf(networkOf(HOME));
  assert.equal(fingerprintOf(networkOf(structuredClone(HOME))), before);
  const moved = { ...HOME, route4: HOME.route4.replaceAll('0101A8C0', 'FE01A8C0') };
  assert.notEqual(fingerprintOf(networkOf(moved)), before);
  const more = { ...HOME, interfaces: { ...HOME.interfaces, wwan0: [info('8.8.4.4', '8.8.4.4/30')] } };
  assert.notEqual(fingerprintOf(networkOf(more)), before);
});

test('network: without tables, and with garbage in them, there is no router', () => {
  const none: Tables = { route4: '', route6: '', inet6: '', interfaces: {} };
  assert.deepEqual(networkOf(none), { addresses: [], gateways: { ipv4: null, ipv6: null } });
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (route4, route6, inet6) => {
      networkOf({ ...HOME, route4, route6, inet6 });
    }),
  );
});

test('network: this machine’s own tables can be read', async () => {
  const network = networkOf(await readTables());
  for (const { kind } of network.addresses) assert.notEqual(kind, 'loopback');
});
