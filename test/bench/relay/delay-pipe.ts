import { connect, createServer, type Socket } from 'node:net';

/**
 * A line that is long, for machines whose kernel has no `tc netem`: `node delay-pipe.ts <to port> <ms each way>` takes
 * TCP connections, and passes every byte on that much later, either way. Its two halves are on loopback, so TCP itself
 * sees no delay: what shows is what a program's own windows and round trips cost, not TCP's slow start.
 */
const [toPort = 0, delayMs = 0] = process.argv.slice(2).map(Number);
/** What may be under way in one direction: 1.6 GB/s at 20 ms. */
const MOST_BYTES = 32 * 1024 * 1024;

function carry(from: Socket, to: Socket): void {
  const line: { dueMs: number; piece: Buffer | null }[] = [];
  let bytes = 0;
  let timer: NodeJS.Timeout | null = null;
  const arrive = () => {
    timer = null;
    const now = performance.now();
    to.cork();
    for (let first = line[0]; first && first.dueMs <= now; first = line[0]) {
      line.shift();
      if (first.piece === null) to.end();
      else {
        bytes -= first.piece.length;
        to.write(first.piece);
      }
    }
    to.uncork();
    if (bytes < MOST_BYTES && to.writableLength < MOST_BYTES) from.resume();
    const next = line[0];
    if (next) timer = setTimeout(arrive, Math.max(0, next.dueMs - now));
  };
  const put = (piece: Buffer | null) => {
    line.push({ dueMs: performance.now() + delayMs, piece });
    bytes += piece?.length ?? 0;
    if (bytes >= MOST_BYTES) from.pause();
    if (!timer) timer = setTimeout(arrive, delayMs);
  };
  from.on('data', put);
  from.on('end', () => put(null));
  from.on('error', () => to.destroy());
  from.on('close', () => {
    if (from.errored) to.destroy();
  });
  to.on('drain', () => {
    if (bytes < MOST_BYTES) from.resume();
  });
}

const server = createServer({ noDelay: true, allowHalfOpen: true }, (near) => {
  const far = connect({ port: toPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  carry(near, far);
  carry(far, near);
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.stdout.write(`${typeof address === 'object' && address ? address.port : 0}\n`);
});
