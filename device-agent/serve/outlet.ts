import type { ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { Visitor } from './connections.ts';

/** Where a reply goes, of whichever protocol. */
export interface Outlet {
  /** Takes the body. */
  readonly stream: ServerResponse;
  /** Whose bytes they are, for the household's line. */
  readonly flow: string;
  /**
   * Sends status and headers.
   * @param headers names and values by turns
   * @param close the connection ends with this response
   */
  head(status: number, headers: string[], close: boolean): void;
  /** Breaks it off, and drops what has not gone. */
  cut(): void;
}

/** HTTP/1.1 by node:http. */
export class Http1Outlet implements Outlet {
  readonly stream: ServerResponse;
  readonly flow: string;

  readonly cut: () => void;

  constructor(response: ServerResponse, { client, reset }: Pick<Visitor, 'client' | 'reset'>) {
    this.stream = response;
    this.flow = client.flow;
    this.cut = reset;
    // Decided with the rest: see Decider.date.
    response.sendDate = false;
  }

  head(status: number, headers: string[], close: boolean): void {
    if (close) this.stream.shouldKeepAlive = false;
    this.stream.writeHead(status, headers);
  }
}

/** One stream of an HTTP/2 connection. */
export class Http2Outlet implements Outlet {
  readonly stream: ServerResponse;
  readonly flow: string;
  readonly #stream: ServerHttp2Stream;

  constructor(stream: ServerHttp2Stream, flow: string) {
    this.#stream = stream;
    // What sending a body takes of a response, a stream has as well: write, end, destroy, 'close'.
    this.stream = stream as unknown as ServerResponse;
    this.flow = flow;
  }

  cut(): void {
    this.#stream.destroy();
  }

  head(status: number, headers: string[], close: boolean): void {
    const lines: Record<string, string | number> = { ':status': status };
    for (let at = 0; at < headers.length; at += 2) {
      const [name, value] = [headers[at], headers[at + 1]];
      if (name !== undefined && value !== undefined) lines[name.toLowerCase()] = value;
    }
    // Other streams of the connection go on; it ends with the last of them (RFC 9113 section 6.8).
    if (close) this.#stream.session?.close();
    this.#stream.respond(lines, { sendDate: false } as object);
  }
}
