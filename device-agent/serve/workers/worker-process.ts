import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { messageOf } from '#protocol/errors.ts';
import type { Shaper } from '#shaping/shaper.ts';
import type { Admitted } from '../connections.ts';
import type { Decider } from '../decide.ts';
import type { DeliveryParts } from '../delivery.ts';
import type { Reply } from '../reply.ts';
import type { Certificate } from '../tls/certificates.ts';
import { Channel } from './channel.ts';
import type { Connection } from './jobs.ts';
import { Jobs } from './jobs.ts';
import type { FromWorker, Located, ToWorker, WorkerSettings } from './messages.ts';
import { spawnWorker } from './spawn.ts';
import { ReplyWriter } from './wire-reply.ts';

export interface WorkerParts extends DeliveryParts {
  /** What Node is started with. */
  script: string;
  decider: Decider;
  up: Pick<Shaper, 'ask' | 'spend' | 'giveBack'>;
  log: Logger;
  /** Where the bytes of a key are; null: not here. */
  locate: (key: string) => Located | null;
  /** Reading an object or a variant has failed in a worker. */
  onFailed: (key: string, sha256: string, error: Error) => void;
}

/** A connection that waits to be handed over: nothing has been read from it. */
export interface Arrival {
  socket: Socket;
  admitted: Admitted;
  isSecure: boolean;
}

/** A Date header may be wrong by so much before a worker is told, ms. */
const DATE_ERROR_MS = 500;

/** One worker as the main process sees it: its process, its connections, what was promised to them. */
export class WorkerProcess {
  readonly #parts: WorkerParts;
  readonly #child: ChildProcess;
  readonly #channel: Channel<ToWorker, FromWorker>;
  readonly #replies: ReplyWriter;
  readonly #jobs: Jobs;
  readonly #connections = new Map<number, Connection>();
  /** Cancel what they wait for, by the worker's number. */
  readonly #wants = new Map<number, () => void>();
  #arrivals: Arrival[] = [];
  /** Being handed over, one at a time: those behind it can still go elsewhere. */
  #handing: number | null = null;
  #lastConnection = 0;
  #dateOffsetMs: number | null | undefined;
  #isReady = false;
  /** How its process ended, and whether its pipe has: it is gone with the second of the two. */
  #ended: string | null = null;
  #isClosed = false;
  #isGone = false;
  fastConnections = 0;
  /** Has it said anything since the last `look`? */
  #isSilent = false;
  readonly #onReady: () => void;
  readonly #onGone: (why: string, arrivals: Arrival[]) => void;

  /** @param on `gone`: it has ended, for whatever reason; connections it was not handed yet are given back */
  constructor(
    parts: WorkerParts,
    settings: WorkerSettings,
    certificate: Certificate | null,
    on: { ready: () => void; gone: (why: string, arrivals: Arrival[]) => void },
  ) {
    this.#parts = parts;
    this.#onReady = on.ready;
    this.#onGone = on.gone;
    const { child, pipe } = spawnWorker(parts.script);
    this.#child = child;
    this.#jobs = new Jobs(parts);
    this.#channel = new Channel<ToWorker, FromWorker>(pipe, {
      message: (message) => this.#on(message),
      close: () => {
        // All it has said has been read by now.
        this.#child.kill('SIGKILL');
        this.#isClosed = true;
        if (this.#ended !== null) this.#gone(this.#ended);
      },
    });
    this.#replies = new ReplyWriter((message) => this.#channel.send(message));
    child.on('error', (error) => this.#gone(messageOf(error)));
    child.on('exit', (code, signal) => {
      this.#ended = signal ?? `code ${code}`;
      if (this.#isClosed) this.#gone(this.#ended);
    });
    this.#channel.send(['begin', settings]);
    if (certificate) this.secure(certificate);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** It can be given connections. */
  get isReady(): boolean {
    return this.#isReady && !this.#isGone;
  }

  /** Connections it has, or is about to have. */
  get load(): number {
    return this.#connections.size + this.#arrivals.length;
  }

  secure(certificate: Certificate): void {
    this.#channel.send(['certificate', certificate]);
  }

  withdraw(key: string, damaged: boolean): void {
    this.#channel.send(['withdraw', key, damaged]);
  }

  withdrawAll(): void {
    this.#channel.send(['withdraw-all']);
  }

  /** Gives it a connection of which nothing has been read. */
  take(arrival: Arrival): void {
    this.#arrivals.push(arrival);
    this.#handNext();
  }

  drain(boundMs: number): void {
    this.#channel.send(['drain', Math.max(0, Math.floor(boundMs))]);
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Called now and then. @returns false when it has not answered the last time */
  look(): boolean {
    if (this.#isSilent) return false;
    this.#isSilent = true;
    this.#tellDate();
    this.#channel.send(['ping']);
    return true;
  }

  #handNext(): void {
    if (this.#handing !== null || this.#isGone) return;
    const next = this.#arrivals.shift();
    if (!next) return;
    const { socket, admitted, isSecure } = next;
    const id = ++this.#lastConnection;
    this.#handing = id;
    this.#connections.set(id, { id, admitted, grantedBytes: 0, jobs: 0 });
    this.#child.send({ connection: id, isSecure }, socket, (error) => {
      // Its end is noticed by itself.
      if (error && !this.#isGone) this.#parts.log.warn({ reason: error.message }, 'a connection was lost');
    });
  }

  #on(message: FromWorker): void {
    this.#isSilent = false;
    switch (message[0]) {
      case 'ask':
        this.#ask(message);
        break;
      case 'told':
        this.#jobs.told(message[1], message[2], message[3]);
        break;
      case 'want':
        this.#want(message[1], message[2], message[3]);
        break;
      case 'unwant':
        this.#wants.get(message[1])?.();
        this.#wants.delete(message[1]);
        break;
      case 'line':
        if (message[1] > 0) this.#parts.up.spend(message[1]);
        if (message[2] > 0) this.#parts.up.giveBack(message[2]);
        break;
      case 'tally':
        this.#parts.meter.addBytes(message[1]);
        this.fastConnections = message[2];
        break;
      case 'took':
        this.#handing = null;
        this.#handNext();
        break;
      case 'closed':
        this.#connections.get(message[1])?.admitted.leave();
        this.#connections.delete(message[1]);
        break;
      case 'forgo':
        this.#jobs.forgo(message[1]);
        break;
      case 'instead':
        this.#instead(message[1], message[2]);
        break;
      case 'locate':
        this.#channel.send(['located', message[1], this.#parts.locate(message[2])]);
        break;
      case 'failed':
        this.#failed(message);
        break;
      case 'log':
        this.#parts.log[message[1]]({ worker: this.pid, ...message[2] }, message[3]);
        break;
      case 'ready':
        this.#isReady = true;
        this.#onReady();
        break;
      case 'pong':
      case 'drained':
    }
  }

  #ask([, job, id, method, target, headers]: Extract<FromWorker, ['ask', ...unknown[]]>): void {
    const connection = this.#connections.get(id);
    const { decider, log } = this.#parts;
    let reply: Reply | null = null;
    try {
      const visitor = connection?.admitted.visitor;
      if (visitor) reply = decider.decide({ method, target, headers, visitor });
    } catch (error) {
      log.error({ reason: messageOf(error) }, 'a request could not be answered');
    }
    this.#answer(job, reply, connection ?? null);
  }

  #instead(job: number, next: number): void {
    const given = this.#jobs.forgo(job);
    Promise.resolve(given ? given.body.instead() : null).then(
      (reply) => this.#answer(next, reply, given?.connection ?? null),
      () => this.#answer(next, null, null),
    );
  }

  #answer(job: number, reply: Reply | null, connection: Connection | null): void {
    this.#tellDate();
    const body = reply?.body;
    const written = reply && this.#replies.write(reply);
    const grant = body?.kind === 'object' && connection ? this.#jobs.begin(job, connection, body) : 0;
    this.#channel.send(['reply', job, written, grant]);
  }

  #tellDate(): void {
    const nowMs = this.#parts.decider.dateMs();
    const offsetMs = nowMs === null ? null : nowMs - Date.now();
    const before = this.#dateOffsetMs;
    if (offsetMs === null ? before === null : before != null && Math.abs(offsetMs - before) < DATE_ERROR_MS)
      return;
    this.#dateOffsetMs = offsetMs;
    this.#channel.send(['date', offsetMs]);
  }

  #want(wait: number, id: number, bytes: number): void {
    const connection = this.#connections.get(id);
    const granted = (given: number) => {
      this.#wants.delete(wait);
      if (connection) connection.grantedBytes += given;
      this.#channel.send(['granted', wait, given]);
    };
    const flow = connection?.admitted.visitor.client.flow;
    const answer = flow === undefined ? 0 : this.#parts.up.ask(flow, bytes, granted);
    if (typeof answer === 'number') granted(answer);
    else this.#wants.set(wait, answer);
  }

  #failed([, key, sha256, code, text]: Extract<FromWorker, ['failed', ...unknown[]]>): void {
    const error = new Error(text);
    if (code !== '') Object.assign(error, { code });
    this.#parts.onFailed(key, sha256, error);
  }

  #gone(why: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#channel.close();
    for (const cancel of this.#wants.values()) cancel();
    this.#wants.clear();
    this.#jobs.lose();
    for (const { admitted } of this.#connections.values()) admitted.leave();
    this.#connections.clear();
    const arrivals = this.#arrivals;
    this.#arrivals = [];
    this.#onGone(why, arrivals);
  }
}
