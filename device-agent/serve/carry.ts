import type { ServerResponse } from 'node:http';
import type { Buffers } from './buffers.ts';
import type { Decider } from './decide.ts';
import type { DeliveryParts } from './delivery.ts';
import { Delivery } from './delivery.ts';
import type { OpenFile } from './open-files.ts';
import type { HeaderList, ObjectBody, Reply } from './reply.ts';
import { endAndWait, sendSlice, writeAndWait } from './send.ts';
import { serverTiming } from './server-timing.ts';
import type { Sources } from './sources.ts';

export interface CarrierParts extends DeliveryParts {
  decider: Decider;
  sources: Sources;
  buffers: Buffers;
  /** Reading an object failed. */
  onReadFailed: (sha256: string, error: unknown) => void;
  /** Reading a variant of an object failed, or it is not what was made. */
  onVariantFailed: (key: string, error: unknown) => void;
}

/** Carries a reply out on a response of node:http: fetches the bytes, sends them, counts them. */
export class Carrier {
  readonly #parts: CarrierParts;

  constructor(parts: CarrierParts) {
    this.#parts = parts;
  }

  async carry(response: ServerResponse, reply: Reply): Promise<void> {
    const { body } = reply;
    if (body?.kind !== 'object') {
      this.#head(response, reply);
      response.end(body?.bytes);
      return;
    }
    if (body.lengthBytes === 0) {
      this.#parts.meter.addRequest();
      this.#head(response, reply);
      response.end();
      return;
    }
    const { sources, clock } = this.#parts;
    const beganAtMs = clock.monotonic();
    const hot = sources.inMemory(body.source);
    const opened =
      hot ??
      (await sources.open(body.source).catch((error: unknown) => {
        this.#readFailed(body, error);
        return null;
      }));
    if (opened === null) return this.#instead(response, reply, body);
    try {
      // It may have been taken out of service, and the token used up by others, while it was opened.
      if (!this.#parts.decider.stillStands(body)) return await this.#instead(response, reply, body);
      const readMs = opened === hot ? null : clock.monotonic() - beganAtMs;
      this.#head(response, reply, ['Server-Timing', serverTiming(readMs)]);
      await this.#send(response, body, opened);
    } finally {
      sources.release(opened);
    }
  }

  async #instead(response: ServerResponse, decided: Reply, body: ObjectBody): Promise<void> {
    const reply = body.instead();
    await this.carry(response, { ...reply, close: decided.close || reply.close });
  }

  #readFailed(body: ObjectBody, error: unknown): void {
    const { key, sha256 } = body.source;
    this.#parts.sources.withdraw(key);
    if (key === sha256) this.#parts.onReadFailed(sha256, error);
    else this.#parts.onVariantFailed(key, error);
  }

  #head(response: ServerResponse, reply: Reply, more: HeaderList = []): void {
    const date = this.#parts.decider.date();
    response.sendDate = false;
    if (reply.close) response.shouldKeepAlive = false;
    const headers = [...reply.fixed, ...reply.own, ...more];
    if (date !== null) headers.push('Date', date);
    response.writeHead(reply.status, headers);
  }

  async #send(response: ServerResponse, body: ObjectBody, opened: Buffer | OpenFile): Promise<void> {
    const delivery = new Delivery(this.#parts, body);
    try {
      if (Buffer.isBuffer(opened)) {
        const bytes = assemble(body, opened);
        if (await endAndWait(response, bytes)) delivery.add(bytes.length);
        return;
      }
      if (!(await this.#sendParts(response, body, opened, delivery))) return;
      if (body.closing.length === 0) response.end();
      else if (await endAndWait(response, body.closing)) delivery.add(body.closing.length);
    } finally {
      delivery.end();
    }
  }

  /** @returns false when it was cut off */
  async #sendParts(
    response: ServerResponse,
    body: ObjectBody,
    file: OpenFile,
    delivery: Delivery,
  ): Promise<boolean> {
    const { buffers: pool, meter } = this.#parts;
    const buffers = { pool, responses: () => meter.responses };
    for (const part of body.parts) {
      if (part.before.length > 0) {
        if (!(await writeAndWait(response, part.before))) return false;
        delivery.add(part.before.length);
      }
      const { end, error } = await sendSlice(response, file, part, buffers, (bytes) => delivery.add(bytes));
      if (end === 'read_failed') this.#readFailed(body, error);
      if (end !== 'sent') return false;
    }
    return true;
  }
}

/** The whole body of an object that is in memory. */
function assemble(body: ObjectBody, object: Buffer): Buffer {
  const [first, ...more] = body.parts;
  if (!first) return body.closing;
  if (more.length === 0 && first.before.length === 0 && body.closing.length === 0) {
    return object.subarray(first.start, first.end);
  }
  const pieces = body.parts.flatMap((part) => [part.before, object.subarray(part.start, part.end)]);
  return Buffer.concat([...pieces, body.closing]);
}
