import 'reflect-metadata';
import { randomUUID, webcrypto } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as x509 from '@peculiar/x509';
import mqtt, { type MqttClient } from 'mqtt';
import { pino } from 'pino';
import type { z } from 'zod';
import { startFleet } from '#fleet/fleet.ts';
import { readOptions } from '#fleet/options.ts';
import { claimSchema, type EnrolResponse, enrolResponseSchema } from '#protocol/http-fleet.ts';
import {
  type Command,
  commandSchema,
  type DownKind,
  encodeUp,
  parseDown,
  type UpKind,
  type UpMessage,
} from '#protocol/messages.ts';
import { downFilter, upTopic } from '#protocol/topics.ts';
import { type FleetDatabase, fleetDatabase } from './fleet-database.ts';

export const TOKEN = 'a-token-for-tests-only';

export interface FleetFixture {
  database: FleetDatabase;
  apiUrl: string;
  routerUrl: string;
  /** Asks the API as the operator; `schema` reads the answer. */
  ask<T extends z.ZodType>(method: string, path: string, body: unknown, schema: T): Promise<z.output<T>>;
  /** The status and body of any request. */
  raw(
    method: string,
    path: string,
    init?: RequestInit,
  ): Promise<{ status: number; text: string; headers: Headers }>;
  enrol(claimCode?: string, keys?: webcrypto.CryptoKeyPair): Promise<EnrolledBox>;
  close(): Promise<void>;
}

/** A whole fleet-server in this process, on free ports, with a database of its own. */
export async function fleetFixture(env: Record<string, string> = {}): Promise<FleetFixture> {
  const database = await fleetDatabase();
  const keysDir = await mkdtemp(path.join(tmpdir(), 'hearth-keys-'));
  const read = readOptions({
    DATABASE_URL: database.url,
    HEARTH_KEYS_DIR: keysDir,
    HEARTH_DIAL_PRIVATE: 'on',
    HEARTH_API_PORT: '0',
    HEARTH_ROUTER_PORT: '0',
    HEARTH_BROKER_PORT: '0',
    HEARTH_RELAY_TUNNEL_PORT: '0',
    HEARTH_RELAY_PORT: '0',
    HEARTH_RELAY_TLS_PORT: '0',
    HEARTH_ADMIN_TOKEN: TOKEN,
    HEARTH_ADMIN_PASSWORD: 'a password for tests',
    HEARTH_HEARTBEAT_MS: '1000',
    HEARTH_SPOT_CHECKS_PER_HOUR: '0',
    ...env,
  });
  if ('faults' in read) throw new Error(read.faults.join('; '));
  const fleet = await startFleet(read.options, pino({ level: process.env.HEARTH_LOG_LEVEL ?? 'silent' }));
  const apiUrl = fleet.urls.apiUrl ?? '';
  const raw: FleetFixture['raw'] = async (method, route, init = {}) => {
    const response = await fetch(apiUrl + route, { method, redirect: 'manual', ...init });
    return { status: response.status, text: await response.text(), headers: response.headers };
  };
  const ask: FleetFixture['ask'] = async (method, route, body, schema) => {
    const headers: Record<string, string> = { authorization: `Bearer ${TOKEN}` };
    if (body !== undefined) headers['content-type'] = 'application/json';
    const { status, text } = await raw(method, `/api/v1${route}`, {
      headers,
      body: body === undefined ? null : JSON.stringify(body),
    });
    if (status >= 400) throw new Error(`${method} ${route}: ${status} ${text}`);
    return schema.parse(text === '' ? null : JSON.parse(text));
  };
  return {
    database,
    apiUrl,
    routerUrl: fleet.urls.routerUrl ?? '',
    ask,
    raw,
    async enrol(claimCode, keys) {
      const code = claimCode ?? (await ask('POST', '/claims', {}, claimSchema)).code;
      const pair = keys ?? (await newKeys());
      const csr = await x509.Pkcs10CertificateRequestGenerator.create({
        name: 'CN=ignored',
        keys: pair,
        signingAlgorithm: ALGORITHM,
      });
      const answer = await ask(
        'POST',
        '/enrol',
        { claimCode: code, csr: csr.toString('pem'), agentVersion: 'test' },
        enrolResponseSchema,
      );
      return new EnrolledBox(answer, await exportKey(pair.privateKey));
    },
    async close() {
      await fleet.close();
      await database.close();
      await rm(keysDir, { recursive: true, force: true });
    },
  };
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
export const newKeys = () => webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`;
}

/** The box's side of the link, as another implementation would write it. */
export class EnrolledBox {
  readonly identity: EnrolResponse;
  readonly #keyPem: string;
  readonly bootId = randomUUID();

  constructor(identity: EnrolResponse, keyPem: string) {
    this.identity = identity;
    this.#keyPem = keyPem;
  }

  get id(): string {
    return this.identity.boxId;
  }

  /** Connects; rejects when the broker turns it away. `as` claims another id than the certificate's. */
  async connect(as = this.id): Promise<BoxConnection> {
    const client = mqtt.connect(this.identity.brokerUrl, {
      clientId: as,
      protocolVersion: 4,
      clean: true,
      key: this.#keyPem,
      cert: this.identity.certificate,
      ca: this.identity.caCertificate,
      reconnectPeriod: 0,
      connectTimeout: 5000,
    });
    await new Promise<void>((resolve, reject) => {
      client.once('connect', () => resolve());
      client.once('error', reject);
      client.once('close', () => reject(new Error('closed')));
    });
    return new BoxConnection(this, client);
  }
}

export class BoxConnection {
  readonly client: MqttClient;
  readonly #box: EnrolledBox;
  readonly received: { kind: string; payload: Buffer }[] = [];
  closed = false;

  constructor(box: EnrolledBox, client: MqttClient) {
    this.#box = box;
    this.client = client;
    client.on('error', () => undefined);
    client.on('close', () => {
      this.closed = true;
    });
    client.on('message', (topic, payload) => {
      this.received.push({ kind: topic.split('/').at(-1) ?? '', payload });
    });
  }

  async hello(): Promise<void> {
    await this.client.subscribeAsync(downFilter(this.#box.id), { qos: 1 });
    await this.publish('hello', { v: 1, at: now(), bootId: this.#box.bootId, agentVersion: 'test' });
  }

  async publish<K extends UpKind>(kind: K, message: UpMessage<K>): Promise<void> {
    await this.client.publishAsync(upTopic(this.#box.id, kind), encodeUp(kind, message), { qos: 1 });
  }

  /** What it proves itself with at dial-backs, once it was configured. */
  deliveryKey(): Buffer {
    const command = this.commands().find(({ body }) => body.type === 'configure');
    return Buffer.from(command?.body.type === 'configure' ? command.body.deliveryKey : '', 'base64url');
  }

  messages(kind: DownKind): Buffer[] {
    return this.received.filter((message) => message.kind === kind).map((message) => message.payload);
  }

  commands(): Command[] {
    return this.messages('command').map((payload) =>
      commandSchema.parse(JSON.parse(parseDown('command', payload).payload)),
    );
  }

  async close(): Promise<void> {
    await this.client.endAsync(true);
  }
}

export const now = () => new Date().toISOString();

/** Looks until something is there. */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  timeoutMs = 20_000,
): Promise<Exclude<T, false | null | undefined>> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found) return found as Exclude<T, false | null | undefined>;
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
