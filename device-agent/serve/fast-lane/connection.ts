import type { Socket } from 'node:net';
import type { Visitor } from '../connections.ts';
import type { Delivery } from '../delivery.ts';
import type { OpenFile } from '../open-files.ts';
import type { Piece } from '../pieces/piece-cache.ts';
import { PIECE_BYTES } from '../pieces/piece-cache.ts';
import type { ObjectBody, Reply, RequestHead } from '../reply.ts';
import { serverTiming } from '../server-timing.ts';
import type { Lane } from './lane.ts';
import type { FastRequest } from './request-head.ts';
import type { Wire, WireEvents } from './wire.ts';

const TIMED_OUT = Buffer.from('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n');
/** What a connection is given at first, and at least, bytes. */
const FIRST_SLICE_BYTES = 256 * 1024;
const LEAST_SLICE_BYTES = 16 * 1024;
/** Encrypted, a slice lies in memory twice: larger ones leave the CPU's cache, and cost half as much again. */
const MOST_SECURE_SLICE_BYTES = 256 * 1024;
/** Longer heads are not kept for the next request of the connection, bytes. */
const LONGEST_KEPT = 2 * 1024;
/** A client that takes a slice within this gets larger ones, and one that needs longer than that smaller ones, ms. */
const QUICK_MS = 100;
const SLOW_MS = 500;

/**
 * One connection in the fast lane: one response at a time, of which one slice at a time is with the kernel. No
 * promise and no closure for each slice: callbacks are made once.
 */
export class FastConnection implements WireEvents {
  readonly #lane: Lane;
  readonly #wire: Wire;
  readonly #visitor: Visitor;
  /** The response under way; `body` is null once its last byte is with the kernel. */
  #reply: Reply | null = null;
  #body: ObjectBody | null = null;
  #delivery: Delivery | null = null;
  /** To be sent with the first slice; null: it has been. */
  #head: Buffer | null = null;
  #beganAtMs = 0;
  #at = 0;
  #end = 0;
  #sliceBytes = FIRST_SLICE_BYTES;
  #slicedAtMs = 0;
  readonly #mostSliceBytes: number;
  /** Granted bytes that have not been sent. */
  #credit = 0;
  /** Bytes that are with the kernel, and what they lie in. */
  #writing = 0;
  readonly #held: Piece[] = [];
  /** What was read and is to be sent next; a small object: until its response has ended. */
  #given: Piece | null = null;
  #file: OpenFile | null = null;
  #reading = false;
  /** What is answered is being decided elsewhere; and whether the connection ends with it. */
  #isDeciding = false;
  #isLast = false;
  #cancelWait: (() => void) | null = null;
  #clientEnded = false;
  #closed = false;
  #isFresh = true;
  /** The last request, as it was read and as it was asked. */
  #request: FastRequest | null = null;
  #asked: RequestHead | null = null;
  #idleSince: number;

  constructor(lane: Lane, socket: Socket, visitor: Visitor) {
    this.#lane = lane;
    this.#visitor = visitor;
    this.#idleSince = lane.ticks;
    this.#wire = lane.wireOf(socket, this);
    this.#mostSliceBytes = this.#wire.isSecure ? MOST_SECURE_SLICE_BYTES : Number.POSITIVE_INFINITY;
  }

  get idle(): boolean {
    return this.#body === null && !this.#isDeciding;
  }

  get sourceKey(): string | null {
    return this.#body?.source.key ?? null;
  }

  cut(): void {
    this.#wire.cut();
  }

  /** Broken off with what the kernel still holds for it: see `Visitor.reset`. */
  readonly #reset = (): void => {
    this.#visitor.reset();
    this.cut();
  };

  /** Ends a connection that has been idle for so many ticks; `fresh`: that has not sent a byte yet. */
  tick(idleTicks: number, freshTicks: number): void {
    this.#wire.tick(this.#lane.parts.clock.monotonic());
    if (!this.idle) return;
    const ticks = this.#lane.ticks - this.#idleSince;
    if (ticks <= (this.#isFresh ? freshTicks : idleTicks)) return;
    if (this.#isFresh) this.#wire.say([TIMED_OUT]);
    this.cut();
  }

  onBytes(buffer: Buffer, length: number): void {
    if (!this.idle || this.#wire.isEnding) {
      // The next request, before this one is answered.
      this.#wire.keep(buffer, length);
      return;
    }
    this.#isFresh = false;
    const { requests, parts } = this.#lane;
    const request = requests.read(buffer, length, this.#request);
    if (request === null) {
      this.#handOver(Buffer.from(buffer.subarray(0, length)));
      return;
    }
    const { target, headers, isLast } = request;
    if (this.#asked === null || this.#request !== request) {
      this.#request = length <= LONGEST_KEPT ? request : null;
      this.#asked = { method: 'GET', target, headers, visitor: this.#visitor };
    }
    parts.meter.responses++;
    this.#isLast = isLast;
    const reply = parts.decider.ask(this.#asked, this.#decided);
    if (reply) this.#carry(isLast ? { ...reply, close: true } : reply);
    else this.#isDeciding = true;
  }

  /** What was asked elsewhere has been decided; null: it never will be. */
  readonly #decided = (reply: Reply | null): void => {
    this.#isDeciding = false;
    if (reply && !this.#closed) {
      this.#carry(this.#isLast ? { ...reply, close: true } : reply);
      return;
    }
    const { decider, meter } = this.#lane.parts;
    if (reply?.body?.kind === 'object') decider.forgo(reply.body);
    meter.responses--;
    this.cut();
  };

  #carry(reply: Reply): void {
    const { meter, clock, pieces, files } = this.#lane.parts;
    const { body } = reply;
    this.#reply = reply;
    if (body?.kind !== 'object' || body.lengthBytes === 0) {
      if (body?.kind === 'object') meter.addRequest();
      this.#say(reply, body?.kind === 'text' ? body.bytes : null);
      return;
    }
    const { key, sizeBytes } = body.source;
    const [{ start, end } = { start: 0, end: 0 }] = body.parts;
    this.#body = body;
    this.#at = start;
    this.#end = end;
    if (sizeBytes <= PIECE_BYTES) {
      const piece = pieces.get(key, 0);
      if (piece) {
        pieces.hold(piece);
        this.#given = piece;
        this.#answer(null);
        return;
      }
    } else {
      this.#file = files.acquireOpen(key);
      if (this.#file && pieces.has(key, Math.floor(start / PIECE_BYTES))) {
        this.#answer(null);
        return;
      }
    }
    this.#beganAtMs = clock.monotonic();
    if (this.#file) {
      this.#readFirst();
      return;
    }
    this.#reading = true;
    files.acquire(key).then(this.#opened, this.#notOpened);
  }

  /** An answer without an object's bytes. */
  #say(reply: Reply, text: Buffer | null): void {
    const { parts, heads } = this.#lane;
    const head = heads.of(reply, null, parts.decider.date());
    parts.up.spend(head.length + (text?.length ?? 0));
    this.#wire.say(text ? [head, text] : [head]);
    this.#finish();
  }

  readonly #opened = (file: OpenFile): void => {
    this.#file = file;
    this.#reading = false;
    if (this.#closed) this.#finish();
    else this.#readFirst();
  };

  readonly #notOpened = (error: unknown): void => {
    this.#firstRead(null, error);
  };

  /** Reads what comes first before anything is said: until then another answer is possible. */
  #readFirst(): void {
    this.#fetch(Math.min(this.#end - this.#at, this.#wanted()), this.#firstRead);
  }

  readonly #firstRead = (piece: Piece | null, error: unknown): void => {
    if (!this.#took(piece)) return;
    const { clock, decider, onReadFailed } = this.#lane.parts;
    const body = this.#body;
    if (body === null) return;
    if (error) onReadFailed(body.source, error);
    // It may have been taken out of service, and the token used up by others, meanwhile.
    if (error || this.#file?.damaged || !decider.stillStands(body)) this.#answerInstead(body);
    else this.#answer(clock.monotonic() - this.#beganAtMs);
  };

  #answerInstead(body: ObjectBody): void {
    this.#isLast ||= this.#reply?.close ?? false;
    this.#letGo();
    this.#body = null;
    this.#reply = null;
    const other = body.instead();
    if (other instanceof Promise) {
      this.#isDeciding = true;
      void other.then(this.#decided);
    } else this.#decided(other);
  }

  /** @param readMs null: it was in memory */
  #answer(readMs: number | null): void {
    const { parts, heads } = this.#lane;
    if (this.#body === null || this.#reply === null) return;
    this.#delivery = parts.deliveries.begin(this.#body, this.#reset);
    this.#head = heads.of(this.#reply, serverTiming(readMs), parts.decider.date());
    this.#ask();
  }

  /** Asks the household's line for the next slice. */
  #ask(): void {
    const { up } = this.#lane.parts;
    const wanted = Math.min(this.#end - this.#at, this.#wanted());
    const answer = up.ask(this.#visitor.client.flow, wanted, this.#grantedLater);
    if (typeof answer === 'number') this.#granted(answer);
    else this.#cancelWait = answer;
  }

  #wanted(): number {
    return Math.min(this.#sliceBytes, this.#mostSliceBytes, this.#lane.mostSliceBytes());
  }

  readonly #grantedLater = (bytes: number): void => {
    this.#cancelWait = null;
    this.#delivery?.excuse();
    this.#granted(bytes);
  };

  #granted(bytes: number): void {
    if (bytes === 0) {
      this.cut();
      return;
    }
    this.#credit = bytes;
    this.#send();
  }

  readonly #loaded = (piece: Piece | null, error: unknown): void => {
    if (!this.#took(piece)) return;
    this.#delivery?.excuse();
    if (error && this.#body) this.#lane.parts.onReadFailed(this.#body.source, error);
    if (error || this.#file?.damaged) this.cut();
    else this.#lane.queue(this);
  };

  /** Keeps what was read. @returns false when the connection is gone */
  #took(piece: Piece | null): boolean {
    this.#reading = false;
    this.#given = piece;
    if (!this.#closed) return true;
    this.#finish();
    return false;
  }

  /** Sends what is in memory of the granted bytes, and the head before the first of them, with one call. */
  #send(): void {
    const { pieces, up, clock } = this.#lane.parts;
    const body = this.#body;
    if (body === null) return;
    const { key, sizeBytes } = body.source;
    let piece = this.#given ?? pieces.get(key, Math.floor(this.#at / PIECE_BYTES));
    if (!piece) {
      this.#fetch(this.#credit, this.#loaded);
      return;
    }
    // What was read is held already, and is let go when it has been sent; a small object with its last slice.
    if (piece === this.#given && piece.bytes.length < sizeBytes) this.#given = null;
    else pieces.hold(piece);
    const wire = this.#wire;
    const head = this.#head;
    let buffers: Buffer[] | null = null;
    while (piece) {
      const from = this.#at - piece.start;
      const length = Math.min(this.#credit, piece.bytes.length - from);
      const bytes = length === piece.bytes.length ? piece.bytes : piece.bytes.subarray(from, from + length);
      this.#held.push(piece);
      this.#at += length;
      this.#credit -= length;
      this.#writing += length;
      if (buffers) buffers.push(bytes);
      else buffers = head ? [head, bytes] : [bytes];
      // TLS copies what comes in several buffers.
      const isMore = this.#credit > 0 && !wire.isSecure;
      piece = isMore ? pieces.get(key, Math.floor(this.#at / PIECE_BYTES)) : undefined;
      if (piece) pieces.hold(piece);
    }
    if (this.#at < this.#end) this.#slicedAtMs = clock.monotonic();
    if (head) {
      up.spend(head.length);
      this.#head = null;
    }
    if (buffers && wire.send(buffers)) this.onSent();
  }

  onSent(): void {
    this.#dropHeld();
    this.#delivery?.add(this.#writing);
    this.#writing = 0;
    if (this.#at === this.#end) {
      this.#finish();
      return;
    }
    const tookMs = this.#lane.parts.clock.monotonic() - this.#slicedAtMs;
    if (tookMs > SLOW_MS) this.#sliceBytes = Math.max(LEAST_SLICE_BYTES, this.#sliceBytes / 2);
    else if (tookMs < QUICK_MS)
      this.#sliceBytes = Math.min(this.#lane.mostSliceBytes(), this.#sliceBytes * 4);
    // Where the kernel takes slice after slice at once, nobody else would have a turn until it is full.
    // Within TLS each slice has waited for a turn of the event loop already.
    if (this.#wire.isSecure && this.#lane.isCalm) this.proceed();
    else this.#lane.queue(this);
  }

  /** Its turn has come. @returns bytes that it may have sent */
  proceed(): number {
    if (this.#closed || this.#body === null) return 0;
    const bytes = this.#wanted();
    if (this.#credit > 0) this.#send();
    else this.#ask();
    return bytes;
  }

  /** Fetches what comes next: for all, or, with many responses and little memory, one slice for this one. */
  #fetch(bytes: number, done: (piece: Piece | null, error: unknown) => void): void {
    const { filling, parts } = this.#lane;
    const { pieces, meter } = parts;
    const file = this.#file;
    const source = this.#body?.source;
    if (!file || !source) {
      this.cut();
      return;
    }
    this.#reading = true;
    const { key, sizeBytes } = source;
    const first = Math.floor(this.#at / PIECE_BYTES);
    if (filling || sizeBytes <= PIECE_BYTES || pieces.has(key, first)) {
      const count = Math.ceil((this.#at + bytes) / PIECE_BYTES) - first;
      if (pieces.load(file, key, sizeBytes, first, count, done)) return;
    }
    pieces.loadApart(file, this.#at, Math.min(bytes, this.#end - this.#at), meter.responses, done);
  }

  /** The response has ended, in whichever way, and nothing of it is under way any more. */
  #finish(): void {
    if (this.#reply === null || this.#reading) return;
    const { close } = this.#reply;
    const { meter, up, decider } = this.#lane.parts;
    if (this.#delivery) this.#delivery.end();
    else if (this.#body) decider.forgo(this.#body);
    this.#delivery = null;
    this.#reply = null;
    this.#body = null;
    this.#head = null;
    this.#letGo();
    if (this.#credit + this.#writing > 0) up.giveBack(this.#credit + this.#writing);
    this.#credit = 0;
    this.#writing = 0;
    meter.responses--;
    if (this.#closed) return;
    this.#idleSince = this.#lane.ticks;
    if (close) this.#wire.endSoon();
    else if (this.#clientEnded) this.#wire.end();
    else this.#wire.resume();
  }

  #letGo(): void {
    const { pieces, files } = this.#lane.parts;
    this.#dropHeld();
    if (this.#given) pieces.drop(this.#given);
    this.#given = null;
    if (this.#file) files.release(this.#file);
    this.#file = null;
  }

  #dropHeld(): void {
    const { pieces } = this.#lane.parts;
    for (const piece of this.#held) pieces.drop(piece);
    this.#held.length = 0;
  }

  /** From here on the connection is node:http's. */
  #handOver(bytes: Buffer): void {
    const socket = this.#wire.release();
    this.#lane.forget(this);
    this.#closed = true;
    this.#lane.parts.toNodeHttp(socket);
    socket.unshift(bytes);
    socket.resume();
  }

  onEnd(): void {
    this.#clientEnded = true;
    if (this.idle) this.#wire.end();
  }

  /** A wait for the line or the disk is not the client's fault. */
  onStalled(): void {
    if (this.#writing > 0 || this.#wire.isEnding) this.#reset();
  }

  onClose(): void {
    this.#closed = true;
    this.#cancelWait?.();
    this.#cancelWait = null;
    this.#lane.forget(this);
    // Only now does the kernel no longer read what was to be written.
    this.#finish();
  }
}
