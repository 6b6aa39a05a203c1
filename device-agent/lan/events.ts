import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { HearthError } from '#protocol/errors.ts';
import type { Activity } from '#protocol/http-box.ts';
import type { Call } from './api.ts';
import type { BoxView } from './box-view.ts';
import type { Sessions } from './sessions.ts';

const MOST_STREAMS = 16;
/** One browser must not keep the others of the household out. */
const MOST_PER_SESSION = 6;
const LOOK_MS = 1_000;
const HEARTBEAT_MS = 15_000;
/** A reader further behind than this is cut off; it comes back and is told the present. */
const MOST_BEHIND_BYTES = 256 * 1024;
/** How soon a browser that lost its stream comes back. */
const RETRY_MS = 2_000;

interface Stream {
  response: ServerResponse;
  secret: string | null;
  quietMs: number;
}

/**
 * `GET /api/events`: server-sent events (WHATWG HTML, 9.2) to logged-in pages. `status` is the whole status
 * whenever it changed, `activity` a list of new lines, oldest first, `settings` that they changed. Only activity
 * has ids, `<boot>.<seq>`: a page that comes back with `Last-Event-ID` is sent what it missed, after a restart of
 * the box the whole list.
 */
export class EventStreams {
  readonly #view: BoxView;
  readonly #sessions: Sessions;
  readonly #streams = new Set<Stream>();
  readonly #boot = randomUUID().slice(0, 8);
  #timer: NodeJS.Timeout | null = null;
  #lastStatus = '';

  constructor(view: BoxView, sessions: Sessions) {
    this.#view = view;
    this.#sessions = sessions;
    view.activity.onAdd((item) => this.#toAll(this.#activityEvent([item])));
    view.settings.onChange(() => this.#toAll(eventOf('settings', '{}')));
    sessions.onEnd(() => this.#closeEnded());
  }

  /** How many pages listen. */
  get size(): number {
    return this.#streams.size;
  }

  /** Keeps the response open as a stream. @throws HearthError `unavailable` when there are too many */
  open(call: Call): void {
    const { response, request, secret } = call;
    const mine = [...this.#streams].filter((stream) => stream.secret === secret);
    if (this.#streams.size >= MOST_STREAMS || mine.length >= MOST_PER_SESSION) {
      throw new HearthError('unavailable', 'Too many pages are open: this one asks again by itself.');
    }
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    const stream: Stream = { response, secret, quietMs: 0 };
    this.#streams.add(stream);
    response.on('close', () => this.#drop(stream));
    this.#write(stream, `retry: ${RETRY_MS}\n\n`);
    this.#write(stream, eventOf('status', JSON.stringify(this.#view.status())));
    const missed = this.#missedSince(request.headers['last-event-id']);
    if (missed.length > 0) this.#write(stream, this.#activityEvent(missed));
    if (!this.#timer) {
      this.#timer = setInterval(() => this.#look(), LOOK_MS);
      this.#timer.unref();
    }
  }

  close(): void {
    for (const stream of this.#streams) stream.response.destroy();
    this.#streams.clear();
    this.#stopLooking();
  }

  #missedSince(id: string | string[] | undefined): Activity[] {
    const [boot, seq] = String(id ?? '').split('.');
    const after = boot === this.#boot ? Number(seq) : 0;
    return this.#view.activity
      .list()
      .filter((item) => !(item.seq <= after))
      .toReversed();
  }

  #activityEvent(items: Activity[]): string {
    return eventOf('activity', JSON.stringify({ items }), `${this.#boot}.${items.at(-1)?.seq ?? 0}`);
  }

  #look(): void {
    this.#closeEnded();
    const status = this.#view.status();
    // These change all the time and are no news.
    const { uptimeMs: _, rssBytes: __, ...box } = status.box;
    const seen = JSON.stringify({ ...status, box });
    if (seen !== this.#lastStatus) {
      this.#lastStatus = seen;
      this.#toAll(eventOf('status', JSON.stringify(status)));
    }
    for (const stream of this.#streams) {
      stream.quietMs += LOOK_MS;
      // A comment: it keeps middle boxes from closing the connection, and finds readers that have gone.
      if (stream.quietMs >= HEARTBEAT_MS) this.#write(stream, ': still here\n\n');
    }
  }

  #toAll(event: string): void {
    for (const stream of this.#streams) this.#write(stream, event);
  }

  #write(stream: Stream, text: string): void {
    stream.quietMs = 0;
    stream.response.write(text);
    if (stream.response.writableLength > MOST_BEHIND_BYTES) stream.response.destroy();
  }

  /** Streams of sessions that have ended: by logout, a change of the password, or their age. */
  #closeEnded(): void {
    for (const stream of this.#streams) {
      if (!this.#sessions.isKnown(stream.secret)) stream.response.end();
    }
  }

  #drop(stream: Stream): void {
    this.#streams.delete(stream);
    if (this.#streams.size === 0) this.#stopLooking();
  }

  #stopLooking(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    this.#lastStatus = '';
  }
}

function eventOf(name: string, data: string, id?: string): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${name}\ndata: ${data}\n\n`;
}
