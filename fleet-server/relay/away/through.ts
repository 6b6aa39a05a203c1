import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import http from 'node:http';
import type { ClientHttp2Stream } from 'node:http2';
import { Duplex } from 'node:stream';
import { CLIENT_ADDRESS_HEADER, DASHBOARD_HEADER } from '#protocol/relay.ts';
import { carry } from '../carry.ts';
import type { Tolls } from '../tolls.ts';
import type { Tunnels } from '../tunnels.ts';

/** The box's own session, which it sets at its login; the name is part of its API. */
const BOX_COOKIE = 'hearth_box_session';
/** The same as the browser keeps it, for the relay's host: the name says whose it is, as the path would. */
export const boxCookieName = (boxId: string) => `__Host-hearth_box_${boxId}`;
/** A box that has not begun to answer by then, ms: it may be measuring its line. */
const ANSWER_MS = 60_000;
/** Longest silence of a stream of events, whose heartbeat comes every 15 s, ms. */
const SILENT_MS = 45_000;
const MOST_BODY_BYTES = 64 * 1024;
/** What is longer than this is not even read to its end, which whoever sends it may need to see the refusal. */
const MOST_READ_BYTES = 1024 * 1024;
const MOST_ANSWER_BYTES = 16 * 1024 * 1024;

/** What the box is to see of a request. */
const PASSED = [
  'accept',
  'accept-language',
  'content-type',
  'last-event-id',
  'origin',
  'x-hearth-csrf',
] as const;

export interface ThroughParts {
  tunnels: Tunnels;
  tolls: Tolls;
}

export interface ThroughCall {
  boxId: string;
  /** Below the box's root, with its query. */
  path: string;
  client: string;
  /** The box's session cookie, as the browser sent it. */
  boxSession: string | null;
}

/** Why a call did not get through. */
export type Refusal = 'not_here' | 'busy' | 'switched_off' | 'no_answer' | 'too_long';

/**
 * Takes a call of the API to the box and its answer back. Nothing a box says can become a page or a script of the
 * relay's origin: only JSON, streams of events and downloads come through, and of cookies its session alone.
 * @param refused nothing has been answered yet
 */
export function callThrough(
  { tunnels, tolls }: ThroughParts,
  call: ThroughCall,
  request: IncomingMessage,
  response: ServerResponse,
  refused: (why: Refusal) => void,
): void {
  const { boxId, client } = call;
  const host = request.headers.host ?? '';
  const length = Number(request.headers['content-length'] ?? 0);
  const isUntold = request.headers['transfer-encoding'] !== undefined;
  if (length > MOST_BODY_BYTES || isUntold) {
    if (length > MOST_READ_BYTES || isUntold) refused('too_long');
    else request.once('end', () => refused('too_long')).resume();
    return;
  }
  const over = new AbortController();
  const opened = tunnels.open(
    boxId,
    {
      ':method': 'CONNECT',
      ':authority': 'dashboard:80',
      [DASHBOARD_HEADER]: host,
      [CLIENT_ADDRESS_HEADER]: client,
    },
    { endStream: false, signal: over.signal },
  );
  if ('refused' in opened) {
    refused(opened.refused === 'not_here' ? 'not_here' : 'busy');
    return;
  }
  const { stream } = opened;
  let answered = false;
  let failed = false;
  /** All of the answer is here: how the connection ends does not matter any more. */
  let whole = false;
  const fail = (why: Refusal) => {
    if (whole || failed) return;
    failed = true;
    clearTimeout(patience);
    over.abort();
    if (answered) response.destroy();
    else if (!response.destroyed) refused(why);
  };
  let patience = setTimeout(() => fail('no_answer'), ANSWER_MS);
  stream.on('error', () => fail('no_answer'));
  stream.once('close', () => {
    if (!answered) fail('no_answer');
  });
  response.once('close', () => {
    clearTimeout(patience);
    over.abort();
  });
  stream.once('response', (head) => {
    const status = Number(head[':status']);
    if (status !== 200) fail(status === 403 ? 'switched_off' : 'busy');
    else ask(stream);
  });

  function ask(connection: ClientHttp2Stream): void {
    const headers: OutgoingHttpHeaders = { host, connection: 'close' };
    for (const name of PASSED) {
      const value = request.headers[name];
      if (value !== undefined) headers[name] = String(value);
    }
    if (call.boxSession !== null) headers.cookie = `${BOX_COOKIE}=${call.boxSession}`;
    if (length > 0) headers['content-length'] = length;
    const onward = http.request({
      method: request.method,
      path: call.path,
      headers,
      maxHeaderSize: 16 * 1024,
      // Not the stream itself: http writes text, and of text written to an HTTP/2 stream Node breaks the first bytes.
      createConnection: () => Duplex.from({ readable: connection, writable: connection }),
    });
    onward.on('error', () => fail('no_answer'));
    onward.once('response', (answer) => {
      if (failed) return;
      const status = answer.statusCode ?? 0;
      // Node reads any three digits as a status, and throws when it is to write them.
      if (status < 200 || status > 599) return fail('no_answer');
      answered = true;
      clearTimeout(patience);
      const isStream = /^text\/event-stream(;|$)/.test(answer.headers['content-type'] ?? '');
      response.writeHead(status, headersOf(answer, call, isStream));
      if (isStream) {
        patience = setTimeout(() => fail('no_answer'), SILENT_MS);
        response.flushHeaders();
      }
      let sent = 0;
      answer.on('error', () => response.destroy());
      carry({
        from: answer,
        to: response,
        toll: tolls.of(boxId, client),
        onBytes: (bytes) => {
          sent += bytes;
          if (isStream) patience.refresh();
          else if (sent > MOST_ANSWER_BYTES) fail('no_answer');
        },
      });
      answer.once('end', () => {
        whole = answer.complete;
        if (whole) response.end();
        else response.destroy();
      });
      answer.once('close', () => {
        if (!whole) response.destroy();
      });
    });
    // No more of it than was looked at above.
    request.on('data', (piece: Buffer) => onward.write(piece));
    request.once('end', () => onward.end());
    request.resume();
  }
}

/** What the browser is to see of the box's answer. */
function headersOf(answer: IncomingMessage, call: ThroughCall, isStream: boolean): OutgoingHttpHeaders {
  const { headers } = answer;
  const out: OutgoingHttpHeaders = { 'cache-control': 'no-store' };
  const isJson = /^application\/json(;|$)/.test(headers['content-type'] ?? '');
  if (isStream) out['content-type'] = 'text/event-stream; charset=utf-8';
  else if (isJson) out['content-type'] = 'application/json; charset=utf-8';
  else out['content-type'] = 'application/octet-stream';
  const file = /^attachment; filename="([\w.-]{1,100})"$/.exec(headers['content-disposition'] ?? '')?.[1];
  if (file !== undefined || (!isJson && !isStream)) {
    out['content-disposition'] = `attachment; filename="${file ?? 'download'}"`;
  }
  if (/^\d{1,9}$/.test(headers['retry-after'] ?? '')) out['retry-after'] = headers['retry-after'];
  if (/^\d{1,9}$/.test(headers['content-length'] ?? '')) out['content-length'] = headers['content-length'];
  for (const cookie of headers['set-cookie'] ?? []) {
    const [, value, maxAge] = /^hearth_box_session=([\w-]{0,128});.*Max-Age=(\d{1,8})/.exec(cookie) ?? [];
    if (value === undefined) continue;
    out['set-cookie'] =
      `${boxCookieName(call.boxId)}=${value}; HttpOnly; Secure; SameSite=Strict; Path=/; Max-Age=${maxAge}`;
  }
  return out;
}
