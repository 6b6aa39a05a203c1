import type { Shaper } from '#shaping/shaper.ts';
import type { Buffers } from './buffers.ts';
import type { Deliveries, Delivery, DeliveryParts } from './delivery.ts';
import type { Desk } from './desk.ts';
import type { OpenFile } from './open-files.ts';
import type { Outlet } from './outlet.ts';
import type { HeaderList, ObjectBody, Part, Reply, Source } from './reply.ts';
import { endAndWait, sendSlice, writeAndWait } from './send.ts';
import { serverTiming } from './server-timing.ts';
import type { Sources } from './sources.ts';

export interface CarrierParts extends Pick<DeliveryParts, 'clock' | 'meter'> {
  decider: Desk;
  sources: Sources;
  buffers: Buffers;
  deliveries: Deliveries;
  /** The household's line. */
  up: Pick<Shaper, 'take' | 'spend' | 'giveBack'>;
  /** Reading an object failed. */
  onReadFailed: (sha256: string, error: unknown) => void;
  /** Reading a variant of an object failed, or it is not what was made. */
  onVariantFailed: (key: string, error: unknown) => void;
}

/** The line is asked for as much at once, bytes: a cap set meanwhile holds from the next on. */
const MOST_ASKED = 256 * 1024;
/** A status line and what frames a head, bytes. */
const HEAD_BYTES = 40;

/** Carries replies out: fetches the bytes, sends them as the household's line allows, counts them. */
export class Carrier {
  readonly #parts: CarrierParts;

  constructor(parts: CarrierParts) {
    this.#parts = parts;
  }

  async carry(outlet: Outlet, reply: Reply): Promise<void> {
    const { body } = reply;
    if (body?.kind !== 'object') {
      this.#head(outlet, reply);
      outlet.stream.end(body?.bytes);
      return;
    }
    if (body.lengthBytes === 0) {
      this.#parts.meter.addRequest();
      this.#head(outlet, reply);
      outlet.stream.end();
      return;
    }
    const { sources, clock } = this.#parts;
    const beganAtMs = clock.monotonic();
    const hot = sources.inMemory(body.source);
    const opened =
      hot ??
      (await sources.open(body.source).catch((error: unknown) => {
        this.readFailed(body.source, error);
        return null;
      }));
    if (opened === null) return this.#instead(outlet, reply, body);
    let isBegun = false;
    try {
      // It may have been taken out of service, and the token used up by others, while it was opened.
      if (!this.#parts.decider.stillStands(body)) return await this.#instead(outlet, reply, body);
      const readMs = opened === hot ? null : clock.monotonic() - beganAtMs;
      this.#head(outlet, reply, ['Server-Timing', serverTiming(readMs)]);
      isBegun = true;
      await this.#send(outlet, body, opened);
    } finally {
      sources.release(opened);
      if (!isBegun) this.#parts.decider.forgo(body);
    }
  }

  async #instead(outlet: Outlet, decided: Reply, body: ObjectBody): Promise<void> {
    const reply = await body.instead();
    if (reply) await this.carry(outlet, { ...reply, close: decided.close || reply.close });
    else outlet.stream.destroy();
  }

  /** An object, or a variant of one, could not be read. */
  readFailed({ key, sha256 }: Pick<Source, 'key' | 'sha256'>, error: unknown): void {
    this.#parts.sources.withdraw(key);
    if (key === sha256) this.#parts.onReadFailed(sha256, error);
    else this.#parts.onVariantFailed(key, error);
  }

  #head(outlet: Outlet, reply: Reply, more: HeaderList = []): void {
    const date = this.#parts.decider.date();
    const headers = [...reply.fixed, ...reply.own, ...more];
    if (date !== null) headers.push('Date', date);
    let bytes = HEAD_BYTES + (reply.body?.kind === 'text' ? reply.body.bytes.length : 0);
    for (const text of headers) bytes += text.length + 2;
    this.#parts.up.spend(bytes);
    outlet.head(reply.status, headers, reply.close);
  }

  async #send(outlet: Outlet, body: ObjectBody, opened: Buffer | OpenFile): Promise<void> {
    const { stream } = outlet;
    const delivery = this.#parts.deliveries.begin(body, () => outlet.cut());
    const sending: Sending = { outlet, body, delivery };
    try {
      for (const part of body.parts) {
        if (part.before.length > 0 && !(await this.#sendBytes(sending, part.before, false))) return;
        const isLast = part === body.parts.at(-1) && body.closing.length === 0;
        if (!Buffer.isBuffer(opened)) {
          if (!(await this.#sendFile(sending, opened, part))) return;
          if (isLast) stream.end();
        } else if (!(await this.#sendBytes(sending, opened.subarray(part.start, part.end), isLast))) return;
      }
      if (body.closing.length > 0) await this.#sendBytes(sending, body.closing, true);
    } finally {
      delivery.end();
    }
  }

  /** Sends bytes that are in memory. @returns false when the client is gone, or the line is closed */
  async #sendBytes({ outlet, delivery }: Sending, bytes: Buffer, isLast: boolean): Promise<boolean> {
    const { stream } = outlet;
    for (let at = 0; at < bytes.length; ) {
      const granted = await this.#granted(outlet, delivery, bytes.length - at);
      if (granted === 0) return false;
      const piece = bytes.subarray(at, at + granted);
      at += granted;
      // With the last of them the response ends: head and body in one system call where the socket is free.
      const sent = await (isLast && at === bytes.length
        ? endAndWait(stream, piece)
        : writeAndWait(stream, piece));
      if (!sent) return false;
      delivery.add(granted);
    }
    return true;
  }

  /** @returns false when it was cut off */
  async #sendFile({ outlet, body, delivery }: Sending, file: OpenFile, part: Part): Promise<boolean> {
    const { buffers: pool, meter, up } = this.#parts;
    const buffers = { pool, responses: () => meter.responses };
    for (let start = part.start; start < part.end; ) {
      const granted = await this.#granted(outlet, delivery, Math.min(MOST_ASKED, part.end - start));
      if (granted === 0) return false;
      const span = { start, end: start + granted };
      let sent = 0;
      const { end, error } = await sendSlice(outlet.stream, file, span, buffers, (bytes) => {
        sent += bytes;
        delivery.add(bytes);
      });
      if (sent < granted) up.giveBack(granted - sent);
      if (end === 'read_failed') this.readFailed(body.source, error);
      if (end !== 'sent') return false;
      start += granted;
    }
    return true;
  }

  /**
   * Waits for the household's line.
   * @returns bytes that may go now; 0 when none may any more: the response has been cut
   */
  async #granted(outlet: Outlet, delivery: Delivery, bytes: number): Promise<number> {
    const { up } = this.#parts;
    const { stream, flow } = outlet;
    const gone = new AbortController();
    const answer = up.take(flow, bytes, gone.signal);
    let granted: number;
    if (typeof answer === 'number') granted = answer;
    else {
      const leave = () => gone.abort();
      stream.once('close', leave);
      if (stream.destroyed) leave();
      granted = await answer;
      stream.removeListener('close', leave);
      delivery.excuse();
    }
    if (granted === 0) stream.destroy();
    return granted;
  }
}

/** One response with a body. */
interface Sending {
  outlet: Outlet;
  body: ObjectBody;
  delivery: Delivery;
}
