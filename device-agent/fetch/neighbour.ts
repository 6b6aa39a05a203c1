import { randomBytes } from 'node:crypto';
import http from 'node:http';

const TIMEOUT_MS = 1_500;
const MOST_BYTES = 1_024;

/**
 * Asks the box at a content link who it is. Private addresses repeat: behind a provider's NAT two households share
 * a public address, and what is 192.168.1.5 there is somebody's printer here.
 * @returns false when it is not that box, or does not answer soon
 */
export function isThatBox(link: string, boxId: string, signal: AbortSignal): Promise<boolean> {
  const base = link.slice(0, link.indexOf('/c/'));
  const nonce = randomBytes(16).toString('hex');
  // Between boxes of one network there are no certificates to go by; chunks are checked by their hash.
  if (!base.startsWith('http://')) return Promise.resolve(false);
  return new Promise((resolve) => {
    const request = http.get(`${base}/_hearth/health?nonce=${nonce}`, {
      agent: false,
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    request.on('error', () => resolve(false));
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        text += piece;
        if (text.length > MOST_BYTES) request.destroy();
      });
      response.on('close', () => resolve(response.complete && isAnswer(text, boxId, nonce)));
    });
  });
}

function isAnswer(text: string, boxId: string, nonce: string): boolean {
  try {
    const answer = JSON.parse(text) as { boxId?: unknown; nonce?: unknown } | null;
    return answer?.boxId === boxId && answer.nonce === nonce;
  } catch {
    return false;
  }
}
