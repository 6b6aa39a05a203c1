import { handBackLink } from '#protocol/content-url.ts';
import type { HeaderList, Reply } from './reply.ts';

import type { ContentTarget } from './request-target.ts';
import type { TokenGate } from './token-gate.ts';

/** Replies that are about no held object. */

export const METHODS = 'GET, HEAD, OPTIONS';

/** Players and pages of any origin may fetch from a CDN, and see what they were answered. */
export const CORS: HeaderList = [
  'Access-Control-Allow-Origin',
  '*',
  'Access-Control-Expose-Headers',
  'Accept-Ranges, Age, Content-Encoding, Content-Length, Content-Range, Date, ETag, Last-Modified, Server-Timing',
  'Timing-Allow-Origin',
  '*',
  // A page that isolates itself (COEP) may embed what it fetches from a CDN only with this.
  'Cross-Origin-Resource-Policy',
  'cross-origin',
  'X-Content-Type-Options',
  'nosniff',
];

const TEXT: HeaderList = [...CORS, 'Content-Type', 'text/plain; charset=utf-8', 'Cache-Control', 'no-store'];
const REDIRECT: HeaderList = [...CORS, 'Cache-Control', 'no-store', 'Content-Length', '0'];
const JSON_ANSWER: HeaderList = ['Content-Type', 'application/json', 'Cache-Control', 'no-store'];
const PREFLIGHT: HeaderList = [
  'Access-Control-Allow-Origin',
  '*',
  'Access-Control-Allow-Methods',
  METHODS,
  'Access-Control-Allow-Headers',
  // Players add headers of their own, which change nothing here. The star does not stand for Authorization, and
  // older browsers do not know it.
  '*, Authorization, Range, If-Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, Cache-Control',
  'Access-Control-Max-Age',
  '86400',
  'Allow',
  METHODS,
];

/** A sentence for a person. */
export function textReply(status: number, text: string, own: HeaderList = []): Reply {
  const bytes = Buffer.from(`${text}\n`);
  return {
    status,
    fixed: TEXT,
    own: [...own, 'Content-Length', String(bytes.length)],
    body: { kind: 'text', bytes },
    close: false,
  };
}

/** RFC 6585 section 4: one client asks for more than its share. */
export function tooManyReply(afterSeconds: number): Reply {
  return textReply(429, 'Too many requests or connections from your address.', [
    'Retry-After',
    String(afterSeconds),
  ]);
}

/** Back to the router, which is told to leave this box out. */
export function handBackReply(target: ContentTarget, boxId: string | null, routerUrl: string | null): Reply {
  if (boxId === null || routerUrl === null) return textReply(404, 'This box serves nothing yet.');
  const own = ['Location', handBackLink(routerUrl, target, boxId, target.skipped)];
  return { status: 302, fixed: REDIRECT, own, body: null, close: false };
}

/** What a browser asks before it sends a request with headers of its own (Fetch standard, CORS-preflight). */
export function preflightReply(): Reply {
  return { status: 204, fixed: PREFLIGHT, own: [], body: null, close: false };
}

/** The fleet's dial-back: is it this box that answers here? `tokens` has the key that proves it. */
export function healthReply(url: string, boxId: string | null, tokens: TokenGate): Reply {
  const nonce = /[?&]nonce=([\w-]{1,128})(?:&|$)/.exec(url)?.[1] ?? null;
  const proof = nonce === null ? null : tokens.proofOf(nonce);
  const bytes = Buffer.from(JSON.stringify({ boxId, nonce, proof }));
  const own = ['Content-Length', String(bytes.length)];
  return { status: 200, fixed: JSON_ANSWER, own, body: { kind: 'text', bytes }, close: false };
}

/** The same reply to a HEAD: its body's length is told, its body is not sent (RFC 9110 section 9.3.2). */
export function withoutBody(reply: Reply): Reply {
  return { ...reply, body: null };
}
