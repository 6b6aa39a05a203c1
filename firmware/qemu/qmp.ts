import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { HearthError, messageOf } from '#protocol/errors.ts';

const answerSchema = z.object({
  id: z.number().optional(),
  return: z.unknown().optional(),
  error: z.object({ desc: z.string() }).optional(),
  event: z.string().optional(),
  data: z.record(z.string(), z.unknown()).optional(),
});
type Answer = z.infer<typeof answerSchema>;

const ANSWER_MS = 20_000;

/** QEMU's monitor in its JSON form (QEMU Machine Protocol): one command at a time, and events. */
export class Qmp {
  private readonly socket: Socket;
  private readonly pending = new Map<number, (answer: Answer) => void>();
  private readonly waiting = new Set<{ event: string; device: string; done: () => void }>();
  private rest = '';
  private nextId = 1;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.take(text));
    socket.on('error', () => {});
    socket.on('close', () => {
      for (const done of this.pending.values()) done({ error: { desc: 'QEMU has ended' } });
      this.pending.clear();
    });
  }

  /** Connects as soon as QEMU has made its socket. @throws HearthError `unavailable` when it does not in time */
  static async connect(path: string, timeoutMs = 15_000): Promise<Qmp> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      try {
        const qmp = new Qmp(await open(path));
        await qmp.execute('qmp_capabilities');
        return qmp;
      } catch (error) {
        if (Date.now() > deadline) {
          throw new HearthError('unavailable', `QEMU's monitor does not answer: ${messageOf(error)}`);
        }
        await sleep(100);
      }
    }
  }

  /** @throws HearthError `unavailable` with QEMU's reason when it refuses, or ends */
  async execute(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    const id = this.nextId++;
    let timer: NodeJS.Timeout | undefined;
    const answer = await new Promise<Answer>((done) => {
      timer = setTimeout(() => done({ error: { desc: `no answer in ${ANSWER_MS} ms` } }), ANSWER_MS);
      this.pending.set(id, done);
      this.socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    });
    clearTimeout(timer);
    this.pending.delete(id);
    if (answer.error) throw new HearthError('unavailable', `QEMU refused ${command}: ${answer.error.desc}`);
    return answer.return;
  }

  /** Takes a device out and waits until the guest has let it go. */
  async unplug(device: string, timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const waiter = { event: 'DEVICE_DELETED', device, done: () => {} };
    const gone = new Promise<void>((done, fail) => {
      waiter.done = done;
      timer = setTimeout(
        () => fail(new HearthError('unavailable', `${device} is still plugged in`)),
        timeoutMs,
      );
    });
    this.waiting.add(waiter);
    try {
      await Promise.all([gone, this.execute('device_del', { id: device })]);
    } finally {
      clearTimeout(timer);
      this.waiting.delete(waiter);
    }
  }

  close(): void {
    this.socket.destroy();
  }

  private take(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.trim() === '') continue;
      const answer = answerSchema.parse(JSON.parse(line));
      if (answer.event !== undefined) this.tell(answer.event, answer.data?.device);
      else if (answer.id !== undefined) this.pending.get(answer.id)?.(answer);
    }
  }

  private tell(event: string, device: unknown): void {
    for (const waiter of this.waiting) if (waiter.event === event && waiter.device === device) waiter.done();
  }
}

function open(path: string): Promise<Socket> {
  return new Promise((done, fail) => {
    const socket = connect(path);
    socket.once('connect', () => done(socket));
    socket.once('error', fail);
  });
}
