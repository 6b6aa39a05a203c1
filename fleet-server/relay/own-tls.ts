import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import https from 'node:https';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { HearthError, messageOf } from '#protocol/errors.ts';

export interface OwnTlsParts {
  /** PEM files: the chain and its key. Whatever renews them replaces them. Null: they are handed in (`use`). */
  files: { cert: string; key: string } | null;
  answer: (request: IncomingMessage, response: ServerResponse) => void;
  /** Connections it takes at once. */
  connections: number;
  log: Logger;
  /** How often the files are looked at, ms. */
  lookMs?: number;
  /** How long a client may take for the head of a request, and twice that for all of it, ms. */
  headMs?: number;
}

/** The files are looked at again this often, ms; what replaces them is used after two looks. */
const LOOK_MS = 60_000;
const HEAD_MS = 10_000;

/**
 * The relay's own name over TLS: of what clients' greetings name it takes what its certificate covers, and leaves
 * the rest to be carried through unread.
 */
export class OwnTls {
  readonly #parts: OwnTlsParts;
  readonly #server: Server;
  readonly #timer: NodeJS.Timeout | null = null;
  /** Null: none has come yet, and it covers nothing. */
  #leaf: X509Certificate | null = null;
  #used = '';
  #seen = '';

  /** @throws HearthError `bad_request` when the files cannot be used */
  static async open(parts: OwnTlsParts): Promise<OwnTls> {
    const { files } = parts;
    const own = new OwnTls(parts);
    if (files === null) return own;
    try {
      const [cert, key] = await Promise.all([readFile(files.cert, 'utf8'), readFile(files.key, 'utf8')]);
      own.use({ cert, key });
      own.#seen = own.#used;
      return own;
    } catch (cause) {
      own.close();
      throw new HearthError(
        'bad_request',
        `HEARTH_RELAY_CERT and HEARTH_RELAY_KEY cannot be used: ${messageOf(cause)}`,
        { cause },
      );
    }
  }

  private constructor(parts: OwnTlsParts) {
    this.#parts = parts;
    const headMs = parts.headMs ?? HEAD_MS;
    this.#server = https.createServer(
      {
        minVersion: 'TLSv1.2',
        handshakeTimeout: 10_000,
        maxHeaderSize: 16 * 1024,
        headersTimeout: headMs,
        requestTimeout: 2 * headMs,
        connectionsCheckingInterval: headMs / 2,
        keepAliveTimeout: 15_000,
        ALPNProtocols: ['http/1.1'],
      },
      parts.answer,
    );
    // It never listens itself, and begins to watch the time of its requests with this event.
    this.#server.emit('listening');
    this.#server.timeout = 60_000;
    this.#server.maxConnections = parts.connections;
    this.#server.on('tlsClientError', (error, socket) => {
      parts.log.debug({ err: error.message }, "a client's handshake failed");
      socket.destroy();
    });
    const { files } = parts;
    if (files === null) return;
    this.#timer = setInterval(() => void this.#look(files), parts.lookMs ?? LOOK_MS);
    this.#timer.unref();
  }

  /** Connections from now on are shown this. @throws when it is no certificate, or the key is not its own */
  use({ cert, key }: { cert: string; key: string }): void {
    const leaf = leafOf(cert, key);
    this.#server.setSecureContext({ cert, key, minVersion: 'TLSv1.2' });
    this.#leaf = leaf;
    this.#used = cert + key;
  }

  /**
   * Whether a server name is one of its own: by the certificate's words; `maybe`: by a wildcard, which may well cover
   * boxes' names too.
   */
  covers(serverName: string): boolean | 'maybe' {
    const covered = (wildcards: boolean) =>
      this.#leaf?.checkHost(serverName, { subject: 'never', wildcards }) !== undefined;
    return covered(false) || (covered(true) && 'maybe');
  }

  /** The first name it goes by; null: its certificate names none. */
  get name(): string | null {
    return /DNS:([a-z0-9.-]+)/i.exec(this.#leaf?.subjectAltName ?? '')?.[1] ?? null;
  }

  /** Takes a connection over. @param first what was read of it, put back */
  take(socket: Socket, first: Buffer): void {
    socket.unshift(first);
    this.#server.emit('connection', socket);
  }

  close(): void {
    if (this.#timer) clearInterval(this.#timer);
    // Ends the watching too.
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #look(files: { cert: string; key: string }): Promise<void> {
    const { log } = this.#parts;
    try {
      const [cert, key] = await Promise.all([readFile(files.cert, 'utf8'), readFile(files.key, 'utf8')]);
      const now = cert + key;
      // Whoever replaces them may be in the middle of it, and a chain may break off behind its leaf: they must be the
      // same at two looks.
      const settled = now === this.#seen;
      this.#seen = now;
      if (now === this.#used || !settled) return;
      this.use({ cert, key });
      log.info({ file: files.cert }, 'the relay has a new certificate');
    } catch (error) {
      log.warn(
        { err: messageOf(error) },
        "the relay's certificate files cannot be used; what was there stays",
      );
    }
  }
}

/**
 * The certificate at the head of a chain. Looked at before TLS is given the two: that takes an empty file for none,
 * and would then refuse everyone.
 * @throws when it is none, or the key is not its own
 */
function leafOf(cert: string, key: string): X509Certificate {
  const leaf = new X509Certificate(cert);
  if (!leaf.checkPrivateKey(createPrivateKey(key))) throw new Error('the key is not that of the certificate');
  return leaf;
}
