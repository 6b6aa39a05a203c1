import type { ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import { diskTurns } from '#agent/store/disk-turns.ts';
import { placeOf } from '#agent/store/object-file.ts';
import type { Buffers } from './buffers.ts';
import type { OpenFile } from './open-files.ts';
import { readError } from './open-files.ts';

/** How a body ended. */
export type SendEnd = 'sent' | 'client_gone' | 'read_failed' | 'damaged';

/**
 * Hands bytes to the response and waits until the kernel has them.
 * @returns false when the client is gone; the bytes may then be in use still
 */
export function writeAndWait(response: ServerResponse, bytes: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    if (response.destroyed || response.socket?.destroyed) return resolve(false);
    const gone = () => resolve(false);
    response.once('close', gone);
    response.write(bytes, (error) => {
      response.removeListener('close', gone);
      resolve(!error);
    });
  });
}

/**
 * Sends bytes as the last of a response: head and body in one system call when the socket is free.
 * @returns false when the client is gone before the kernel has them all
 */
export function endAndWait(response: ServerResponse, bytes: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    if (response.destroyed || response.socket?.destroyed) return resolve(false);
    response.once('close', () => resolve(response.writableFinished || isSentStream(response)));
    response.end(bytes);
  });
}

/** A stream of HTTP/2 closes without ever saying that it has finished: it has unless either side broke it off. */
function isSentStream(response: object): boolean {
  const { aborted, rstCode } = response as Partial<Pick<ServerHttp2Stream, 'aborted' | 'rstCode'>>;
  return rstCode === 0 && aborted === false;
}

/** The bare call: a FileHandle's read costs several promises more, and this runs for every piece sent. */
function readInto(fd: number, buffer: Buffer, length: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    diskTurns().read(fd, buffer, 0, length, position, (error, bytesRead) =>
      error ? reject(error) : resolve(bytesRead),
    );
  });
}

/**
 * Sends a slice of a file, one piece under way at a time: the next is read when the kernel has taken the last,
 * so a slow client holds one buffer. A read that fails or comes up short, or damage found meanwhile, cuts the
 * connection: a response is never padded, and no byte goes out that is known to be doubtful. To end the response
 * when all is sent is the caller's.
 * @param onBytes told of each piece the kernel took
 * @param buffers where pieces come from; `responses` says how many share them
 */
export async function sendSlice(
  response: ServerResponse,
  file: OpenFile,
  span: { start: number; end: number },
  buffers: { pool: Buffers; responses: () => number },
  onBytes: (bytes: number) => void,
): Promise<{ end: SendEnd; error: unknown }> {
  let at = span.start;
  while (at < span.end) {
    const buffer = buffers.pool.take(buffers.responses());
    const length = Math.min(buffer.length, span.end - at);
    let bytesRead: number;
    try {
      const { fd, position, lengthBytes } = placeOf(file.handle, at);
      bytesRead = await readInto(fd, buffer, Math.min(length, lengthBytes), position);
      if (bytesRead === 0) throw new Error('the file is shorter than it should be');
    } catch (error) {
      buffers.pool.give(buffer);
      response.destroy();
      return { end: 'read_failed', error: readError(file, error) };
    }
    if (file.damaged) {
      buffers.pool.give(buffer);
      response.destroy();
      return { end: 'damaged', error: null };
    }
    // Without the callback's word the kernel may still read the buffer: it is then left to the collector.
    if (!(await writeAndWait(response, buffer.subarray(0, bytesRead)))) {
      response.destroy();
      return { end: 'client_gone', error: null };
    }
    buffers.pool.give(buffer);
    at += bytesRead;
    onBytes(bytesRead);
  }
  return { end: 'sent', error: null };
}
