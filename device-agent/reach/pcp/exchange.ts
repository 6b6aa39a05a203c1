import type { Socket } from 'node:dgram';
import { createSocket } from 'node:dgram';
import type { Gateway } from '../mapping.ts';
import { MappingError } from '../mapping.ts';
import { SERVER_PORT } from './codec.ts';
import type { Waits } from './timers.ts';

/** Answers read for one request; a router that sends more than this of anything is not listened to any longer. */
const MOST_ANSWERS = 64;

/**
 * Asks a router by UDP, again and again as `waits` say, until `read` takes an answer. The socket is connected, so
 * that the kernel drops what comes from anyone else (RFC 6887 section 8.3) and tells of closed ports.
 * @param read null: this is no answer, go on listening
 * @throws MappingError `no_answer`, `not_offered`, `bad_answer`; AbortError
 */
export async function ask<T>(
  gateway: Gateway,
  packet: Buffer,
  read: (answer: Buffer) => T | null,
  waits: Waits,
  signal: AbortSignal,
  port = SERVER_PORT,
): Promise<T> {
  signal.throwIfAborted();
  const socket = createSocket({ type: gateway.family === 'ipv4' ? 'udp4' : 'udp6' });
  try {
    await connect(socket, gateway, port);
    signal.throwIfAborted();
    return await converse(socket, packet, read, waits, signal);
  } finally {
    socket.close();
  }
}

function connect(socket: Socket, gateway: Gateway, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: unknown) =>
      reject(new MappingError('no_gateway', `cannot send to ${gateway.address}: ${String(error)}`));
    socket.once('error', failed);
    // PCP compares the packet's source with the address the request names (section 8.1).
    socket.bind({ address: gateway.local, port: 0, exclusive: true }, () => {
      try {
        socket.connect(port, gateway.address, (error?: Error) => {
          socket.off('error', failed);
          if (error) failed(error);
          else resolve();
        });
      } catch (error) {
        failed(error);
      }
    });
  });
}

function converse<T>(
  socket: Socket,
  packet: Buffer,
  read: (answer: Buffer) => T | null,
  waits: Waits,
  signal: AbortSignal,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    let sent = 0;
    let heard = 0;
    const end = (act: () => void) => {
      clearTimeout(timer);
      socket.removeAllListeners('message');
      signal.removeEventListener('abort', aborted);
      act();
    };
    const fail = (error: Error) => end(() => reject(error));
    const aborted = () => fail(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    const send = () => {
      const wait = waits[sent++];
      if (wait === undefined) {
        return fail(
          heard > 0
            ? new MappingError('bad_answer', `${heard} packets came back that are no answer`)
            : new MappingError('no_answer', 'nothing came back'),
        );
      }
      timer = setTimeout(send, wait);
      socket.send(packet, (error) => {
        // A full queue or a route that is just changing; the next sending may get through.
        if (error && (error as NodeJS.ErrnoException).code === 'ECONNREFUSED') refused();
      });
    };
    const refused = () => fail(new MappingError('not_offered', 'nobody listens there'));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') refused();
    });
    socket.on('message', (answer) => {
      if (++heard > MOST_ANSWERS) return fail(new MappingError('bad_answer', 'too many packets came back'));
      let taken: T | null;
      try {
        taken = read(answer);
      } catch (error) {
        return fail(error instanceof Error ? error : new Error(String(error)));
      }
      if (taken !== null) end(() => resolve(taken));
    });
    signal.addEventListener('abort', aborted, { once: true });
    send();
  });
}
