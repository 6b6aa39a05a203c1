import type { Socket } from 'node:net';
import { connect } from 'node:net';
import tls from 'node:tls';
import type { LoadPlan, LoadResult } from './load-plan.ts';
import { loadPlanSchema } from './load-plan.ts';

/**
 * The load of the benches, a process of its own so that it can be given a core of its own:
 * `node test/bench/load.ts '<json>'`. Keep-alive HTTP/1.1 over raw sockets, one request at a time on each
 * connection, as cheap as Node can do it. Prints a JSON line when measuring begins and one with the result.
 */
const HEAD_END = Buffer.from('\r\n\r\n');

class Load {
  private readonly plan: LoadPlan;
  private measuring = false;
  private over = false;
  private requests = 0;
  private bytes = 0;
  private errors = 0;
  private firstError: string | null = null;
  private readonly latencies: number[] = [];

  constructor(plan: LoadPlan) {
    this.plan = plan;
  }

  async run(): Promise<LoadResult> {
    for (let index = 0; index < this.plan.connections; index++) this.open(index);
    await new Promise((done) => setTimeout(done, this.plan.warmupMs));
    process.stdout.write('{"measuring":true}\n');
    this.measuring = true;
    const from = performance.now();
    await new Promise((done) => setTimeout(done, this.plan.measureMs));
    const measuredMs = performance.now() - from;
    this.measuring = false;
    this.over = true;
    const sorted = this.latencies.sort((a, b) => a - b);
    const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
    const { requests, bytes, errors, firstError } = this;
    return { requests, bytes, measuredMs, p50Ms: at(0.5), p99Ms: at(0.99), errors, firstError };
  }

  private connect(take: (data: Buffer) => void): Socket {
    return connect({
      port: this.plan.port,
      host: '127.0.0.1',
      // One buffer for each connection, whatever comes: the load must not be the bottleneck.
      onread: {
        buffer: Buffer.allocUnsafe(256 * 1024),
        callback: (size, buffer) => {
          take(Buffer.from(buffer.buffer, buffer.byteOffset, size));
          return true;
        },
      },
    });
  }

  private connectSecurely(take: (data: Buffer) => void): Socket {
    const socket = tls.connect({
      port: this.plan.port,
      host: '127.0.0.1',
      servername: this.plan.serverName ?? 'localhost',
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_128_GCM_SHA256',
      ALPNProtocols: ['http/1.1'],
    });
    socket.on('data', take);
    return socket;
  }

  private open(index: number): void {
    const { host, paths, expectStatus, expectBytes } = this.plan;
    const text = Buffer.from(
      `GET ${paths[index % paths.length]} HTTP/1.1\r\nHost: ${host}\r\nAccept-Encoding: identity\r\n\r\n`,
    );
    let head = Buffer.alloc(0);
    /** Body bytes still to come; -1 while the head is read. */
    let left = -1;
    let closing = false;
    let sentAt = 0;
    let failed = false;
    const fail = (why: string) => {
      if (this.over || failed) return;
      failed = true;
      this.errors += 1;
      this.firstError ??= why;
      socket.destroy();
    };
    const ask = () => {
      left = -1;
      sentAt = performance.now();
      socket.write(text);
    };
    const finished = () => {
      if (this.measuring) {
        this.requests += 1;
        if (this.latencies.length < 2_000_000) this.latencies.push(performance.now() - sentAt);
      }
      if (closing) socket.end();
      else ask();
    };
    const take = (data: Buffer): void => {
      if (left < 0) {
        takeHead(data);
        return;
      }
      if (this.measuring) this.bytes += data.length;
      left -= data.length;
      if (left < 0) fail('more bytes than promised');
      if (left === 0) finished();
    };
    const takeHead = (data: Buffer): void => {
      const bytes = head.length === 0 ? data : Buffer.concat([head, data]);
      const end = bytes.indexOf(HEAD_END);
      if (end < 0) {
        // The socket's buffer is used again: what is kept must be a copy.
        head = Buffer.from(bytes);
        if (head.length > 16_384) fail('no end of the response head');
        return;
      }
      head = Buffer.alloc(0);
      const lines = bytes.toString('latin1', 0, end);
      const status = Number(lines.slice(9, 12));
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(lines)?.[1] ?? 0);
      if (status !== expectStatus) fail(`status ${status}: ${lines.slice(0, 300)}`);
      else if (/\r\ntransfer-encoding:/i.test(lines)) fail('a chunked response');
      else if (expectBytes !== null && length !== expectBytes) fail(`${length} bytes promised`);
      if (failed) return;
      closing = /\r\nconnection: *close/i.test(lines);
      left = length;
      const body = bytes.subarray(end + HEAD_END.length);
      if (left === 0) finished();
      else if (body.length > 0) take(body);
    };
    const socket: Socket = this.plan.secure ? this.connectSecurely(take) : this.connect(take);
    socket.setNoDelay(true);
    socket.on(this.plan.secure ? 'secureConnect' : 'connect', ask);
    socket.on('error', (error) => fail(error.message));
    socket.on('close', () => {
      if (this.over) return;
      if (!closing && !failed) fail('the connection was closed');
      // A server may close after so many requests; a client opens another.
      if (closing) this.open(index);
    });
  }
}

const plan = loadPlanSchema.parse(JSON.parse(process.argv[2] ?? ''));
const result = await new Load(plan).run();
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
