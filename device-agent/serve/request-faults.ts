import type { IncomingMessage } from 'node:http';

/** More lines than any browser sends, with its cookies and hints. */
const MOST_LINES = 100;
/** RFC 3986 section 3.2.2, loosely: a name, an IPv4 address or an IPv6 one in brackets, and a port. */
const HOST = /^(?:[\w.~!$&'()*+,;=%-]*|\[[0-9a-f:.]+\])(?::\d*)?$/i;

/**
 * What is wrong with a request that node:http's parser lets pass. A box may stand behind any proxy, and where two
 * read one request differently, one client's bytes become another's request (RFC 9112 section 11.2).
 * @returns status and reason of the refusal; null when nothing is wrong
 */
export function faultOf(request: IncomingMessage): { status: number; reason: string } | null {
  const { httpVersion, rawHeaders, headers, url = '' } = request;
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    return { status: 505, reason: 'This port speaks HTTP/1.1 here' };
  }
  if (rawHeaders.length > 2 * MOST_LINES) return { status: 431, reason: 'Too many header lines' };
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at];
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  // RFC 9112 section 3.2: more than one line, or a value that is none.
  if (hosts > 1) return { status: 400, reason: 'More than one Host' };
  if (headers.host !== undefined && !HOST.test(headers.host)) return { status: 400, reason: 'Not a Host' };
  const authority = /^https?:\/\/([^/?#]*)/i.exec(url)?.[1];
  if (authority !== undefined && authority.toLowerCase() !== headers.host?.toLowerCase()) {
    return { status: 400, reason: 'Target and Host differ' };
  }
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && (coding.toLowerCase() !== 'chunked' || httpVersion === '1.0')) {
    // RFC 9112 section 6.1: one that is not understood, or cannot be by who speaks 1.0.
    return { status: 400, reason: 'Not a Transfer-Encoding this port takes' };
  }
  return null;
}
