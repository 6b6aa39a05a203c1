import type { IClientPublishOptions } from 'mqtt';
import { MqttClient } from 'mqtt';
import { writeToStream } from 'mqtt-packet';
import type { Logger } from 'pino';
import type { Identity } from '#agent/identity/identity.ts';
import type { Backoff } from '#agent/time/backoff.ts';
import { backoffMs, wait } from '#agent/time/backoff.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';
import type { UpKind, UpMessage } from '#protocol/messages.ts';
import { encodeUp, PROTOCOL_VERSION } from '#protocol/messages.ts';
import { downFilter, upTopic } from '#protocol/topics.ts';
import { dialFleet, hostAndPort } from './dial.ts';

export type LinkState = 'connecting' | 'online' | 'offline';

export interface LinkOptions {
  identity: Identity;
  /** New with every start of the process. */
  bootId: string;
  backoff: Backoff;
  keepaliveS: number;
  /** The local clock, ms since 1970. */
  nowMs: () => number;
  log: Logger;
  /** A message has come, whatever it holds. */
  onMessage: (topic: string, payload: Buffer) => void;
  /** A new session with the broker has begun and is subscribed. */
  onOnline: () => void;
  onState: (state: LinkState, problem: string | null) => void;
  times?: LinkTimes;
  /** From 0 up to 1. */
  random?: () => number;
}

export interface LinkTimes {
  /** For reaching the broker, and for each step of the greeting, ms. */
  dialMs: number;
  /** A session that was up for this long was a good one: the next wait begins small again, ms. */
  steadyMs: number;
  /** A message that is not acknowledged for this long ends the session, ms. */
  acknowledgedMs: number;
}

export const LINK_BACKOFF: Backoff = { baseMs: 1_000, capMs: 60_000 };
/** A fleet acknowledges what is durable, and may have to wait for its database: that is no reason to leave it. */
export const LINK_TIMES: LinkTimes = { dialMs: 20_000, steadyMs: 10_000, acknowledgedMs: 180_000 };
/** IANA's port for it. */
const MQTT_OVER_TLS = 8883;
/** The codec would keep a buffer for each 16-bit number, 6 MB in all, to save making one for each packet. */
writeToStream.cacheNumbers = false;

/** Messages not yet acknowledged; with more the session is ended, and the next one's index says it all. */
const MOST_UNACKNOWLEDGED = 2_000;

/**
 * The connection to the fleet's broker, made again whenever it breaks. What is published while it is down is
 * dropped: the protocol heals by the index, repeated commands and repeated batches.
 */
export class Link {
  readonly #options: LinkOptions;
  readonly #abort = new AbortController();
  readonly #times: LinkTimes;
  #client: MqttClient | null = null;
  #online = false;
  /** When the session of now, or the last, came up; null when it did not. */
  #onlineAtMs: number | null = null;
  /** Those who wait for an acknowledgement. */
  readonly #unacknowledged = new Set<() => void>();
  /** Ends the session. */
  #breakOff: (why: string) => void = () => undefined;
  #loop: Promise<void> | null = null;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#times = options.times ?? LINK_TIMES;
  }

  get online(): boolean {
    return this.#online;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** Says goodbye, so that the fleet need not wait for the will; the link stays up. */
  async sayOffline(): Promise<void> {
    const { bootId } = this.#options;
    const said = this.publish('offline', { v: PROTOCOL_VERSION, bootId });
    await Promise.race([said, wait(2_000, this.#abort.signal)]);
  }

  async close(): Promise<void> {
    this.#abort.abort();
    this.#client?.end(false);
    await this.#loop;
  }

  /**
   * Publishes with QoS 1.
   * @returns true once the broker has it; false when the link is down
   * @throws HearthError when the message does not keep to the protocol
   */
  async publish<K extends UpKind>(kind: K, message: UpMessage<K>): Promise<boolean> {
    return this.publishRaw(kind, encodeUp(kind, message));
  }

  /** Publishes a payload as it is. */
  async publishRaw(kind: UpKind, payload: Buffer): Promise<boolean> {
    const client = this.#client;
    if (!client || !this.#online) return false;
    const options: IClientPublishOptions = { qos: 1 };
    if (this.#unacknowledged.size >= MOST_UNACKNOWLEDGED) {
      this.#breakOff('the broker does not acknowledge what it is sent');
      return false;
    }
    return new Promise((resolve) => {
      const settle = (acknowledged: boolean) => {
        clearTimeout(timer);
        this.#unacknowledged.delete(gone);
        resolve(acknowledged);
      };
      const gone = () => settle(false);
      const tooLate = () => this.#breakOff('the broker does not acknowledge what it is sent');
      const timer = setTimeout(tooLate, this.#times.acknowledgedMs);
      timer.unref();
      this.#unacknowledged.add(gone);
      client.publish(upTopic(this.#options.identity.boxId, kind), payload, options, (error) =>
        settle(!error),
      );
    });
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    const { onState, log, backoff, random } = this.#options;
    let attempt = 0;
    while (!signal.aborted) {
      onState('connecting', null);
      this.#onlineAtMs = null;
      let problem = 'the connection to the fleet was lost';
      try {
        await this.#session();
      } catch (error) {
        problem = messageOf(error);
      }
      if (signal.aborted) break;
      const upMs = this.#onlineAtMs === null ? 0 : performance.now() - this.#onlineAtMs;
      if (upMs > this.#times.steadyMs) attempt = 0;
      const waitMs = backoffMs(backoff, attempt++, random);
      log.warn({ reason: problem, retryInMs: waitMs }, 'no link to the fleet');
      onState('offline', problem);
      await wait(waitMs, signal);
    }
  }

  /** One connection, from dialling to its end. */
  async #session(): Promise<void> {
    const { identity, bootId, keepaliveS, nowMs, onMessage, onOnline, onState } = this.#options;
    const { signal } = this.#abort;
    const { brokerUrl, caCertificate, certificate, privateKey, boxId } = identity;
    const socket = await dialFleet(
      {
        peer: 'broker',
        ...hostAndPort(brokerUrl, MQTT_OVER_TLS),
        protocol: 'mqtt',
        caCertificate,
        certificate,
        privateKey,
        nowMs: nowMs(),
        timeoutMs: this.#times.dialMs,
      },
      signal,
    );
    const client = new MqttClient(() => socket, {
      clientId: boxId,
      clean: true,
      keepalive: keepaliveS,
      reconnectPeriod: 0,
      connectTimeout: this.#times.dialMs,
      protocolVersion: 4,
      queueQoSZero: false,
      resubscribe: false,
      timerVariant: 'native',
      will: {
        topic: upTopic(boxId, 'offline'),
        payload: encodeUp('offline', { v: PROTOCOL_VERSION, bootId }),
        qos: 1,
        retain: false,
      },
    });
    this.#client = client;
    let failure: unknown = null;
    client.on('error', (error) => {
      failure = error;
      client.end(true);
    });
    this.#breakOff = (why) => {
      failure ??= new Error(why);
      client.end(true);
    };
    client.on('message', onMessage);
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    const connected = new Promise<void>((resolve) => client.once('connect', () => resolve()));
    try {
      await Promise.race([connected, closed.then(() => Promise.reject(brokenOff(failure)))]);
      const granted = await Promise.race([
        client.subscribeAsync(downFilter(boxId), { qos: 1 }),
        closed.then(() => Promise.reject(brokenOff(failure))),
      ]);
      if (granted.some((grant) => grant.qos > 2)) {
        throw new HearthError('unavailable', "the fleet's broker refuses this box's subscription");
      }
      this.#online = true;
      this.#onlineAtMs = performance.now();
      onState('online', null);
      onOnline();
      await closed;
      if (failure) throw brokenOff(failure);
    } finally {
      this.#online = false;
      this.#client = null;
      for (const gone of [...this.#unacknowledged]) gone();
      client.end(true);
      socket.destroy();
    }
  }
}

function brokenOff(failure: unknown): HearthError {
  const why = failure ? messageOf(failure) : 'it closed the connection (has this box been revoked?)';
  return new HearthError('unavailable', `the fleet's broker broke off: ${why}`, { cause: failure });
}
