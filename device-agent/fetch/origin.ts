import http from 'node:http';
import https from 'node:https';
import { errnoOf } from '#agent/durable/durable-file.ts';
import { namesLocalMachine } from '#protocol/addresses.ts';
import { messageOf } from '#protocol/errors.ts';
import { Shaper } from '#shaping/shaper.ts';
import type { Resolve } from './address-policy.ts';
import { publicLookup, refuseLocalMachine } from './address-policy.ts';
import { AheadWindow } from './ahead-window.ts';
import { spanOf } from './answer.ts';
import { ConnectionGate } from './connection-gate.ts';
import { OriginError } from './origin-error.ts';
import { Payment } from './payment.ts';

export interface OriginOptions {
  /** Nothing received for this long: the origin is stalled, ms. */
  stallMs: number;
  /** An answer slower than this is given up, bytes per second over the whole of it. */
  leastBytesPerSecond: number;
  /** Connections to one host (name and port), over all downloads. */
  connectionsPerHost: number;
  /** A connection that was closed here counts for so much longer: its host may not have heard of it, ms. */
  closingMs: number;
}

export const ORIGIN_DEFAULTS: OriginOptions = {
  stallMs: 20_000,
  leastBytesPerSecond: 4096,
  connectionsPerHost: 6,
  closingMs: 100,
};

const MOST_REDIRECTS = 5;
/** What an origin says beside a redirect is read up to so much, bytes. */
const FEW_WORDS_BYTES = 16_384;

/** A source as it is asked. */
export interface Asked {
  /** Of the asset: first byte and length. */
  start: number;
  length: number;
  sizeBytes: number;
}

/** How far a source is trusted. */
export interface Trust {
  /** Sources may redirect; boxes may not. */
  redirects: boolean;
  /** The fleet named a machine of this network. */
  local: boolean;
  /** Nothing received for this long, ms. */
  stallMs?: number;
}

interface Opened {
  response: http.IncomingMessage;
  givenUp: () => OriginError | null;
  payment: Payment;
  start: number;
  end: number;
  isWhole: boolean;
  /** Where redirects led. */
  url: string;
}

/**
 * Connections to origins and other boxes, kept alive, and paid for from the household's line. One owner, closed
 * with the agent.
 */
export class OriginClient {
  readonly #options: OriginOptions;
  readonly #down: Shaper;
  readonly #window: AheadWindow;
  readonly #lookup: ReturnType<typeof publicLookup>;
  readonly #gate: ConnectionGate;
  /** One pair for what may be anywhere, one for what must be outside: a connection of the first is not reused there. */
  readonly #local: { http: http.Agent; https: https.Agent };
  readonly #public: { http: http.Agent; https: https.Agent };

  constructor(options: OriginOptions, down: Shaper = new Shaper(), resolve?: Resolve) {
    this.#options = options;
    this.#down = down;
    this.#window = new AheadWindow(() => down.bytesPerSecond);
    this.#lookup = publicLookup(resolve);
    this.#gate = new ConnectionGate(options.connectionsPerHost, options.closingMs);
    const agents = () => {
      // How many there may be is the gate's to say, which needs those that are idle to stay.
      const limits = { keepAlive: true, maxFreeSockets: options.connectionsPerHost, timeout: 30_000 };
      return { http: new http.Agent(limits), https: new https.Agent(limits) };
    };
    this.#local = agents();
    this.#public = agents();
  }

  close(): void {
    for (const { http: plain, https: secure } of [this.#local, this.#public]) {
      plain.destroy();
      secure.destroy();
    }
  }

  /**
   * Asks for a slice of the asset. The answer is 206 with just that slice, or 200 with the whole of it; anything
   * else is an error, and so is an answer that cannot be for the bytes that were ingested. Under a cap the slice is
   * asked for in small parts, each paid for before it is asked: what TCP takes ahead has then been paid as well.
   * @returns the body and where in the asset it begins and ends
   * @throws OriginError `origin_unreachable`, `origin_status`, `origin_changed`
   */
  async ask(
    url: string,
    asked: Asked,
    signal: AbortSignal,
    trust: Trust = { redirects: true, local: namesLocalMachine(url) },
  ): Promise<{ body: AsyncIterable<Buffer>; start: number; end: number; isWhole: boolean }> {
    const first = await this.#follow(url, this.#partOf(asked, asked.start), trust, signal);
    if (first.isWhole) return { ...first, body: this.#body(first) };
    const end = asked.start + asked.length;
    return { start: asked.start, end, isWhole: false, body: this.#parts(first, { ...asked }, trust, signal) };
  }

  #partOf(asked: Asked, at: number): Asked {
    const left = asked.start + asked.length - at;
    return { start: at, length: Math.min(left, this.#window.partBytes), sizeBytes: asked.sizeBytes };
  }

  async *#parts(first: Opened, asked: Asked, trust: Trust, signal: AbortSignal): AsyncGenerator<Buffer> {
    let part = first;
    for (;;) {
      yield* this.#body(part);
      if (part.end === asked.start + asked.length) return;
      part = await this.#follow(part.url, this.#partOf(asked, part.end), trust, signal);
      if (!part.isWhole) continue;
      part.response.destroy();
      throw new OriginError('origin_status', 'the origin honours ranges only now and then');
    }
  }

  async #follow(url: string, asked: Asked, trust: Trust, signal: AbortSignal): Promise<Opened> {
    let at = url;
    for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
      const payment = new Payment(this.#down, this.#window, new URL(at).host, signal);
      try {
        await payment.ahead(asked.length);
        const { response, givenUp } = await this.#request(at, asked, trust, signal, payment);
        payment.head(response);
        const { location } = response.headers;
        if ([301, 302, 303, 307, 308].includes(response.statusCode ?? 0) && location) {
          this.#leave(response);
          payment.end();
          at = this.#redirect(at, location, trust);
          continue;
        }
        try {
          return { response, givenUp, payment, url: at, ...spanOf(response, asked, asked.sizeBytes) };
        } catch (error) {
          response.destroy();
          throw error;
        }
      } catch (error) {
        payment.end();
        throw error;
      }
    }
    throw new OriginError('origin_status', `the origin redirects more than ${MOST_REDIRECTS} times`, {
      lasting: true,
    });
  }

  /** A few words are read for the connection's sake, others not. */
  #leave(response: http.IncomingMessage): void {
    const bytes = Number(response.headers['content-length'] ?? Number.NaN);
    if (!(bytes <= FEW_WORDS_BYTES)) {
      response.destroy();
      return;
    }
    this.#down.spend(bytes);
    response.resume();
  }

  #redirect(from: string, location: string, trust: Trust): string {
    if (!trust.redirects) {
      throw new OriginError('origin_status', 'the box sends us elsewhere', { lasting: true });
    }
    const to = URL.canParse(location, from) ? new URL(location, from) : null;
    if (to?.protocol === 'http:' || to?.protocol === 'https:') return to.href;
    throw new OriginError('origin_status', 'the origin redirects to something that is not HTTP', {
      lasting: true,
    });
  }

  async #request(
    url: string,
    { start, length, sizeBytes }: Asked,
    trust: Trust,
    signal: AbortSignal,
    payment: Payment,
  ): Promise<{ response: http.IncomingMessage; givenUp: () => OriginError | null }> {
    const stallMs = trust.stallMs ?? this.#options.stallMs;
    const secure = url.startsWith('https:');
    const agents = trust.local ? this.#local : this.#public;
    if (!trust.local) refuseLocalMachine(url);
    const { origin: host } = new URL(url);
    await this.#gate.enter(host, signal);
    const begin = () =>
      (secure ? https : http).get(url, {
        agent: secure ? agents.https : agents.http,
        signal,
        ...(trust.local ? {} : { lookup: this.#lookup }),
        headers: {
          range: `bytes=${start}-${start + length - 1}`,
          'accept-encoding': 'identity',
          'user-agent': 'hearth-agent',
        },
      });
    return new Promise((resolve, reject) => {
      let request: http.ClientRequest;
      try {
        request = begin();
      } catch (error) {
        this.#gate.leave(host);
        throw error;
      }
      this.#gate.follow(host, request);
      // Once there is a response, Node tells its reader of a reset and not of this reason.
      let reason: OriginError | null = null;
      const giveUp = (message: string) => {
        reason = new OriginError('origin_unreachable', message);
        request.destroy(reason);
      };
      const stalled = () => {
        // Nothing is read while the household's cap makes us wait: that is not the origin's doing.
        if (payment.waiting) request.setTimeout(stallMs, stalled);
        else giveUp(`the origin sent nothing for ${stallMs / 1000} s`);
      };
      request.setTimeout(stallMs, stalled);
      // The whole asset may come: that is the longest it can take.
      const deadlineMs = stallMs + (sizeBytes / this.#leastBytesPerSecond()) * 1000;
      const deadline = setTimeout(() => giveUp('the origin is too slow'), Math.min(deadlineMs, 2 ** 31 - 1));
      deadline.unref();
      request.on('close', () => clearTimeout(deadline));
      request.on('error', (error) => {
        if (error instanceof OriginError || signal.aborted) return reject(error);
        const why = errnoOf(error) || messageOf(error);
        reject(
          new OriginError('origin_unreachable', `the origin cannot be reached (${why})`, { cause: error }),
        );
      });
      request.on('response', (response) => resolve({ response, givenUp: () => reason }));
    });
  }

  /** A cap shared by many connections is no fault of the origin's. */
  #leastBytesPerSecond(): number {
    const { leastBytesPerSecond } = this.#options;
    const rate = this.#down.bytesPerSecond;
    return rate === null ? leastBytesPerSecond : Math.min(leastBytesPerSecond, rate / 32);
  }

  async *#body({ response, givenUp, payment }: Opened): AsyncGenerator<Buffer> {
    try {
      for await (const piece of response) {
        const bytes = piece as Buffer;
        // Until it is paid for nothing more is read, and TCP's window closes.
        const due = payment.received(bytes.length);
        if (due) await due;
        yield bytes;
      }
    } catch (error) {
      if (error instanceof OriginError) throw error;
      throw (
        givenUp() ??
        new OriginError('origin_truncated', 'the origin broke off in the middle', { cause: error })
      );
    } finally {
      payment.end();
      // Left early: what is still to come is not wanted.
      if (!response.complete) response.destroy();
    }
  }
}
