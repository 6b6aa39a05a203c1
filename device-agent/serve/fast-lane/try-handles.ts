import { once } from 'node:events';
import type { Socket } from 'node:net';
import net from 'node:net';
import { HandleWire } from './handle-wire.ts';
import type { Handles } from './handles.ts';
import { findHandles, handleOf } from './handles.ts';

/** A trial that has not come to its end by then has failed; nobody waits for it. Ms. */
const PATIENCE_MS = 30_000;
/** More than the kernel keeps for one connection whose client does not read, bytes. */
const MOST_UNREAD = 64 * 1024 * 1024;
const BLOCK = Buffer.alloc(64 * 1024, 'hearth');

let tried: Promise<Handles | null> | null = null;

/**
 * What connections can be driven by below `net.Socket`, once all of it that is used was seen to work on a connection of
 * this process to itself: reading, writing one buffer and several, writes the kernel does not take at once, the end,
 * and giving the socket back. Tried once; null where anything was otherwise, and then sockets are driven as Node
 * documents them.
 */
export function tryHandles(): Promise<Handles | null> {
  tried ??= attempt(findHandles());
  return tried;
}

/** As `tryHandles`, with these. @param patienceMs what has not come to its end by then has failed */
export async function attempt(handles: Handles | null, patienceMs = PATIENCE_MS): Promise<Handles | null> {
  if (!handles) return null;
  const server = net.createServer({ allowHalfOpen: true });
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort(), patienceMs);
  let client: Socket | null = null;
  let taken: Socket | null = null;
  try {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening', giveUp);
    const address = server.address();
    if (address === null || typeof address === 'string') return null;
    const connected = once(server, 'connection', giveUp);
    client = net.connect({ port: address.port, host: '127.0.0.1', allowHalfOpen: true });
    client.on('error', () => giveUp.abort());
    const [[socket]] = (await Promise.all([connected, once(client, 'connect', giveUp)])) as [
      [Socket],
      unknown,
    ];
    taken = socket;
    return (await holds(handles, taken, client, giveUp)) ? handles : null;
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
    client?.destroy();
    taken?.destroy();
    server.close();
  }
}

async function holds(
  handles: Handles,
  socket: Socket,
  client: Socket,
  { signal }: AbortController,
): Promise<boolean> {
  const handle = handleOf(socket);
  if (!handle) return false;
  const seen = new EventTarget();
  const next = (name: string) => once(seen, name, { signal });
  const told: string[] = [];
  const tell = (name: string) => {
    told.push(name);
    seen.dispatchEvent(new Event(name));
  };
  const wire = new HandleWire(
    handles,
    handle,
    socket,
    {
      onBytes: (buffer, length) => tell(buffer.toString('latin1', 0, length)),
      onSent: () => tell('sent'),
      onEnd: () => tell('end'),
      onStalled: () => undefined,
      onClose: () => undefined,
    },
    PATIENCE_MS,
  );
  // Read; written at once, in one buffer and in two, of another length than what is read.
  const read = next('some');
  client.write('some');
  if (!wire.send([Buffer.from('a')]) || !wire.send([Buffer.from('b'), Buffer.from('c')])) return false;
  await read;
  if (!(await receives(client, 3, Buffer.from('abc'), signal))) return false;
  // Written until the kernel takes no more, and then on.
  const sent = next('sent');
  let unread = 0;
  for (let isTaken = true; isTaken; unread += BLOCK.length) {
    if (unread > MOST_UNREAD) return false;
    isTaken = wire.send([BLOCK]);
  }
  if (handle.writeQueueSize === 0 || told.includes('sent')) return false;
  if (!(await receives(client, unread, BLOCK, signal))) return false;
  await sent;
  if (handle.writeQueueSize !== 0) return false;
  // What comes too early is kept, and comes again.
  const again = next('two');
  wire.keep(Buffer.from('two'), 3);
  wire.resume();
  await again;
  // Given back, the socket reads and ends as ever.
  const given = wire.release();
  const data = once(given, 'data', { signal });
  const end = once(given, 'end', { signal });
  client.end('three');
  const [bytes] = (await data) as [Buffer];
  await end;
  return bytes.toString() === 'three';
}

/** Whether the next so many bytes are this pattern, again and again. */
async function receives(
  socket: Socket,
  bytes: number,
  pattern: Buffer,
  signal: AbortSignal,
): Promise<boolean> {
  let at = 0;
  let isRight = true;
  const twice = Buffer.concat([pattern, pattern]);
  const compare = (piece: Buffer) => {
    // Not byte by byte: a loop over megabytes is compiled, and the compiler's pages are 5 MB of an idle box.
    for (let from = 0; from < piece.length; from += pattern.length) {
      const to = Math.min(from + pattern.length, piece.length);
      const offset = (at + from) % pattern.length;
      isRight &&= twice.compare(piece, from, to, offset, offset + to - from) === 0;
    }
    at += piece.length;
    if (at >= bytes) socket.emit('received');
  };
  const received = once(socket, 'received', { signal });
  socket.on('data', compare).resume();
  await received;
  socket.pause().off('data', compare);
  return isRight && at === bytes;
}
