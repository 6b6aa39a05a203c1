import { connect } from 'node:net';
import type { SlowPlan, SlowResult } from './load-plan.ts';
import { slowPlanSchema } from './load-plan.ts';

/**
 * The load of the `slow` bench, a process of its own: clients that read so many bytes a second and no more, each
 * asking for one large object, and new clients now and then that look how long the first byte takes.
 * `node test/bench/slow-load.ts '<json>'`
 */
const TICK_MS = 100;
const READ_BYTES = 16 * 1024;
const PROBES_PER_SECOND = 20;
const MOST_PROBES = 10;

class SlowLoad {
  private readonly plan: SlowPlan;
  private measuring = false;
  private over = false;
  private bytes = 0;
  private errors = 0;
  private firstError: string | null = null;
  private readonly firstBytes: number[] = [];
  /** Lets every slow client read on. */
  private readonly ticks: (() => void)[] = [];
  private nextPath = 0;
  private probing = 0;

  constructor(plan: SlowPlan) {
    this.plan = plan;
  }

  async run(): Promise<SlowResult> {
    const { clients, rampMs, measureMs } = this.plan;
    const perTick = Math.ceil((clients * TICK_MS) / rampMs);
    const pacer = setInterval(() => {
      for (const tick of this.ticks) tick();
      for (let n = 0; n < perTick && this.ticks.length < clients; n++) this.openSlow();
    }, TICK_MS);
    await wait(rampMs + 1_000);
    process.stdout.write('{"measuring":true}\n');
    this.measuring = true;
    const from = performance.now();
    const prober = setInterval(() => this.probe(), 1_000 / PROBES_PER_SECOND);
    await wait(measureMs);
    clearInterval(prober);
    const measuredMs = performance.now() - from;
    this.over = true;
    clearInterval(pacer);
    const sorted = this.firstBytes.sort((a, b) => a - b);
    const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
    const { bytes, errors, firstError } = this;
    return {
      bytes,
      measuredMs,
      firstByteP50Ms: at(0.5),
      firstByteP99Ms: at(0.99),
      answers: sorted.length,
      errors,
      firstError,
    };
  }

  private openSlow(): void {
    const perTick = (this.plan.bytesPerSecond * TICK_MS) / 1_000;
    let allowance = perTick;
    const socket = this.ask((size) => {
      if (this.measuring && !this.over) this.bytes += size;
      allowance -= size;
      return allowance > 0;
    });
    this.ticks.push(() => {
      const wasOut = allowance <= 0;
      allowance = Math.min(perTick, allowance + perTick);
      if (wasOut && allowance > 0) socket.resume();
    });
  }

  /** A client that is only after the first byte. */
  private probe(): void {
    if (this.probing >= MOST_PROBES) return;
    this.probing++;
    const socket = this.ask(() => {
      socket.destroy();
      return true;
    });
    socket.once('close', () => this.probing--);
  }

  /** @param take is told how much came; false: no more for now */
  private ask(take: (size: number) => boolean) {
    const { port, host, paths } = this.plan;
    const path = paths[this.nextPath++ % paths.length];
    let askedAt = 0;
    let answered = false;
    const socket = connect({
      port,
      host: '127.0.0.1',
      onread: {
        buffer: Buffer.allocUnsafe(READ_BYTES),
        callback: (size, buffer) => {
          if (!answered) {
            answered = true;
            this.firstBytes.push(performance.now() - askedAt);
            const status = Buffer.from(buffer.buffer, buffer.byteOffset, 12).toString('latin1');
            if (status !== 'HTTP/1.1 200') this.fail(status);
          }
          return take(size);
        },
      },
    });
    socket.on('connect', () => {
      askedAt = performance.now();
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    });
    socket.on('error', (error) => this.fail(error.message));
    socket.on('end', () => this.fail('the connection was closed'));
    return socket;
  }

  private fail(why: string): void {
    if (this.over) return;
    this.errors += 1;
    this.firstError ??= why;
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

const plan = slowPlanSchema.parse(JSON.parse(process.argv[2] ?? ''));
const result = await new SlowLoad(plan).run();
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
