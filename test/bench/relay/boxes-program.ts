import { readFileSync } from 'node:fs';
import type { ServerHttp2Stream } from 'node:http2';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { pino } from 'pino';
import { z } from 'zod';
import type { Identity } from '#agent/identity/identity.ts';
import { pour, roomFor } from '#agent/relay/pour.ts';
import { Tunnel } from '#agent/relay/tunnel.ts';
import { RelayTunnels } from '#agent/relay/tunnels.ts';
import { answersHealth } from '#test/relay/fixture.ts';

/**
 * Boxes of the relay's bench, many in one process: `node boxes-program.ts <plan.json>`. Their tunnels are the agent's, back-off
 * included; what they serve is bytes out of memory, or what an origin on this machine says over TLS.
 */
const planSchema = z.object({
  tunnelUrl: z.string(),
  /** Where clients' own TLS goes; null: nowhere. */
  securePort: z.int().nullable(),
  caCertificate: z.string(),
  privateKey: z.string(),
  boxes: z.array(z.object({ id: z.string(), certificate: z.string() })),
});
const plan = planSchema.parse(JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')));
let carried = 0;
let connected = 0;
let ended = 0;
const known = new Map<string, number>();
/** Dials that failed, by their reason: what the boxes warn of. */
const failed: Record<string, number> = {};
const log = pino(
  { level: 'warn' },
  {
    write(line: string) {
      const { reason } = JSON.parse(line) as { reason?: string };
      const why = String(reason).split(': ').at(-1) ?? '';
      failed[why] = (failed[why] ?? 0) + 1;
    },
  },
);
const PIECE = Buffer.alloc(256 * 1024, 7);

function serve(stream: ServerHttp2Stream, bytes: number): void {
  stream.respond({ ':status': 200, 'content-length': bytes });
  let left = bytes;
  const more = () => {
    while (left > 0) {
      const piece = left < PIECE.length ? PIECE.subarray(0, left) : PIECE;
      left -= piece.length;
      if (!stream.write(piece)) break;
    }
    if (left === 0) stream.end();
    else stream.once('drain', more);
  };
  more();
}

/**
 * Dials under way in this process. The boxes here share a core that they would have for themselves elsewhere: all at
 * once they would give up before it came to them, and begin anew, without end.
 */
const AT_ONCE = 16;
let dialling = 0;
const turns: (() => void)[] = [];

const dialInTurn: typeof Tunnel.dial = async (...args) => {
  if (dialling >= AT_ONCE) await new Promise<void>((resolve) => turns.push(resolve));
  dialling++;
  try {
    return await Tunnel.dial(...args);
  } finally {
    dialling--;
    turns.shift()?.();
  }
};

function begin({ id, certificate }: { id: string; certificate: string }): void {
  const { caCertificate, privateKey, securePort } = plan;
  const tunnels = new RelayTunnels({
    identity: { v: 1, boxId: id, certificate, caCertificate, privateKey } as Identity,
    nowMs: Date.now,
    log,
    dial: dialInTurn,
    onRequest: (stream, headers) => {
      if (answersHealth(id, stream, headers)) return;
      serve(stream, Number(/^\/(\d+)/.exec(headers[':path'] ?? '')?.[1] ?? 0));
    },
    onConnection:
      securePort === null
        ? null
        : (connection) => {
            const origin = net.connect({ port: securePort, host: '127.0.0.1', noDelay: true });
            origin.on('error', () => connection.destroy());
            connection.on('error', () => origin.destroy());
            connection.pipe(origin);
            carried++;
            origin.once('close', () => carried--);
            pour(origin, connection, () => roomFor(carried));
          },
    onChange: () => {
      const now = tunnels.connected.length;
      connected += now - (known.get(id) ?? 0);
      if (now === 0) ended++;
      known.set(id, now);
    },
  });
  tunnels.use([plan.tunnelUrl]);
}

for (const box of plan.boxes) begin(box);
// How it stands, each time a line comes; and the end when nobody asks any more.
for await (const _ of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify({ connected, ended, failed })}\n`);
}
process.exit(0);
