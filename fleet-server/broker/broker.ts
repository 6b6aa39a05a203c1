import type { EventEmitter } from 'node:events';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { Aedes, type Client } from 'aedes';
import type { Logger } from 'pino';
import type { Counter } from 'prom-client';
import { admitBox, noLongerAdmitted } from '#fleet/boxes/admission.ts';
import { bodyOf, due, makeDue, markSent, RESEND_MS } from '#fleet/commands/outbox.ts';
import { type Database, isValueRefused } from '#fleet/database/database.ts';
import type { FleetKeys } from '#fleet/keys/fleet-keys.ts';
import { openSessions } from '#fleet/relay/away/listing.ts';
import { type Reach, reachOf } from '#fleet/relay/standing.ts';
import { deliveryKeyFor } from '#protocol/delivery-token.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';
import { newId } from '#protocol/ids.ts';
import { LIMITS } from '#protocol/limits.ts';
import {
  type CommandBody,
  type DownKind,
  type DownMessage,
  encodeDown,
  PROTOCOL_VERSION,
} from '#protocol/messages.ts';
import { signCommand } from '#protocol/signing.ts';
import { downFilter, downTopic, parseTopic, TOPIC_LEVELS, upTopics } from '#protocol/topics.ts';
import type { Inbound, Link } from './inbound.ts';
import { limitPackets } from './packet-limit.ts';
import type { Presence } from './presence.ts';

export interface BrokerOptions {
  host: string;
  port: number;
  /** Names and addresses boxes reach this broker by, for its certificate. */
  names: string[];
  heartbeatIntervalMs: number;
  routerUrl: () => string;
  /** Boxes are `<label>.<this>`; null: they have no names. */
  boxDomain: string | null;
  /** Where clients find boxes' TLS at relays. */
  securePort: number;
}

/** Messages of one box that may wait for the database; a box that sends faster is cut off and comes back. */
const BACKLOG = 256;
const REACH_EVERY_MS = 5_000;
/** A payload of the largest size with its topic and header; what is larger is not even read. */
const MAX_PACKET_BYTES = 2 * LIMITS.mqttPayloadBytes;
/** How long a `configure` command is good for: longer than any clock is wrong while the link stands. */
const CONFIGURE_LIFE_MS = 3_600_000;

interface Connection {
  client: Client;
  /** Handling of this box's messages, one after the other, in the order they came. */
  tail: Promise<void>;
  waiting: number;
  dispatching: boolean;
  again: boolean;
  said: boolean;
  /** How it was last told that it is reached. */
  reach: string;
  /** What it was told of who is in at its dashboard; empty: nothing. */
  away: string;
}

/**
 * The MQTT broker boxes connect to: aedes over TLS with client certificates. It delivers the outbox and hands
 * what boxes publish to `Inbound`; nothing of value lives in it, so it may be killed at any time.
 */
export class Broker implements Link {
  readonly #db: Database;
  readonly #keys: FleetKeys;
  readonly #options: BrokerOptions;
  readonly #presence: Presence;
  readonly #inbound: Inbound;
  readonly #log: Logger;
  readonly #refused: Counter<'reason'>;
  readonly #connections = new Map<string, Connection>();
  readonly #aedes: Aedes;
  readonly #server: Server;
  readonly #timers: NodeJS.Timeout[] = [];
  #certificateExpiresAtMs: number;

  private constructor(
    parts: BrokerParts,
    aedes: Aedes,
    certificate: { keyPem: string; certificatePem: string; expiresAtMs: number },
  ) {
    this.#db = parts.db;
    this.#keys = parts.keys;
    this.#options = parts.options;
    this.#presence = parts.presence;
    this.#inbound = parts.inbound;
    this.#log = parts.log;
    this.#refused = parts.refused;
    this.#aedes = aedes;
    this.#certificateExpiresAtMs = certificate.expiresAtMs;
    this.#server = createServer(
      {
        key: certificate.keyPem,
        cert: certificate.certificatePem,
        ca: parts.keys.ca.certificatePem,
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: 'TLSv1.2',
        handshakeTimeout: 10_000,
      },
      (socket) => {
        limitPackets(socket, MAX_PACKET_BYTES);
        aedes.handle(socket);
      },
    );
    this.#server.on('tlsClientError', (error) =>
      this.#log.debug({ err: error.message }, 'a TLS handshake failed'),
    );
    this.#rules();
    this.#timers.push(setInterval(() => this.dispatchAll(), RESEND_MS / 3));
    this.#timers.push(setInterval(() => void this.#renewCertificate(), 3_600_000));
    // A relay that was killed tells nobody.
    this.#timers.push(setInterval(() => this.#tellReachOrLog(''), REACH_EVERY_MS));
  }

  /** Starts listening. @throws when the port is taken */
  static async start(parts: BrokerParts): Promise<Broker> {
    const aedes = await Aedes.createBroker({
      heartbeatInterval: 60_000,
      connectTimeout: 10_000,
      // Waits for its client certificate to be looked up, no longer.
      queueLimit: 42,
      maxClientsIdLength: 32,
      maxTopicLevels: TOPIC_LEVELS,
      drainTimeout: 30_000,
    });
    const certificate = await parts.keys.ca.issueServer(parts.options.names);
    const broker = new Broker(parts, aedes, certificate);
    await parts.presence.reset();
    await new Promise<void>((resolve, reject) => {
      broker.#server.once('error', reject);
      broker.#server.listen(parts.options.port, parts.options.host, resolve);
    });
    return broker;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : this.#options.port;
  }

  get connected(): number {
    return this.#connections.size;
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#server.close();
    await new Promise<void>((resolve) => this.#aedes.close(() => resolve()));
    await Promise.allSettled([...this.#connections.values()].map((connection) => connection.tail));
    await this.#presence.close();
  }

  // ------------------------------------------------------------------------------------------------ who may

  #rules(): void {
    const aedes = this.#aedes;
    aedes.authenticate = (client, _username, _password, done) => {
      this.#admit(client).then(
        () => done(null, true),
        (error: unknown) => {
          this.#log.info({ clientId: client.id, err: messageOf(error) }, 'a client was turned away');
          // 3: the server is unavailable; 5: not authorized (MQTT 3.1.1 table 3.1).
          const returnCode = error instanceof HearthError ? 5 : 3;
          done(Object.assign(new Error(messageOf(error)), { returnCode }), false);
        },
      );
    };
    aedes.authorizeSubscribe = (client, subscription, done) => {
      done(null, subscription.topic === downFilter(client.id) ? { ...subscription, qos: 1 } : null);
    };
    aedes.authorizePublish = (client, packet, done) => {
      // Without a client: a will that was never checked. Nobody waits for it, the broker sees for itself who is gone.
      if (!client) return done(new Error('a will without its connection'));
      const { retain } = packet;
      // Whatever is said of it below, the broker keeps nothing in memory for a box.
      packet.retain = false;
      this.#receive(client, packet.topic, packet.payload as Buffer, retain).then(() => done(null), done);
    };
    aedes.on('clientReady', (client) => {
      this.#connections.set(client.id, {
        client,
        tail: Promise.resolve(),
        waiting: 0,
        dispatching: false,
        again: false,
        said: false,
        reach: '',
        away: '',
      });
    });
    aedes.on('clientDisconnect', (client) => {
      // A box that came back before its old connection was seen to be dead has a new entry by now.
      if (this.#connections.get(client.id)?.client !== client) return;
      this.#connections.delete(client.id);
      this.#inbound.forget(client.id);
      this.#presence.offline(client.id).catch((error: unknown) => {
        this.#log.warn(
          { boxId: client.id, err: messageOf(error) },
          'cannot record that the box went offline',
        );
      });
    });
    aedes.on('clientError', (client, error) =>
      this.#log.debug({ boxId: client.id, err: error.message }, 'client error'),
    );
    aedes.on('connectionError', (_client, error) =>
      this.#log.debug({ err: error.message }, 'connection error'),
    );
    // An error event that nobody hears would end the process.
    (aedes as EventEmitter).on('error', (error: Error) =>
      this.#log.warn({ err: error.message }, 'the broker is in trouble'),
    );
  }

  async #admit(client: Client): Promise<void> {
    const boxId = await admitBox(this.#db, client.conn as TLSSocket);
    if (boxId !== client.id) {
      throw new HearthError('forbidden', 'the client id must be the box id in the certificate');
    }
  }

  #tellReachOrLog(boxId: string): void {
    this.tellReach(boxId).catch((error: unknown) => {
      this.#log.warn(
        { err: messageOf(error) },
        'cannot tell boxes how they are reached now; it is tried again',
      );
    });
  }

  /** Cuts a box off if it has been revoked; empty: any box, since word of it may have been missed. */
  async recheck(boxId: string): Promise<void> {
    this.#tellReachOrLog(boxId);
    const ids = boxId === '' ? [...this.#connections.keys()] : [boxId];
    if (!ids.some((id) => this.#connections.has(id))) return;
    for (const id of await noLongerAdmitted(this.#db, ids)) this.#connections.get(id)?.client.close();
  }

  // ------------------------------------------------------------------------------------------ from the boxes

  /** Resolves when the message is dealt with, which is when the box is told so; rejects to cut the box off. */
  async #receive(client: Client, topic: string, payload: Buffer, retain: boolean): Promise<void> {
    const connection = this.#connections.get(client.id);
    // The first packets may come before aedes calls the client ready.
    if (connection && connection.waiting >= BACKLOG) throw new Error('too many messages at once');
    const work = async (): Promise<void> => {
      try {
        // Before all else, since aedes passes on what is only refused: a box must reach no other, nor aedes itself ($SYS).
        if (!topic.startsWith(upTopics(client.id))) {
          throw new HearthError('forbidden', `the box may not publish to "${topic.slice(0, 120)}"`);
        }
        if (retain) throw new HearthError('topic_unknown', 'boxes do not publish retained messages');
        if (payload.length > LIMITS.mqttPayloadBytes) {
          throw new HearthError(
            'message_too_large',
            `${payload.length} bytes, at most ${LIMITS.mqttPayloadBytes} are taken`,
          );
        }
        const parsed = parseTopic(topic);
        if (parsed.direction !== 'up') return;
        await this.#inbound.handle(client.id, parsed.kind, payload, this).catch((cause: unknown) => {
          // Sent again, it would fail again, for ever.
          if (!isValueRefused(cause)) throw cause;
          throw new HearthError('message_malformed', 'it holds a value that cannot be stored', { cause });
        });
      } catch (error) {
        if (!(error instanceof HearthError)) {
          this.#log.warn(
            { boxId: client.id, topic, err: messageOf(error) },
            'a message could not be handled; the box will send it again',
          );
          throw error;
        }
        this.#refused.inc({ reason: error.code });
        this.#presence.refused(client.id);
        this.#log.warn(
          { boxId: client.id, topic: topic.slice(0, 120), code: error.code, err: error.message },
          'refused a message',
        );
        if (error.code === 'forbidden') throw error;
      }
    };
    if (!connection) return work();
    connection.waiting++;
    const done = connection.tail.then(work).finally(() => connection.waiting--);
    connection.tail = done.catch(() => undefined);
    return done;
  }

  // -------------------------------------------------------------------------------------------- to the boxes

  async send<K extends DownKind>(boxId: string, kind: K, message: DownMessage<K>): Promise<void> {
    const payload = encodeDown(kind, message);
    await new Promise<void>((resolve) => {
      this.#aedes.publish(
        { cmd: 'publish', topic: downTopic(boxId, kind), payload, qos: 1, retain: false, dup: false },
        () => resolve(),
      );
    });
  }

  addressOf(boxId: string): string | null {
    const conn = this.#connections.get(boxId)?.client.conn as TLSSocket | undefined;
    return conn?.remoteAddress ?? null;
  }

  async welcome(boxId: string): Promise<void> {
    const connection = this.#connections.get(boxId);
    if (connection) connection.said = true;
    const reaches = await this.#reachOf([boxId]);
    await this.#configure(boxId, reaches.get(boxId));
    if (connection) connection.away = '';
    await this.#tellAway(reaches);
    await makeDue(this.#db, boxId);
    this.dispatch(boxId);
  }

  /** Tells boxes how they are to be reached now, where that has changed. @param boxId empty: any of them */
  async tellReach(boxId: string): Promise<void> {
    const ids = [...this.#connections].filter(([id, { said }]) => said && (boxId === '' || id === boxId));
    if (ids.length === 0) return;
    const reaches = await this.#reachOf(ids.map(([id]) => id));
    for (const [id, connection] of ids) {
      const reach = reaches.get(id);
      if (reach && connection.reach !== JSON.stringify(reach)) await this.#configure(id, reach);
    }
    await this.#tellAway(reaches);
  }

  /** Tells boxes whose dashboards are opened from away who is in there, where that has changed. */
  async #tellAway(reaches: ReadonlyMap<string, Reach>): Promise<void> {
    const ids = [...reaches].filter(([, { dashboardUrls }]) => dashboardUrls.length > 0).map(([id]) => id);
    const open = await openSessions(this.#db, ids);
    for (const id of ids) {
      const connection = this.#connections.get(id);
      const sessions = (open.get(id) ?? []).map(({ seenAt: _s, idleEndsAt: _i, ...session }) => session);
      const told = JSON.stringify(sessions);
      if (!connection || connection.away === told) continue;
      connection.away = told;
      await this.send(id, 'away-sessions', { v: PROTOCOL_VERSION, sessions });
    }
  }

  #reachOf(boxIds: string[]): Promise<Map<string, Reach>> {
    return reachOf(this.#db, boxIds, this.#options.boxDomain, this.#options.securePort);
  }

  async #configure(boxId: string, reach: Reach | undefined): Promise<void> {
    const connection = this.#connections.get(boxId);
    if (connection) connection.reach = JSON.stringify(reach);
    await this.#command(boxId, newId('cmd'), CONFIGURE_LIFE_MS, {
      type: 'configure',
      heartbeatIntervalMs: this.#options.heartbeatIntervalMs,
      deliveryKey: deliveryKeyFor(this.#keys.deliverySecret, boxId).toString('base64url'),
      routerUrl: this.#options.routerUrl(),
      ...reach,
    });
  }

  /** Sends what is due to every connected box. */
  dispatchAll(): void {
    for (const boxId of this.#connections.keys()) this.dispatch(boxId);
  }

  /** Sends what is due to a box, if it is connected here and has said hello. Calls while it runs make it run once more. */
  dispatch(boxId: string): void {
    const connection = this.#connections.get(boxId);
    if (!connection?.said) return;
    if (connection.dispatching) {
      connection.again = true;
      return;
    }
    connection.dispatching = true;
    this.#dispatchDue(boxId)
      .catch((error: unknown) => {
        this.#log.warn({ boxId, err: messageOf(error) }, 'cannot send commands now; they are tried again');
      })
      .finally(() => {
        connection.dispatching = false;
        if (connection.again) {
          connection.again = false;
          this.dispatch(boxId);
        }
      });
  }

  async #dispatchDue(boxId: string): Promise<void> {
    const rows = await due(this.#db, boxId);
    // Marked first: sent twice after a crash is harmless, and a command that cannot be made is not tried in a loop.
    await markSent(
      this.#db,
      rows.map((row) => row.id),
    );
    for (const row of rows) {
      const body = await bodyOf(this.#db, row);
      if (!body) continue;
      const lifeMs = row.expiresAt.getTime() - Date.now();
      await this.#command(boxId, row.id, lifeMs, body).catch((error: unknown) => {
        // One that cannot be made must not keep the others waiting.
        this.#log.error({ boxId, command: row.id, err: messageOf(error) }, 'cannot make a command');
      });
    }
  }

  async #command(boxId: string, id: string, lifeMs: number, body: CommandBody): Promise<void> {
    const now = Date.now();
    const command = {
      id,
      boxId,
      issuedAt: new Date(now).toISOString(),
      expiresAt: new Date(now + Math.max(lifeMs, 0)).toISOString(),
      body,
    };
    await this.send(boxId, 'command', signCommand(command, this.#keys.commandPrivateKey));
  }

  async #renewCertificate(): Promise<void> {
    const left = this.#certificateExpiresAtMs - Date.now();
    if (left > 30 * 86_400_000) return;
    const certificate = await this.#keys.ca.issueServer(this.#options.names);
    this.#server.setSecureContext({
      key: certificate.keyPem,
      cert: certificate.certificatePem,
      ca: this.#keys.ca.certificatePem,
    });
    this.#certificateExpiresAtMs = certificate.expiresAtMs;
    this.#log.info('renewed the certificate of the broker');
  }
}

export interface BrokerParts {
  db: Database;
  keys: FleetKeys;
  options: BrokerOptions;
  presence: Presence;
  inbound: Inbound;
  log: Logger;
  /** Messages refused, by reason. */
  refused: Counter<'reason'>;
}
