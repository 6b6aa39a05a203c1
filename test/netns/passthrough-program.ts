import { once } from 'node:events';
import net from 'node:net';
import type { RelayCounts } from '#fleet/relay/counts.ts';
import { PASSTHROUGH_LIMITS, Passthrough } from '#fleet/relay/passthrough.ts';
import { Tolls } from '#fleet/relay/tolls.ts';
import { TUNNEL_LIMITS, Tunnels } from '#fleet/relay/tunnels.ts';

/**
 * A relay's TLS port that takes two connections of a client: `node passthrough-program.ts <port> <address>...`.
 * Connects from each of the addresses in turn, says nothing, and tells which connections were kept.
 */
const [port = '', ...addresses] = process.argv.slice(2);
const relay = new Passthrough({
  tunnels: new Tunnels(TUNNEL_LIMITS, () => undefined),
  // Nothing is carried here.
  counts: undefined as unknown as RelayCounts,
  tolls: new Tolls({ total: null, perBox: null }),
  limits: { ...PASSTHROUGH_LIMITS, connectionsPerClient: 2, helloMs: 60_000 },
  boxOf: async () => null,
  own: null,
});
await relay.listen(Number(port), '::');
const kept: boolean[] = [];
for (const localAddress of addresses) {
  const before = relay.connections;
  const socket = net.connect({ port: Number(port), host: localAddress, localAddress });
  socket.on('error', () => undefined);
  const ended = once(socket, 'close').then(() => false);
  await once(socket, 'connect');
  const taken = async () => {
    while (relay.connections === before) await new Promise((resolve) => setImmediate(resolve));
    return true;
  };
  kept.push(await Promise.race([ended, taken()]));
}
process.stdout.write(`${JSON.stringify(kept)}\n`);
process.exit(0);
