import { createServer } from 'node:net';

/** True when `port` can be listened on at `host`. */
export async function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return (await tryListen(port, host)) !== null;
}

/** A port that was free a moment ago; the caller must cope with losing the race for it. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const port = await tryListen(0, host);
  if (port === null) throw new Error(`no free port at ${host}`);
  return port;
}

/** The first free port from `from` on, skipping those in `taken`. */
export async function nextFreePort(from: number, taken: ReadonlySet<number>, host: string): Promise<number> {
  for (let port = from; port < Math.min(from + 1000, 65_536); port++) {
    if (!taken.has(port) && (await isPortFree(port, host))) return port;
  }
  throw new Error(`no free port from ${from} to ${Math.min(from + 999, 65_535)} at ${host}`);
}

function tryListen(port: number, host: string): Promise<number | null> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(null));
    server.listen({ port, host, exclusive: true }, () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address ? address.port : null));
    });
  });
}
