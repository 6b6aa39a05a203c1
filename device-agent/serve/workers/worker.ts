import { writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import net from 'node:net';
import { errnoOf } from '#agent/durable/durable-file.ts';
import { compileAsUsual } from '#agent/memory/compiling.ts';
import { IdleCollector } from '#agent/memory/idle-collector.ts';
import { diskTurns } from '#agent/store/disk-turns.ts';
import { DiskLayout } from '#agent/store/layout.ts';
import type { OpenedFile } from '#agent/store/object-file.ts';
import { openObject } from '#agent/store/object-file.ts';
import { Clock } from '#agent/time/clock.ts';
import { messageOf } from '#protocol/errors.ts';
import { Client } from '../clients.ts';
import type { Visitor } from '../connections.ts';
import { VariantFiles } from '../encodings/variant-files.ts';
import { Front } from '../front.ts';
import { ServingMeter } from '../meter.ts';
import { Channel } from './channel.ts';
import type { FromWorker, Handover, Located, ToWorker, WorkerSettings } from './messages.ts';
import { RemoteDesk } from './remote-desk.ts';
import { RemoteLine } from './remote-line.ts';
import { PIPE_FD } from './spawn.ts';

/** What the kernel kills first when memory runs out: a worker is replaced, the main process is the box. */
const OOM_SCORE_ADJ = '300';
/** After the last connection was closed at a drain, what is under way with the disk may take this long, ms. */
const LAST_MS = 1_000;

/**
 * A worker: faces clients in a process of its own. The main process takes connections and hands them over, decides
 * every request, and grants every byte; without it a worker ends at once.
 */
class Worker {
  readonly #channel: Channel<FromWorker, ToWorker>;
  readonly #clock = new Clock();
  readonly #meter = new ServingMeter(this.#clock, compileAsUsual);
  readonly #line: RemoteLine;
  readonly #desk: RemoteDesk;
  readonly #sockets = new Map<number, Socket>();
  readonly #located = new Map<number, (place: Located | null) => void>();
  #lastLocate = 0;
  #front: Front | null = null;
  #settings: WorkerSettings | null = null;
  /** Resolves when TLS can be taken. */
  readonly #secured: Promise<void>;
  #onSecured: () => void = () => undefined;
  #told = { bytes: 0, lane: 0 };

  constructor(pipe: Socket) {
    const send = (message: FromWorker) => this.#channel.send(message);
    this.#line = new RemoteLine(send, () => this.#channel.wake());
    this.#desk = new RemoteDesk(send, this.#line);
    this.#secured = new Promise((resolve) => {
      this.#onSecured = resolve;
    });
    this.#channel = new Channel<FromWorker, ToWorker>(pipe, {
      message: (message) => this.#on(message),
      // Without the main process nothing may be served.
      close: () => process.exit(0),
      beforeFlush: () => this.#tally(),
    });
    process.on('disconnect', () => process.exit(0));
    process.on('message', (message, socket) => this.#take(message as Handover, socket as Socket | undefined));
    new IdleCollector({ busy: () => this.#meter.responses > 0 });
  }

  #on(message: ToWorker): void {
    switch (message[0]) {
      case 'reply':
        this.#desk.decided(message[1], message[2], message[3]);
        break;
      case 'granted':
        this.#line.granted(message[1], message[2]);
        break;
      case 'list':
        this.#desk.replies.learn(message[1], message[2]);
        break;
      case 'unlist':
        this.#desk.replies.forget();
        break;
      case 'date':
        this.#desk.dateOffsetMs = message[1];
        break;
      case 'located':
        this.#located.get(message[1])?.(message[2]);
        this.#located.delete(message[1]);
        break;
      case 'withdraw':
        this.#desk.withdraw(message[1]);
        this.#front?.withdraw(message[1], message[2]);
        break;
      case 'withdraw-all':
        this.#desk.withdraw(null);
        this.#front?.sources.clear();
        diskTurns().giveUp();
        break;
      case 'ping':
        this.#channel.send(['pong']);
        break;
      case 'begin':
        this.#begin(message[1]);
        break;
      case 'certificate':
        this.#secure(message[1]).catch((error: unknown) => this.#log('error', {}, messageOf(error)));
        break;
      case 'drain':
        void this.#drain(message[1]);
    }
  }

  #begin(settings: WorkerSettings): void {
    this.#settings = settings;
    this.#front = new Front({
      desk: this.#desk,
      meter: this.#meter,
      clock: this.#clock,
      log: { error: (fields: Record<string, unknown>, text: string) => this.#log('error', fields, text) },
      limits: settings.limits,
      up: this.#line,
      open: (key) => this.#open(key),
      onDelivered: (entitlement, _assetId, bytes, requests) =>
        this.#desk.delivered(entitlement, bytes, requests),
      onReadFailed: (sha256, error) => this.#failed(sha256, sha256, error),
      onVariantFailed: (key, error) => this.#failed(key, '', error),
    });
    this.#channel.send(['ready']);
  }

  async #secure(certificate: { cert: string; key: string }): Promise<void> {
    const { ticketKeys = '' } = this.#settings ?? {};
    await this.#front?.secure(certificate, Buffer.from(ticketKeys, 'base64'));
    this.#onSecured();
  }

  #take({ connection, isSecure }: Handover, socket: Socket | undefined): void {
    this.#channel.send(['took', connection]);
    if (!socket) {
      this.#channel.send(['closed', connection]);
      return;
    }
    socket.allowHalfOpen = !isSecure;
    this.#sockets.set(connection, socket);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      this.#sockets.delete(connection);
      this.#channel.send(['closed', connection]);
    });
    // Its limits and its name are the main process's; here the connection stands for its client.
    const client = new Client(String(connection), 0, 0);
    const visitor: Visitor = { client, standing: 'served', reset: () => void socket.resetAndDestroy() };
    if (!isSecure) this.#front?.take(socket, visitor, false);
    else void this.#secured.then(() => this.#front?.take(socket, visitor, true));
  }

  async #open(key: string): Promise<OpenedFile> {
    const place = await new Promise<Located | null>((resolve) => {
      const id = ++this.#lastLocate;
      this.#located.set(id, resolve);
      this.#channel.send(['locate', id, key]);
    });
    if (!place) throw Object.assign(new Error('it is not held any more'), { code: 'ENOENT' });
    if (place.kind === 'object') return openObject(place.file, place.folder, place.partBytes);
    return new VariantFiles(new DiskLayout(place.root)).openVerified(place.sha256, place.variant);
  }

  #failed(key: string, sha256: string, error: unknown): void {
    this.#channel.send(['failed', key, sha256, errnoOf(error), messageOf(error)]);
  }

  #log(level: 'warn' | 'error', fields: Record<string, unknown>, text: string): void {
    this.#channel.send(['log', level, fields, text]);
  }

  #tally(): void {
    this.#line.tell();
    const { bytesTotal } = this.#meter;
    const bytes = bytesTotal - this.#told.bytes;
    const lane = this.#front?.fastConnections ?? 0;
    if (bytes === 0 && lane === this.#told.lane) return;
    this.#told = { bytes: bytesTotal, lane };
    this.#channel.send(['tally', bytes, lane]);
  }

  async #drain(boundMs: number): Promise<void> {
    await this.#front?.drain(this.#clock.monotonic() + boundMs);
    for (const socket of this.#sockets.values()) socket.destroy();
    // What was cut off ends as well, and is told.
    await this.#front?.drain(this.#clock.monotonic() + LAST_MS);
    this.#channel.send(['drained']);
    this.#channel.flush(() => process.exit(0));
  }
}

/** Runs this process as a worker of the one that started it. */
export function runWorker(): void {
  if (!process.channel) {
    process.stderr.write(
      'hearth-agent: only the agent itself starts workers; set HEARTH_WORKERS to have some\n',
    );
    process.exit(2);
  }
  // Whoever stops the service stops the main process, which tells.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => undefined);
  try {
    writeFileSync('/proc/self/oom_score_adj', OOM_SCORE_ADJ);
  } catch {
    // Not Linux, or not allowed: then all are alike.
  }
  new Worker(new net.Socket({ fd: PIPE_FD, readable: true, writable: true }));
}
