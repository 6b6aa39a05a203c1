import { readFileSync } from 'node:fs';
import type { AddressInfo, Socket } from 'node:net';
import net from 'node:net';
import tls from 'node:tls';
import { HandleWire } from '#agent/serve/fast-lane/handle-wire.ts';
import { handleOf } from '#agent/serve/fast-lane/handles.ts';
import { tryHandles } from '#agent/serve/fast-lane/try-handles.ts';

/**
 * The least a Node process can do to answer a GET from memory: no token, no catalog, no count, no bound. What it takes
 * of the CPU nothing written for Node goes below. Asked for `/c/<token>/...` it does besides what every answer with a
 * token is to have and no more: the token is known and has not run out, the head asks for no range, and the bytes are
 * counted. Arguments: certificate and key (PEM files). Prints its ports.
 */
const [cert = '', key = ''] = process.argv.slice(2);
const END_OF_HEAD = Buffer.from('\r\n\r\n');
const answers = new Map<string, Buffer[]>();

/** Tokens seen; a box verifies one when it first comes. */
const known = new Map<string, { expiresAtMs: number; sentBytes: number }>();

/** As `/bench/65536.bin` asks. */
function answerTo(request: Buffer, length: number): Buffer[] {
  const path = request.toString('latin1', 4, Math.min(length, 60)).split(' ', 1)[0] ?? '';
  return path.startsWith('/c/') ? answerToToken(request.toString('latin1', 0, length)) : answerFor(path);
}

function answerFor(path: string): Buffer[] {
  let answer = answers.get(path);
  if (!answer) {
    const bytes = Number(/(\d+)\.bin$/.exec(path)?.[1] ?? 0);
    const head = `HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: ${bytes}\r\n\r\n`;
    answer = [Buffer.from(head), Buffer.alloc(bytes, 1)];
    answers.set(path, answer);
  }
  return answer;
}

/** As `/c/<token>/<site>/bench/65536.bin` asks. */
function answerToToken(head: string): Buffer[] {
  const tokenEnd = head.indexOf('/', 7);
  const token = head.slice(7, tokenEnd);
  let entitlement = known.get(token);
  if (!entitlement) {
    entitlement = { expiresAtMs: Date.now() + 3_600_000, sentBytes: 0 };
    known.set(token, entitlement);
  }
  const targetEnd = head.indexOf(' ', tokenEnd);
  const isWhole = head.indexOf('\r\nrange:') < 0 && head.indexOf('\r\nRange:') < 0;
  if (entitlement.expiresAtMs < Date.now() || !isWhole) return answerFor('/none');
  const answer = answerFor(head.slice(tokenEnd, targetEnd));
  entitlement.sentBytes += answer[1]?.length ?? 0;
  return answer;
}

const handles = await tryHandles();

function byHandle(socket: Socket): void {
  const handle = handleOf(socket);
  if (!handles || !handle) {
    bySocket(socket);
    return;
  }
  const wire: HandleWire = new HandleWire(
    handles,
    handle,
    socket,
    {
      onBytes: (buffer, length) => {
        if (buffer.subarray(0, length).includes(END_OF_HEAD)) wire.send(answerTo(buffer, length));
      },
      onSent: () => undefined,
      onEnd: () => socket.destroy(),
      onStalled: () => undefined,
      onClose: () => undefined,
    },
    60_000,
  );
}

function bySocket(socket: Socket): void {
  socket.on('error', () => socket.destroy());
  socket.on('data', (piece) => {
    if (!piece.includes(END_OF_HEAD)) return;
    socket.cork();
    for (const part of answerTo(piece, piece.length)) socket.write(part);
    socket.uncork();
  });
}

const servers = [
  net.createServer({ noDelay: true }, byHandle),
  tls.createServer({ cert: readFileSync(cert), key: readFileSync(key), minVersion: 'TLSv1.3' }, bySocket),
];
const ports = await Promise.all(
  servers.map(
    (server) =>
      new Promise<number>((done) => {
        server.listen(0, '127.0.0.1', () => done((server.address() as AddressInfo).port));
      }),
  ),
);
console.log(JSON.stringify(ports));
