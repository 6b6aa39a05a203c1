import type { HeaderList, ObjectBody, Part, Reply, Source } from '../reply.ts';
import { AGE_0, NO_BYTES } from '../reply.ts';
import type { ToWorker, WireBody, WireReply } from './messages.ts';

/** Lists of headers one worker knows by number; with more, it forgets all. */
const MOST_LISTS = 4_096;

/** Numbers of the lists of headers that many replies share, over all workers. */
const numbers = new WeakMap<HeaderList, number>();
let lastNumber = 0;

/** Writes replies for one worker: a list of headers it has had already goes as a number. */
export class ReplyWriter {
  readonly #send: (message: ToWorker) => void;
  readonly #known = new Set<number>();

  /** @param send is given what the worker must know before the reply */
  constructor(send: (message: ToWorker) => void) {
    this.#send = send;
  }

  write({ status, fixed, own, close, body }: Reply): WireReply {
    return {
      status,
      fixed: this.#numberOf(fixed),
      own: own === AGE_0 ? null : own,
      close,
      body: bodyOf(body),
    };
  }

  #numberOf(list: HeaderList): number {
    let number = numbers.get(list);
    if (number === undefined) {
      number = ++lastNumber;
      numbers.set(list, number);
    }
    if (this.#known.has(number)) return number;
    if (this.#known.size >= MOST_LISTS) {
      this.#known.clear();
      this.#send(['unlist']);
    }
    this.#known.add(number);
    this.#send(['list', number, [...list]]);
    return number;
  }
}

function bodyOf(body: Reply['body']): WireBody {
  if (body === null) return null;
  if (body.kind === 'text') return [body.bytes.toString()];
  const { key, sha256, sizeBytes } = body.source;
  const parts = body.parts.map(({ before, start, end }): [string, number, number] => [
    before.toString('latin1'),
    start,
    end,
  ]);
  return [key, sha256, sizeBytes, parts, body.closing.toString('latin1'), body.lengthBytes];
}

/** What a worker knows of an object's body beyond what is written. */
export interface ReadBody extends Pick<ObjectBody, 'entitlement' | 'assetId' | 'instead'> {}

/** Reads what a `ReplyWriter` wrote. */
export class ReplyReader {
  readonly #lists = new Map<number, HeaderList>();

  learn(number: number, list: HeaderList): void {
    this.#lists.set(number, list);
  }

  forget(): void {
    this.#lists.clear();
  }

  /** @param more made for an object's body */
  read(reply: WireReply, more: () => ReadBody): Reply {
    const { status, fixed, own, close, body } = reply;
    return {
      status,
      fixed: this.#lists.get(fixed) ?? [],
      own: own ?? AGE_0,
      close,
      body: readBody(body, more),
    };
  }
}

function readBody(body: WireBody, more: () => ReadBody): Reply['body'] {
  if (body === null) return null;
  if (body.length === 1) return { kind: 'text', bytes: Buffer.from(body[0]) };
  const [key, sha256, sizeBytes, parts, closing, lengthBytes] = body;
  const source: Source = { key, sha256, sizeBytes };
  return {
    kind: 'object',
    source,
    parts: parts.map(([before, start, end]): Part => ({ before: bytesOf(before), start, end })),
    closing: bytesOf(closing),
    lengthBytes,
    ...more(),
  };
}

function bytesOf(text: string): Buffer {
  return text === '' ? NO_BYTES : Buffer.from(text, 'latin1');
}
