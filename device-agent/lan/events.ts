import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { HearthError } from '#protocol/errors.ts';
import type { Activity, LogEvent, LogLine } from '#protocol/http-box.ts';
import { eventsQuerySchema } from '#protocol/http-box.ts';
import type { Call } from './api.ts';
import { readQuery } from './api.ts';
import type { BoxView } from './box-view.ts';
import type { Sessions } from './sessions.ts';

const MOST_STREAMS = 16;
/** One browser must not keep the others of the household out. */
const MOST_PER_SESSION = 6;
const LOOK_MS = 1_000;
const HEARTBEAT_MS = 15_000;
/** A reader further behind than this is cut off; it comes back and is told the present. */
const MOST_BEHIND_BYTES = 256 * 1024;
/** Lines of the log are gathered for so long; what is more than this of them at once is left out, newest kept. */
const GATHER_MS = 250;
const MOST_LOG_BYTES = 96 * 1024;
/** How soon a browser that lost its stream comes back. */
const RETRY_MS = 2_000;

interface Stream {
  response: ServerResponse;
  secret: string | null;
  quietMs: number;
  wantsLog: boolean;
  /** The last line of the log it was told. */
  logSeq: number;
}

/**
 * `GET /api/events`: server-sent events (WHATWG HTML, 9.2) to logged-in pages. `status` is the whole status
 * whenever it changed, `activity` and `log` are new lines, oldest first, `settings` says that they changed. Lines have
 * ids, `<boot>.<activity>.<log>`: a page that comes back with its last one is sent what it missed and nothing twice,
 * after a restart of the box all there is.
 */
export class EventStreams {
  readonly #view: BoxView;
  readonly #sessions: Sessions;
  readonly #streams = new Set<Stream>();
  readonly #boot = randomUUID().slice(0, 8);
  #timer: NodeJS.Timeout | null = null;
  #gathering: NodeJS.Timeout | null = null;
  #lastStatus = '';

  constructor(view: BoxView, sessions: Sessions) {
    this.#view = view;
    this.#sessions = sessions;
    view.activity.onAdd((item) => {
      for (const stream of this.#streams) this.#tellActivity(stream, [item]);
    });
    view.logs?.onAdd(() => this.#gather());
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
    const query = readQuery(call.query, eventsQuerySchema);
    const mine = [...this.#streams].filter((stream) => stream.secret === secret);
    if (this.#streams.size >= MOST_STREAMS || mine.length >= MOST_PER_SESSION) {
      throw new HearthError('unavailable', 'Too many pages are open: this one asks again by itself.');
    }
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    const seen = this.#seenOf(request.headers['last-event-id'] ?? query.since);
    const wantsLog = query.log !== undefined;
    const stream: Stream = { response, secret, quietMs: 0, wantsLog, logSeq: seen.logSeq };
    this.#streams.add(stream);
    response.on('close', () => this.#drop(stream));
    this.#write(stream, `retry: ${RETRY_MS}\n\n`);
    this.#write(stream, eventOf('status', JSON.stringify(this.#view.status())));
    const missed = this.#view.activity.list().filter((item) => item.seq > seen.activitySeq);
    if (missed.length > 0) this.#tellActivity(stream, missed.toReversed());
    this.#tellLog(stream);
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

  /** What a page has been told, by the id it names: nothing when that is of another run of the box, or none. */
  #seenOf(id: string | string[] | undefined): { activitySeq: number; logSeq: number } {
    const [, boot, activity, log] = /^(\w{8})\.(\d{1,15})(?:\.(\d{1,15}))?$/.exec(String(id ?? '')) ?? [];
    const known = boot === this.#boot;
    return { activitySeq: known ? Number(activity) : 0, logSeq: known ? Number(log ?? 0) : 0 };
  }

  /** To be called with all that the page has not been told. */
  #tellActivity(stream: Stream, items: readonly Activity[]): void {
    this.#write(stream, eventOf('activity', JSON.stringify({ items }), this.#idFor(stream)));
  }

  #idFor(stream: Stream): string {
    return `${this.#boot}.${this.#view.activity.list()[0]?.seq ?? 0}.${stream.logSeq}`;
  }

  /** Lines come in bursts: they are told together. */
  #gather(): void {
    if (this.#gathering || ![...this.#streams].some((stream) => stream.wantsLog)) return;
    this.#gathering = setTimeout(() => {
      this.#gathering = null;
      for (const stream of this.#streams) this.#tellLog(stream);
    }, GATHER_MS);
    this.#gathering.unref();
  }

  #tellLog(stream: Stream): void {
    // A reader that is behind is told later, of what is then there.
    if (!stream.wantsLog || stream.response.writableLength > MOST_LOG_BYTES) return;
    const fresh = this.#view.logs?.list(stream.logSeq, 'debug') ?? [];
    const newest = fresh.at(-1);
    if (!newest) return;
    const items: LogLine[] = [];
    let bytes = 0;
    for (const line of fresh.toReversed()) {
      bytes += Buffer.byteLength(JSON.stringify(line));
      if (bytes > MOST_LOG_BYTES) break;
      items.unshift(line);
    }
    // The ring forgets too: what it no longer has counts among what was left out.
    const skipped = Math.max(0, newest.seq - stream.logSeq - items.length);
    const isFirst = stream.logSeq === 0;
    stream.logSeq = newest.seq;
    const event: LogEvent = { items, skipped: isFirst ? 0 : skipped };
    this.#write(stream, eventOf('log', JSON.stringify(event), this.#idFor(stream)));
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
      this.#tellLog(stream);
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
    if (this.#gathering) clearTimeout(this.#gathering);
    this.#timer = null;
    this.#gathering = null;
    this.#lastStatus = '';
  }
}

function eventOf(name: string, data: string, id?: string): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${name}\ndata: ${data}\n\n`;
}
