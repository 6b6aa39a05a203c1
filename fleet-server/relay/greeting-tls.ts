import { once } from 'node:events';
import tls from 'node:tls';
import { messageOf } from '#protocol/errors.ts';
import { CLIENT_ADDRESS_HEADER } from '#protocol/relay.ts';
import type { Tunnels } from './tunnels.ts';
import { giveUp } from './tunnels.ts';

const PATIENCE_MS = 10_000;

/**
 * Shakes hands with a box through its tunnel, as a client of its name would: only then are clients sent there by TLS.
 * @param issued fingerprint of the certificate the fleet got for it, SHA-256 as Node writes it
 * @returns null when it is so, else why not
 */
export async function meetsOverTls(
  tunnels: Tunnels,
  boxId: string,
  serverName: string,
  issued: string,
): Promise<string | null> {
  const head = { ':method': 'CONNECT', ':authority': `${serverName}:443`, [CLIENT_ADDRESS_HEADER]: '' };
  const opened = tunnels.open(boxId, head, { endStream: false });
  if ('refused' in opened) return opened.refused;
  const { stream } = opened;
  stream.on('error', () => undefined);
  const refused = new AbortController();
  stream.once('response', (answer) => {
    if (answer[':status'] !== 200) refused.abort();
  });
  stream.once('close', () => refused.abort());
  const signal = AbortSignal.any([refused.signal, AbortSignal.timeout(PATIENCE_MS)]);
  // Compared with the very certificate that was issued, which is more than a chain of trust would say.
  const socket = tls.connect({ socket: stream, servername: serverName, rejectUnauthorized: false });
  socket.on('error', () => undefined);
  try {
    await once(socket, 'secureConnect', { signal });
    const shown = socket.getPeerX509Certificate();
    return shown?.fingerprint256 === issued ? null : 'it shows another certificate than was issued';
  } catch (error) {
    return refused.signal.aborted ? 'it takes no TLS' : messageOf(error);
  } finally {
    socket.destroy();
    giveUp(stream);
  }
}
