import { DateText } from '../date-text.ts';
import { DECIDING_HEADERS } from '../deciding-headers.ts';
import type { Desk } from '../desk.ts';
import type { ObjectBody, Reply, RequestHead } from '../reply.ts';
import { headerOf } from '../reply.ts';
import type { OpenEntitlement } from '../token-gate.ts';
import type { FromWorker, WireReply } from './messages.ts';
import type { RemoteLine } from './remote-line.ts';
import { ReplyReader } from './wire-reply.ts';

/** Stands for a token, which the main process keeps: says for which job bytes are delivered. */
class JobEntitlement implements OpenEntitlement {
  readonly token = '';
  readonly siteId = '';
  readonly prefix = '';
  readonly expiresAtMs = 0;
  readonly maxBytes = 0;
  takenBytes = 0;
  sentBytes = 0;
  readonly job: number;
  readonly connection: number;
  withdrawn = false;

  constructor(job: number, connection: number) {
    this.job = job;
    this.connection = connection;
  }
}

interface Asked {
  connection: number;
  decided: (reply: Reply | null) => void;
}

/** The desk of a worker: every request is decided by the main process, which also takes its bytes from the token. */
export class RemoteDesk implements Desk {
  readonly #send: (message: FromWorker) => void;
  readonly #line: RemoteLine;
  readonly replies = new ReplyReader();
  readonly #asked = new Map<number, Asked>();
  /** Jobs that were promised bytes which have not all been sent, by job. */
  readonly #open = new Map<number, { entitlement: JobEntitlement; key: string }>();
  readonly #date = new DateText();
  #lastJob = 0;
  /** Of the Date header from this machine's clock, ms; null: no such header. */
  dateOffsetMs: number | null = null;

  constructor(send: (message: FromWorker) => void, line: RemoteLine) {
    this.#send = send;
    this.#line = line;
  }

  ask({ method, target, headers, visitor }: RequestHead, decided: (reply: Reply | null) => void): null {
    const connection = Number(visitor.client.flow);
    const deciding: Record<string, string> = {};
    for (const name of DECIDING_HEADERS) {
      const value = headerOf(headers, name);
      if (value !== undefined) deciding[name] = value;
    }
    this.#send(['ask', this.#expect(connection, decided), connection, method, target, deciding]);
    return null;
  }

  #expect(connection: number, decided: (reply: Reply | null) => void): number {
    const job = ++this.#lastJob;
    this.#asked.set(job, { connection, decided });
    return job;
  }

  /** The main process has decided. @param granted bytes that may be sent at once */
  decided(job: number, written: WireReply | null, granted: number): void {
    const asked = this.#asked.get(job);
    if (!asked) return;
    this.#asked.delete(job);
    const { connection } = asked;
    if (!written) {
      asked.decided(null);
      return;
    }
    const reply = this.replies.read(written, () => {
      const entitlement = new JobEntitlement(job, connection);
      return { entitlement, assetId: '', instead: () => this.#instead(entitlement) };
    });
    const { body } = reply;
    if (body?.kind === 'object' && body.lengthBytes > 0) {
      this.#open.set(job, { entitlement: body.entitlement as JobEntitlement, key: body.source.key });
      this.#line.begin(connection, granted);
    }
    asked.decided(reply);
  }

  #instead(entitlement: JobEntitlement): Promise<Reply | null> {
    const { job, connection } = entitlement;
    return new Promise((resolve) => {
      this.#send(['instead', job, this.#expect(connection, resolve)]);
      this.#close(job);
    });
  }

  stillStands(body: ObjectBody): boolean {
    return !(body.entitlement as JobEntitlement).withdrawn;
  }

  forgo(body: ObjectBody): void {
    const { job } = body.entitlement as JobEntitlement;
    if (this.#open.has(job)) this.#send(['forgo', job]);
    this.#close(job);
  }

  /** As `DeliveryParts.onDelivered`. */
  delivered(entitlement: OpenEntitlement, bytes: number, requests: number): void {
    const { job } = entitlement as JobEntitlement;
    this.#send(['told', job, bytes, requests]);
    if (requests > 0) this.#close(job);
  }

  /** Bodies that were decided and not begun must not be begun. @param withdrawn their key; null: all */
  withdraw(withdrawn: string | null): void {
    for (const { entitlement, key } of this.#open.values()) {
      if (withdrawn === null || withdrawn === key) entitlement.withdrawn = true;
    }
  }

  date(): string | null {
    return this.#date.of(this.dateOffsetMs === null ? null : Date.now() + this.dateOffsetMs);
  }

  #close(job: number): void {
    const open = this.#open.get(job);
    if (!open) return;
    this.#open.delete(job);
    this.#line.end(open.entitlement.connection);
  }
}
