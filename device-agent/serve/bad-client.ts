import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { errnoOf } from '#agent/durable/durable-file.ts';
import type { Turns } from './turns.ts';

const SAID: Record<string, string> = {
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Content Too Large',
};

/**
 * Ends a connection on which no request can be read any more. Those read before it are answered first: what comes
 * after a request that said it was the last (RFC 9112 section 9.6) does not take that one's answer away.
 */
export function answerBadClient(error: Error, socket: Duplex, turns: Turns): void {
  const code = errnoOf(error);
  if (code !== 'ECONNRESET' && turns.atEnd(socket, () => (socket as Socket).destroySoon())) return;
  if (socket.writable && code !== 'ECONNRESET') {
    socket.write(
      `HTTP/1.1 ${SAID[code] ?? '400 Bad Request'}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
    );
  }
  socket.destroy();
}
