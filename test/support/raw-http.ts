import { connect } from 'node:net';

export interface RawAnswer {
  status: number;
  /** Names in lower case. */
  headers: Record<string, string>;
  body: Buffer;
}

/** Sends bytes as they are, which no HTTP client would, and reads what comes until the connection ends. */
export function rawExchange(port: number, request: string | Buffer, timeoutMs = 10_000): Promise<Buffer> {
  return new Promise((done, fail) => {
    const parts: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(request));
    socket.setTimeout(timeoutMs, () => socket.destroy());
    socket.on('data', (data) => parts.push(data));
    socket.on('close', () => done(Buffer.concat(parts)));
    socket.on('error', (error) => {
      // A server may cut off what it does not want to read.
      if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') fail(error);
    });
  });
}

/** One request with this very target. @returns null when the server closed without an answer */
export async function rawGet(
  port: number,
  target: string,
  headers: Record<string, string> = {},
): Promise<RawAnswer | null> {
  const lines = Object.entries({ host: '127.0.0.1', connection: 'close', ...headers }).map(
    ([n, v]) => `${n}: ${v}`,
  );
  const bytes = await rawExchange(
    port,
    Buffer.from(`GET ${target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`, 'latin1'),
  );
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const [first = '', ...rest] = bytes.toString('latin1', 0, end).split('\r\n');
  return {
    status: Number(first.split(' ')[1]),
    headers: Object.fromEntries(
      rest.map((line) => [
        line.slice(0, line.indexOf(':')).toLowerCase(),
        line.slice(line.indexOf(':') + 1).trim(),
      ]),
    ),
    body: bytes.subarray(end + 4),
  };
}
