import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readAddress } from '#agent/reach/pcp/codec.ts';
import { requireTool } from '#test/support/tools.ts';
import { connect, type Machine, machines } from './namespaces.ts';

/** Public-looking addresses, that nobody outside the namespaces ever sees. */
export const WAN = { router: '5.6.7.8', internet: '5.6.7.1', second: '5.6.7.9' };
export const LAN = { router: '192.168.1.1', box: '192.168.1.2', other: '192.168.1.3' };
export const LAN6 = { router: '2a10:1::1', box: '2a10:1::2', internet: '2a10:2::1', routerWan: '2a10:2::8' };

export interface HomeOptions {
  /** Give the home IPv6 too; its firewall lets nothing in by itself. */
  ipv6?: boolean;
  /** No IPv4 at all. */
  ipv4?: boolean;
  /** Every connection goes out from a port of its own that nobody can guess: a symmetric NAT. */
  symmetric?: boolean;
  /** The router's own address outside: another NAT's network, if not public. */
  wanAddress?: string;
}

/** What the router's miniupnpd offers. */
export interface Services {
  upnp?: boolean;
  /** NAT-PMP and PCP, which are one switch in miniupnpd. */
  pcp?: boolean;
  /** Answers as IGD v1, as most routers in homes do. */
  igd1?: boolean;
  /** The address it claims; its own otherwise. */
  claims?: string;
  lines?: string[];
}

/**
 * A home: a box and another device behind a router with nftables' masquerade, and a machine on the internet outside.
 * The router's mapping service is miniupnpd, as in OpenWrt and in many a router one can buy.
 */
export class Home {
  readonly box: Machine;
  readonly other: Machine;
  readonly router: Machine;
  readonly internet: Machine;
  readonly #folder: string;
  readonly #ipv6: boolean;
  readonly #symmetric: boolean;
  #wanAddress: string;
  #daemon: ChildProcess | null = null;

  constructor(t: TestContext, options: HomeOptions = {}) {
    const { ipv6 = false, ipv4 = true, symmetric = false, wanAddress = WAN.router } = options;
    this.#folder = mkdtempSync(join(tmpdir(), 'hearth-netns-'));
    t.after(() => rmSync(this.#folder, { recursive: true, force: true }));
    const { box, other, router, internet } = machines(t, 'box', 'other', 'router', 'internet');
    this.box = box;
    this.other = other;
    this.router = router;
    this.internet = internet;
    this.#ipv6 = ipv6;
    this.#symmetric = symmetric;
    this.#wanAddress = wanAddress;
    router.ip('link', 'add', 'lan', 'type', 'bridge');
    router.ip('link', 'set', 'lan', 'up');
    connect(box, 'eth0', router, 'port1');
    connect(other, 'eth0', router, 'port2');
    for (const port of ['port1', 'port2']) router.ip('link', 'set', port, 'master', 'lan');
    connect(internet, 'eth0', router, 'wan');
    router.exec('sysctl', ['-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
    if (ipv4) {
      router.ip('addr', 'add', `${LAN.router}/24`, 'dev', 'lan');
      box.ip('addr', 'add', `${LAN.box}/24`, 'dev', 'eth0');
      other.ip('addr', 'add', `${LAN.other}/24`, 'dev', 'eth0');
      for (const machine of [box, other]) machine.ip('route', 'add', 'default', 'via', LAN.router);
      internet.ip('addr', 'add', `${WAN.internet}/24`, 'dev', 'eth0');
      this.setWan(wanAddress);
    }
    if (ipv6) {
      router.ip('addr', 'add', `${LAN6.router}/64`, 'dev', 'lan');
      router.ip('addr', 'add', `${LAN6.routerWan}/64`, 'dev', 'wan');
      internet.ip('addr', 'add', `${LAN6.internet}/64`, 'dev', 'eth0');
      internet.ip('route', 'add', '2a10:1::/64', 'via', LAN6.routerWan);
      box.ip('addr', 'add', `${LAN6.box}/64`, 'dev', 'eth0');
      box.ip('route', 'add', 'default', 'via', this.#linkLocalOfRouter(), 'dev', 'eth0');
    }
    this.#firewall();
  }

  get wanAddress(): string {
    return this.#wanAddress;
  }

  /** As when the provider gives another address. */
  setWan(address: string): void {
    this.router.ip('addr', 'flush', 'dev', 'wan', 'scope', 'global', '-tentative');
    this.router.ip('addr', 'add', `${address}/24`, 'dev', 'wan');
    if (!address.startsWith('5.6.7.'))
      this.internet.ip('addr', 'replace', `${address.replace(/\d+$/, '1')}/24`, 'dev', 'eth0');
    this.router.ip('route', 'replace', 'default', 'via', address.replace(/\d+$/, '1'));
    // The provider's own routers know at once; here it would take until the address is asked for anew.
    this.internet.ip('neigh', 'flush', 'dev', 'eth0');
    this.#wanAddress = address;
  }

  #linkLocalOfRouter(): string {
    const shown = this.router.ip('-6', '-o', 'addr', 'show', 'dev', 'lan', 'scope', 'link');
    const found = /inet6 (fe80:[0-9a-f:]+)/.exec(shown)?.[1];
    if (!found) throw new Error('the router has no link-local address');
    return found;
  }

  #firewall(): void {
    const rules = `flush ruleset
table inet filter {
  chain miniupnpd { }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "lan" accept
    jump miniupnpd
  }
  chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
  chain postrouting {
    type nat hook postrouting priority 100;
    meta nfproto ipv4 oifname "wan" masquerade${this.#symmetric ? ' random,fully-random' : ''}
    jump postrouting_miniupnpd
  }
}
`;
    this.router.exec('nft', ['-f', '-'], rules);
  }

  /** Starts the router's mapping service, and waits until it listens. */
  async serve(services: Services = {}): Promise<void> {
    const { upnp = true, pcp = true, igd1 = false, claims, lines = [] } = services;
    const config = join(this.#folder, 'miniupnpd.conf');
    writeFileSync(
      config,
      [
        'ext_ifname=wan',
        ...(this.#ipv6 ? ['ext_ifname6=wan'] : []),
        'listening_ip=lan',
        `enable_upnp=${upnp ? 'yes' : 'no'}`,
        `enable_natpmp=${pcp ? 'yes' : 'no'}`,
        ...(claims === undefined ? [] : [`ext_ip=${claims}`]),
        `ipv6_disable=${this.#ipv6 ? 'no' : 'yes'}`,
        'upnp_table_name=filter',
        'upnp_nat_table_name=filter',
        'upnp_forward_chain=miniupnpd',
        'upnp_nat_chain=prerouting_miniupnpd',
        'upnp_nat_postrouting_chain=postrouting_miniupnpd',
        'secure_mode=yes',
        'min_lifetime=1',
        'max_lifetime=86400',
        ...lines,
        'allow 1024-65535 192.168.1.0/24 1024-65535',
        'deny 0-65535 0.0.0.0/0 0-65535',
        '',
      ].join('\n'),
    );
    const args = ['-d', '-f', config, '-P', join(this.#folder, 'miniupnpd.pid'), ...(igd1 ? ['-1'] : [])];
    const daemon = this.router.spawn(requireTool('miniupnpd'), args);
    let said = '';
    for (const stream of [daemon.stdout, daemon.stderr]) {
      stream?.on('data', (piece) => {
        said = `${said}${piece}`.slice(-20_000);
      });
    }
    this.#daemon = daemon;
    // Its own log says when; its sockets are what counts.
    for (let tries = 0; tries < 100; tries++) {
      if (daemon.exitCode !== null) throw new Error(`miniupnpd ended: ${said}`);
      const udp = this.router.exec('ss', ['-Huln']);
      if ((!upnp || /:1900\s/.test(udp)) && (!pcp || /:5351\s/.test(udp))) return;
      await sleep(50);
    }
    throw new Error(`miniupnpd does not listen: ${said}`);
  }

  /** Ends the mapping service, without a word to anyone. */
  async silence(): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = null;
    if (!daemon || daemon.exitCode !== null || daemon.signalCode !== null) return;
    daemon.kill('SIGKILL');
    await once(daemon, 'exit');
  }

  /** As when its plug is pulled: mappings, leases and connections are gone. */
  async reboot(services: Services = {}): Promise<void> {
    await this.silence();
    this.#firewall();
    await this.serve(services);
  }

  /** Puts another program in the mapping service's place: see odd-router.ts. */
  oddRouter(manner: 'garbage' | 'natpmp', claims = ''): void {
    this.#daemon = this.router.spawn(process.execPath, [
      join(import.meta.dirname, 'odd-router.ts'),
      manner,
      claims,
    ]);
  }

  /** What the router forwards, as its kernel sees it: `port -> address:port`. */
  forwards(): string[] {
    const rules = this.router.exec('nft', ['-n', 'list', 'chain', 'inet', 'filter', 'prerouting_miniupnpd']);
    return [...rules.matchAll(/dport (\d+) dnat ip to ([\d.]+):(\d+)/g)].map(
      ([, port, address, inner]) => `${port} -> ${address}:${inner}`,
    );
  }

  /** IPv6 addresses and ports the firewall lets in. */
  pinholes(): string[] {
    const rules = this.router.exec('nft', ['-n', 'list', 'chain', 'inet', 'filter', 'miniupnpd']);
    // miniupnpd writes rules in bytes of the packet: nft shows the address it compares with as one number.
    return [...rules.matchAll(/dport (\d+) @nh,192,128 0x([0-9a-f]{32})/g)].map(
      ([, port, address]) => `${readAddress(Buffer.from(address ?? '', 'hex'))} ${port}`,
    );
  }
}
