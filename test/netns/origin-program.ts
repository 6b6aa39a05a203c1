import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

/**
 * A tenant's origin on one of the machines: `node origin-program.ts <address> <bytes>` serves noise of that size under
 * every path, with ranges, on port 8000.
 */
const [address = '', size = '0'] = process.argv.slice(2);
const pieces: Buffer[] = [];
for (let n = 0; n * 32 < Number(size); n++) pieces.push(createHash('sha256').update(String(n)).digest());
const bytes = Buffer.concat(pieces).subarray(0, Number(size));
const sha256 = createHash('sha256').update(bytes).digest('hex');

const server = createServer((request, response) => {
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const from = Number(range?.[1] ?? 0);
  const to = range?.[2] ? Math.min(Number(range[2]), bytes.length - 1) : bytes.length - 1;
  response.writeHead(range ? 206 : 200, {
    'content-type': 'application/octet-stream',
    'content-length': to - from + 1,
    'accept-ranges': 'bytes',
    etag: `"${sha256}"`,
    ...(range ? { 'content-range': `bytes ${from}-${to}/${bytes.length}` } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : bytes.subarray(from, to + 1));
});
server.listen(8000, address, () => process.stdout.write(`${JSON.stringify({ sha256 })}\n`));
