import { STATUS_CODES } from 'node:http';
import type { HeaderList, Reply } from '../reply.ts';

/** The last head made from one list of fixed headers. */
interface Kept {
  /** Status line and fixed headers. */
  readonly start: string;
  own: HeaderList;
  timing: string | null;
  date: string | null;
  close: boolean;
  bytes: Buffer;
}

/**
 * Response heads, in bytes as node:http writes them. Of each list of fixed headers the start is serialised once, and
 * the last whole head is kept: within a second the next client of the same asset gets the same bytes.
 */
export class ResponseHeads {
  readonly #kept = new WeakMap<HeaderList, Map<number, Kept>>();
  readonly #keepAlive: string;

  /** @param idleMs what a client is told it may leave the connection unused */
  constructor(idleMs: number) {
    this.#keepAlive = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(idleMs / 1000)}\r\n\r\n`;
  }

  /** @param timing value of Server-Timing; null: without */
  of({ status, fixed, own, close }: Reply, timing: string | null, date: string | null): Buffer {
    let byStatus = this.#kept.get(fixed);
    if (!byStatus) {
      byStatus = new Map();
      this.#kept.set(fixed, byStatus);
    }
    const kept = byStatus.get(status);
    if (kept?.own === own && kept.timing === timing && kept.date === date && kept.close === close) {
      return kept.bytes;
    }
    const start =
      kept?.start ?? `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'unknown'}\r\n${linesOf(fixed)}`;
    const timingLine = timing === null ? '' : `Server-Timing: ${timing}\r\n`;
    const dateLine = date === null ? '' : `Date: ${date}\r\n`;
    const end = close ? 'Connection: close\r\n\r\n' : this.#keepAlive;
    const bytes = Buffer.from(`${start}${linesOf(own)}${timingLine}${dateLine}${end}`, 'latin1');
    byStatus.set(status, { start, own, timing, date, close, bytes });
    return bytes;
  }
}

function linesOf(list: HeaderList): string {
  let lines = '';
  for (let index = 0; index + 1 < list.length; index += 2) lines += `${list[index]}: ${list[index + 1]}\r\n`;
  return lines;
}
