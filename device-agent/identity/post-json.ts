import type { X509Certificate } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import { errnoOf } from '#agent/durable/durable-file.ts';
import { PLAUSIBLE_MS } from '#agent/time/clock.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';
import { dialWithoutClock, systemRoots } from './without-clock.ts';

const MOST_BYTES = 256 * 1024;
const LONGEST_MS = 30_000;

export interface PostOptions {
  signal: AbortSignal;
  /** The local clock, ms since 1970. */
  nowMs?: number;
  /** Who is trusted while the clock is wrong; default: whom Node trusts. */
  roots?: readonly X509Certificate[];
}

/**
 * Posts JSON and reads the JSON answered. Redirects are not followed: what is posted here is for one host only.
 * While the clock is certainly wrong the server is verified without it, before a byte is posted.
 * @throws HearthError `unavailable` when there is no answer, or none that can be read
 */
export async function postJson(
  url: string,
  body: unknown,
  { signal, nowMs = Date.now(), roots }: PostOptions,
): Promise<{ status: number; body: unknown }> {
  const payload = Buffer.from(JSON.stringify(body));
  const post = (verified: Socket | null) =>
    new Promise<{ status: number; text: string }>((resolve, reject) => {
      const request = (url.startsWith('https:') ? https : http).request(url, {
        ...(verified && { createConnection: () => verified }),
        method: 'POST',
        signal,
        // Node asks no agent where it is given the connection, and only there.
        agent: verified ? undefined : false,
        timeout: LONGEST_MS,
        headers: {
          'content-type': 'application/json',
          'content-length': payload.length,
          accept: 'application/json',
        },
      });
      request.on('timeout', () => request.destroy(new Error('no answer in time')));
      request.on('error', reject);
      request.on('response', (response) => {
        const pieces: Buffer[] = [];
        let bytes = 0;
        response.on('data', (piece: Buffer) => {
          bytes += piece.length;
          if (bytes > MOST_BYTES) request.destroy(new Error('the answer is too long'));
          else pieces.push(piece);
        });
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(pieces).toString('utf8') }),
        );
      });
      request.end(payload);
    });
  const needsNoClock = !url.startsWith('https:') || nowMs >= PLAUSIBLE_MS;
  const { status, text } = await (needsNoClock
    ? post(null)
    : dialWithoutClock(url, roots ?? systemRoots(), signal).then(post)
  ).catch((cause) => {
    throw new HearthError(
      'unavailable',
      `The fleet at ${new URL(url).origin} cannot be reached (${why(cause)}).`,
      {
        cause,
      },
    );
  });
  try {
    return { status, body: JSON.parse(text) };
  } catch (cause) {
    throw new HearthError(
      'unavailable',
      `What answers at ${new URL(url).origin} (status ${status}) is not a Hearth fleet.`,
      { cause },
    );
  }
}

function why(error: unknown): string {
  const code = errnoOf(error);
  if (code === 'CERT_NOT_YET_VALID') return "its certificate is not valid yet: is this box's clock set?";
  return code && code !== 'ABORT_ERR' ? code : messageOf(error);
}
