import { readFileSync } from 'node:fs';
import type { ServerHttp2Stream } from 'node:http2';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Identity } from '#agent/identity/identity.ts';
import { pour, roomFor } from '#agent/relay/pour.ts';
import { Tunnel } from '#agent/relay/tunnel.ts';
import { answersHealth } from '#test/relay/fixture.ts';

/**
 * Boxes of the relay's bench, many in one process: `node boxes-program.ts <plan.json>`. Their tunnels are the agent's;
 * what they serve is bytes out of memory, or what an origin on this machine says over TLS.
 */
const planSchema = z.object({
  tunnelUrl: z.string(),
  /** Where clients' own TLS goes; null: nowhere. */
  securePort: z.int().nullable(),
  caCertificate: z.string(),
  privateKey: z.string(),
  boxes: z.array(z.object({ id: z.string(), certificate: z.string() })),
  /** Boxes that dial at once. */
  atOnce: z.int(),
});
const plan = planSchema.parse(JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')));
let lost = 0;
let carried = 0;
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

async function dial({ id, certificate }: { id: string; certificate: string }): Promise<void> {
  const { caCertificate, privateKey, securePort } = plan;
  const tunnel = await Tunnel.dial(
    plan.tunnelUrl,
    {
      identity: { v: 1, boxId: id, certificate, caCertificate, privateKey } as Identity,
      nowMs: Date.now,
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
    },
    new AbortController().signal,
  );
  void tunnel.closed.then(() => {
    // A bench of idle boxes that are gone would say nothing.
    if (lost++ === 0)
      process.stderr.write(`the relay ended a connection after ${Math.round(performance.now())} ms\n`);
  });
}

const queue = [...plan.boxes];
let retries = 0;
await Promise.all(
  Array.from({ length: plan.atOnce }, async () => {
    for (let box = queue.pop(); box; box = queue.pop()) {
      await dial(box).catch(async (error: unknown) => {
        // As a box does, that comes again later.
        if (retries++ === 0) process.stderr.write(`${String(error)}; it dials again\n`);
        await sleep(1_000 + Math.random() * 4_000);
        if (box) queue.unshift(box);
      });
    }
  }),
);
process.stdout.write(`${JSON.stringify({ dialled: plan.boxes.length, retries })}\n`);
