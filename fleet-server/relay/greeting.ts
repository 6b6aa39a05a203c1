import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { messageOf } from '#protocol/errors.ts';
import { newNonce } from '#protocol/ids.ts';
import type { Tunnels } from './tunnels.ts';
import { giveUp } from './tunnels.ts';

const ANSWER = z.object({ boxId: z.string(), nonce: z.string() });
const PATIENCE_MS = 10_000;
const MOST_BYTES = 4096;

/**
 * Asks a box through its tunnel who it is: that it answers there is what makes it reachable, not that it dialled.
 * @returns null when it does, else why not
 */
export async function asksWho(tunnels: Tunnels, boxId: string): Promise<string | null> {
  const nonce = newNonce();
  const head = { ':method': 'GET', ':path': `/_hearth/health?nonce=${nonce}`, ':authority': 'box' };
  const opened = tunnels.open(boxId, head, { endStream: true });
  if ('refused' in opened) return opened.refused;
  const { stream } = opened;
  stream.on('error', () => undefined);
  const read = async (): Promise<string> => {
    let text = '';
    for await (const piece of stream) {
      text += String(piece);
      if (text.length > MOST_BYTES) throw new Error('its answer is too long');
    }
    return text;
  };
  const patience = new AbortController();
  try {
    const text = await Promise.race([
      read(),
      sleep(PATIENCE_MS, null, { signal: patience.signal }).then(() => {
        throw new Error('no answer in time');
      }),
    ]);
    const answer = ANSWER.safeParse(JSON.parse(text));
    if (!answer.success || answer.data.nonce !== nonce) return 'it answers with something else';
    return answer.data.boxId === boxId ? null : 'it says it is another box';
  } catch (error) {
    return messageOf(error);
  } finally {
    patience.abort();
    giveUp(stream);
  }
}
