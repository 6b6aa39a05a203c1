import { request } from 'node:http';
import { MappingError } from '../mapping.ts';

const TIMEOUT_MS = 4_000;
/** Device descriptions are a few KB; AVM's largest is 20. */
const MOST_BYTES = 128 * 1024;

export interface HttpAnswer {
  status: number;
  text: string;
}

/**
 * One request to a device on the local network: no redirects, no connection kept, bounded in size and time.
 * @throws MappingError `no_answer`, `bad_answer`; AbortError
 */
export function askHttp(
  url: URL,
  from: string,
  signal: AbortSignal,
  post?: { headers: Record<string, string>; body: string },
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const asking = request(url, {
      method: post ? 'POST' : 'GET',
      agent: false,
      localAddress: from,
      signal,
      headers: {
        'User-Agent': 'Hearth/1 UPnP/1.1',
        Connection: 'close',
        ...(post && { ...post.headers, 'Content-Length': Buffer.byteLength(post.body) }),
      },
    });
    const failed = (error: Error) => {
      clearTimeout(deadline);
      asking.destroy();
      if (signal.aborted) reject(signal.reason instanceof Error ? signal.reason : error);
      else if (error instanceof MappingError) reject(error);
      else reject(new MappingError('no_answer', `${url.host}: ${error.message}`));
    };
    const deadline = setTimeout(
      () => failed(new MappingError('no_answer', `${url.host} took too long`)),
      TIMEOUT_MS,
    );
    asking.once('error', failed);
    asking.once('response', (response) => {
      const parts: Buffer[] = [];
      let size = 0;
      response.on('data', (part: Buffer) => {
        size += part.length;
        if (size > MOST_BYTES)
          return failed(new MappingError('bad_answer', `${url.host} does not stop talking`));
        parts.push(part);
      });
      response.once('error', failed);
      response.once('close', () => {
        if (!response.complete) return failed(new MappingError('bad_answer', `${url.host} broke off`));
        clearTimeout(deadline);
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString('utf8') });
      });
    });
    asking.end(post?.body);
  });
}
