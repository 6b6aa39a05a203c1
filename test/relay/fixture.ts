import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { pino } from 'pino';
import { makeKeyAndCsr } from '#agent/identity/csr.ts';
import type { Identity } from '#agent/identity/identity.ts';
import type { DashboardDoor } from '#agent/relay/tunnel.ts';
import { RelayTunnels } from '#agent/relay/tunnels.ts';
import type { FleetKeys } from '#fleet/keys/fleet-keys.ts';
import { openFleetKeys } from '#fleet/keys/fleet-keys.ts';
import type { RelayOptions, RelayParts } from '#fleet/relay/relay.ts';
import { Relay } from '#fleet/relay/relay.ts';
import { RELAY_ENVIRONMENT } from '#fleet/relay/windows.ts';
import type { FleetDatabase } from '#fleet/testing/fleet-database.ts';
import { addBox, fleetDatabase } from '#fleet/testing/fleet-database.ts';
import { Program } from '#local/program.ts';

const SILENT = pino({ level: process.env.HEARTH_LOG_LEVEL ?? 'silent' });

export interface RelayRig {
  database: FleetDatabase;
  keys: FleetKeys;
  /** @param over.own options of its own name and certificate */
  relay(
    over?: Partial<RelayParts> & {
      drainMs?: number;
      own?: Pick<RelayOptions, 'ownTls' | 'webuiDir'>;
    },
  ): Promise<Relay>;
  /** A relay in a process of its own, as a fleet runs it. */
  relayProcess(
    env?: Record<string, string>,
  ): Promise<{ pid: number; tunnelUrl: string; publicUrl: string; program: Program }>;
  /** A box enrolled at the fleet; it serves `onRequest` to whoever comes through a relay. */
  box(serve?: Partial<BoxServing>): Promise<RigBox>;
}

export interface BoxServing {
  onRequest: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, client: string) => void;
  onConnection: ((connection: Duplex, client: string) => void) | null;
  onDashboard: DashboardDoor;
}

export interface RigBox {
  id: string;
  identity: Identity;
  tunnels: RelayTunnels;
}

/** Answers with these bytes, 20 kB every ten milliseconds. */
export function sendSlowly(stream: ServerHttp2Stream, bytes: Buffer): void {
  stream.respond({ ':status': 200, 'content-length': bytes.length });
  let at = 0;
  const timer = setInterval(() => {
    if (stream.destroyed) return clearInterval(timer);
    stream.write(bytes.subarray(at, at + 20_000));
    at += 20_000;
    if (at < bytes.length) return;
    clearInterval(timer);
    stream.end();
  }, 10);
}

/** A database, the fleet's keys, and as many relays and boxes as a test wants, all ended with it. */
export async function relayRig(t: { after: (close: () => Promise<void>) => void }): Promise<RelayRig> {
  const database = await fleetDatabase();
  const keysDir = await mkdtemp(path.join(tmpdir(), 'hearth-relay-'));
  const keys = await openFleetKeys(keysDir);
  const closers: (() => Promise<unknown>)[] = [];
  t.after(async () => {
    for (const close of closers.reverse()) await close();
    await database.close();
    await rm(keysDir, { recursive: true, force: true });
  });
  return {
    database,
    keys,
    async relay({ drainMs = 0, own, ...over } = {}) {
      const options: RelayOptions = {
        ...own,
        host: '127.0.0.1',
        tunnelPort: 0,
        httpPort: 0,
        tlsPort: 0,
        names: ['127.0.0.1'],
        drainMs,
      };
      const relay = await Relay.start({
        db: database.db,
        keys,
        options,
        log: SILENT,
        elsewhere: () => null,
        boxOf: async () => null,
        ...over,
      });
      let closing: Promise<void> | null = null;
      const close = relay.close.bind(relay);
      relay.close = () => {
        closing ??= close();
        return closing;
      };
      closers.push(() => relay.close());
      return relay;
    },
    async relayProcess(env = {}) {
      const program = await Program.start({
        name: 'relay',
        args: ['fleet-server/main.ts'],
        env: {
          DATABASE_URL: database.url,
          HEARTH_KEYS_DIR: keysDir,
          HEARTH_ROLES: 'relay',
          HEARTH_RELAY_TUNNEL_PORT: '0',
          HEARTH_RELAY_PORT: '0',
          HEARTH_RELAY_TLS_PORT: '0',
          HEARTH_LOG_LEVEL: 'warn',
          ...RELAY_ENVIRONMENT,
          ...env,
        },
      });
      closers.push(() => program.stop());
      const [row] = await database.query('SELECT tunnel_url FROM relays WHERE public_url = $1', [
        program.ready.relayUrl,
      ]);
      return {
        pid: program.pid,
        tunnelUrl: String(row?.tunnel_url),
        publicUrl: String(program.ready.relayUrl),
        program,
      };
    },
    async box(serve = {}) {
      const { privateKey, csr } = await makeKeyAndCsr();
      const id = await addBox(database.db);
      const signed = await keys.ca.signBox(csr, id);
      await database.query('UPDATE boxes SET key_fingerprint = $1 WHERE id = $2', [
        signed.keyFingerprint,
        id,
      ]);
      const identity = {
        v: 1,
        boxId: id,
        certificate: signed.certificatePem,
        caCertificate: keys.ca.certificatePem,
        privateKey,
      } as Identity;
      const tunnels = new RelayTunnels({
        identity,
        nowMs: Date.now,
        log: SILENT,
        backoff: { baseMs: 50, capMs: 300 },
        onConnection: serve.onConnection ?? null,
        ...(serve.onDashboard && { onDashboard: serve.onDashboard }),
        onRequest: (stream, headers, client) => {
          if (answersHealth(id, stream, headers)) return;
          serve.onRequest?.(stream, headers, client);
        },
      });
      closers.push(() => tunnels.close());
      return { id, identity, tunnels };
    },
  };
}

/** As a box does; `id` is who it says it is. */
export function answersHealth(id: string, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean {
  const nonce = /^\/_hearth\/health\?nonce=(.*)$/.exec(headers[':path'] ?? '')?.[1];
  if (nonce === undefined) return false;
  stream.respond({ ':status': 200 });
  stream.end(JSON.stringify({ boxId: id, nonce }));
  return true;
}

/** Bytes that differ everywhere, the same for the same seed. */
export function noise(sizeBytes: number, seed = 'noise'): Buffer {
  const block = Buffer.concat(
    Array.from({ length: 2048 }, (_, n) => createHash('sha256').update(`${seed}${n}`).digest()),
  );
  const bytes = Buffer.alloc(sizeBytes);
  for (let at = 0; at < sizeBytes; at += block.length) {
    block.copy(bytes, at);
    if (at + 4 <= sizeBytes) bytes.writeUInt32BE(at, at);
  }
  return bytes;
}
