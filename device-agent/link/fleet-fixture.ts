// tsyringe, which x509 is built with, wants this first.
import 'reflect-metadata';
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, webcrypto } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import tls from 'node:tls';
import * as x509 from '@peculiar/x509';
import { Aedes } from 'aedes';
import { deliveryKeyFor, mintToken, sealKeyFor } from '#protocol/delivery-token.ts';
import { isHearthError } from '#protocol/errors.ts';
import { enrolRequestSchema } from '#protocol/http-fleet.ts';
import { newClaimCode, newId } from '#protocol/ids.ts';
import type { CommandBody, Deliveries, DownKind, Reply, UpKind, UpMessage } from '#protocol/messages.ts';
import { encodeDown, parseUp } from '#protocol/messages.ts';
import { signCommand } from '#protocol/signing.ts';
import { downTopic, parseTopic } from '#protocol/topics.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 86_400_000;
export const CLIENT_AUTH: string = x509.ExtendedKeyUsage.clientAuth;
x509.cryptoProvider.set(webcrypto as Crypto);

/** A CA for tests, whose certificates may begin at any time. */
export class TestCa {
  readonly #keys: CryptoKeyPair;
  readonly #certificate: x509.X509Certificate;
  readonly #notBefore: Date;

  static async make(notBeforeMs = Date.now() - DAY_MS): Promise<TestCa> {
    const keys = (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as CryptoKeyPair;
    const notBefore = new Date(notBeforeMs);
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: 'CN=Test fleet CA',
      notBefore,
      notAfter: new Date(notBeforeMs + 3650 * DAY_MS),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      ],
    });
    return new TestCa(keys, certificate, notBefore);
  }

  private constructor(keys: CryptoKeyPair, certificate: x509.X509Certificate, notBefore: Date) {
    this.#keys = keys;
    this.#certificate = certificate;
    this.#notBefore = notBefore;
  }

  get pem(): string {
    return this.#certificate.toString('pem');
  }

  async #issue(
    subject: string,
    publicKey: x509.PublicKeyType,
    extensions: x509.Extension[],
  ): Promise<string> {
    const certificate = await x509.X509CertificateGenerator.create({
      subject,
      issuer: this.#certificate.subject,
      notBefore: this.#notBefore,
      notAfter: new Date(this.#notBefore.getTime() + 365 * DAY_MS),
      signingAlgorithm: ALGORITHM,
      publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [new x509.BasicConstraintsExtension(false), ...extensions],
    });
    return certificate.toString('pem');
  }

  async signBox(csr: string, boxId: string): Promise<string> {
    const request = new x509.Pkcs10CertificateRequest(csr);
    if (!(await request.verify())) throw new Error('the request is not signed by its own key');
    return this.#issue(`CN=${boxId}`, request.publicKey, [
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
    ]);
  }

  /** A certificate and key, PEM, for a server on this address; `usage` only to make a wrong one. */
  async issueServer(address = '127.0.0.1', usage: string = x509.ExtendedKeyUsage.serverAuth) {
    const keys = (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as CryptoKeyPair;
    const cert = await this.#issue('CN=Test fleet', keys.publicKey, [
      new x509.ExtendedKeyUsageExtension([usage]),
      new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: address }]),
    ]);
    const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
    return { cert, key: `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----` };
  }
}

export interface Received<K extends UpKind = UpKind> {
  boxId: string;
  kind: K;
  message: UpMessage<K>;
  raw: string;
}

/** A small fleet on loopback for the agent's tests: enrolment over HTTP, a real MQTT broker over TLS. */
export class FleetFixture {
  readonly ca: TestCa;
  readonly received: Received[] = [];
  /** Messages from boxes that were refused. */
  readonly refused: string[] = [];
  /** Set to false to take messages without ever acknowledging them (no PUBACK). */
  takesMessages = true;
  /** Set to false to leave deliveries unanswered. */
  acknowledges = true;
  /** Bytes accepted, by batch id: a batch that comes again is not counted again. */
  readonly settled = new Map<string, Deliveries>();
  routerUrl = 'http://127.0.0.1:9';
  heartbeatIntervalMs = 30_000;
  readonly #secret = randomBytes(32);
  readonly #command: { publicKey: KeyObject; privateKey: KeyObject } = generateKeyPairSync('ed25519');
  readonly #claims = new Map<string, { boxId: string; key: string } | null>();
  readonly #http = http.createServer((request, response) => void this.#enrol(request, response));
  readonly #serverTls: { cert: string; key: string };
  readonly #trustUndated: boolean;
  #aedes: Aedes | null = null;
  #broker: tls.Server | null = null;
  #brokerPort = 0;
  readonly #sockets = new Set<Socket>();
  readonly #waiters = new Set<() => void>();

  /** @param options.notBeforeMs when every certificate begins; in the future it makes this machine's clock slow */
  static async start(options: { notBeforeMs?: number } = {}): Promise<FleetFixture> {
    const ca = await TestCa.make(options.notBeforeMs);
    const fleet = new FleetFixture(ca, await ca.issueServer(), options.notBeforeMs !== undefined);
    await fleet.startBroker();
    await new Promise<void>((resolve) => fleet.#http.listen(0, '127.0.0.1', () => resolve()));
    return fleet;
  }

  private constructor(ca: TestCa, serverTls: { cert: string; key: string }, trustUndated: boolean) {
    this.ca = ca;
    this.#serverTls = serverTls;
    this.#trustUndated = trustUndated;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }
  get brokerUrl(): string {
    return `mqtts://127.0.0.1:${this.#brokerPort}`;
  }
  get commandKeyPem(): string {
    return this.#command.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  }

  newClaim(): string {
    const code = newClaimCode();
    this.#claims.set(code, null);
    return code;
  }

  /** Starts the broker, on the port it had before. */
  async startBroker(): Promise<void> {
    const aedes = await Aedes.createBroker({ concurrency: 100 });
    aedes.authorizePublish = (client, packet, done) => {
      if (!this.takesMessages) return;
      const own = client !== null && packet.topic.startsWith(`hearth/v1/boxes/${client.id}/up/`);
      done(own ? null : new Error('not yours'));
    };
    aedes.on('publish', (packet, client) => {
      if (client) this.#receive(packet.topic, packet.payload as Buffer);
    });
    const broker = tls.createServer(
      { ...this.#serverTls, ca: this.ca.pem, requestCert: true, rejectUnauthorized: !this.#trustUndated },
      (socket) => {
        socket.on('error', () => undefined);
        aedes.handle(socket);
      },
    );
    broker.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    broker.on('tlsClientError', () => undefined);
    await new Promise<void>((resolve, reject) => {
      broker.once('error', reject);
      broker.listen(this.#brokerPort, '127.0.0.1', () => resolve());
    });
    this.#brokerPort = (broker.address() as AddressInfo).port;
    this.#aedes = aedes;
    this.#broker = broker;
  }

  /** Kills the broker as a crash would: connections are cut. */
  async stopBroker(): Promise<void> {
    const { promise, done } = latch();
    this.#broker?.close(() => done());
    for (const socket of this.#sockets) socket.destroy();
    await promise;
    const closed = latch();
    this.#aedes?.close(() => closed.done());
    await closed.promise;
  }

  async close(): Promise<void> {
    await this.stopBroker();
    const { promise, done } = latch();
    this.#http.close(() => done());
    this.#http.closeAllConnections();
    await promise;
  }

  /** The first message of a kind for which the condition holds, from `from` on; waits for it. */
  async waitFor<K extends UpKind>(
    kind: K,
    condition: (message: UpMessage<K>) => boolean = () => true,
    from = 0,
    timeoutMs = 20_000,
  ): Promise<Received<K>> {
    const find = () =>
      this.received
        .slice(from)
        .find((entry) => entry.kind === kind && condition(entry.message as UpMessage<K>)) as
        | Received<K>
        | undefined;
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = find();
      if (found) return found;
      const rest = deadline - performance.now();
      if (rest <= 0) throw new Error(`no such ${kind} message came; refused: ${this.refused.join('; ')}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(wake, rest);
        const waiters = this.#waiters;
        function wake() {
          clearTimeout(timer);
          waiters.delete(wake);
          resolve();
        }
        waiters.add(wake);
      });
    }
  }

  /** Publishes raw bytes to a box. */
  publish(boxId: string, payload: Buffer, kind: DownKind = 'command'): void {
    this.#aedes?.publish(
      { cmd: 'publish', topic: downTopic(boxId, kind), payload, qos: 1, retain: false, dup: false },
      () => undefined,
    );
  }

  /** A signed command as it stands in a message. */
  sign(
    boxId: string,
    body: CommandBody,
    more: { id?: string; issuedAtMs?: number; lifeMs?: number } = {},
  ): Buffer {
    const issuedAtMs = more.issuedAtMs ?? Date.now();
    const command = {
      id: more.id ?? newId('cmd'),
      boxId,
      issuedAt: new Date(issuedAtMs).toISOString(),
      expiresAt: new Date(issuedAtMs + (more.lifeMs ?? 600_000)).toISOString(),
      body,
    };
    return encodeDown('command', signCommand(command, this.#command.privateKey));
  }

  /** Sends a command, again every second, until its reply has come. */
  async command(boxId: string, body: CommandBody): Promise<Reply['outcome']> {
    const id = newId('cmd');
    const payload = this.sign(boxId, body, { id });
    this.publish(boxId, payload);
    const timer = setInterval(() => this.publish(boxId, payload), 1000);
    try {
      return (await this.waitFor('reply', (reply) => reply.commandId === id)).message.outcome;
    } finally {
      clearInterval(timer);
    }
  }

  mint(
    boxId: string,
    siteId: string,
    prefix: string,
    more: { maxBytes?: number; expiresAtMs?: number } = {},
  ): string {
    const scope = {
      boxId,
      siteId,
      prefix,
      maxBytes: more.maxBytes ?? 2 ** 40,
      expiresAtMs: more.expiresAtMs ?? Date.now() + 3_600_000,
    };
    return mintToken(scope, deliveryKeyFor(this.#secret, boxId), sealKeyFor(this.#secret));
  }

  /** All bytes and requests settled. */
  totals(): { bytes: number; requests: number } {
    let bytes = 0;
    let requests = 0;
    for (const batch of this.settled.values()) {
      for (const line of batch.lines) {
        bytes += line.bytes;
        requests += line.requests;
      }
    }
    return { bytes, requests };
  }

  configureBody(boxId: string): CommandBody {
    return {
      type: 'configure',
      heartbeatIntervalMs: this.heartbeatIntervalMs,
      deliveryKey: deliveryKeyFor(this.#secret, boxId).toString('base64url'),
      routerUrl: this.routerUrl,
    };
  }

  #receive(topic: string, payload: Buffer): void {
    try {
      const { boxId, direction, kind } = parseTopic(topic);
      if (direction !== 'up') return;
      const message = parseUp(kind, payload);
      this.received.push({ boxId, kind, message, raw: payload.toString('utf8') });
      if (kind === 'hello') this.publish(boxId, this.sign(boxId, this.configureBody(boxId)));
      if (kind === 'deliveries') this.#settle(boxId, message as Deliveries);
      if (kind === 'sources-wanted') this.#nobodyHolds(boxId, message as UpMessage<'sources-wanted'>);
    } catch (error) {
      this.refused.push(isHearthError(error) ? error.message : String(error));
    }
    for (const wake of [...this.#waiters]) wake();
  }

  #nobodyHolds(boxId: string, { sha256s }: UpMessage<'sources-wanted'>): void {
    for (const sha256 of sha256s) {
      const answer = { v: 1 as const, sha256, expiresAt: new Date().toISOString(), sources: [] };
      this.publish(boxId, encodeDown('sources', answer), 'sources');
    }
  }

  #settle(boxId: string, batch: Deliveries): void {
    if (!this.acknowledges) return;
    const before = this.settled.get(batch.batchId);
    if (before && JSON.stringify(before) !== JSON.stringify(batch))
      this.refused.push('a batch came with other bytes');
    this.settled.set(batch.batchId, batch);
    const acceptedBytes = batch.lines.reduce((sum, line) => sum + line.bytes, 0);
    const ack = {
      v: 1 as const,
      batchId: batch.batchId,
      outcome: 'settled' as const,
      reason: null,
      acceptedBytes,
    };
    this.publish(boxId, encodeDown('deliveries-ack', ack), 'deliveries-ack');
  }

  async #enrol(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    const parsed = enrolRequestSchema.safeParse(JSON.parse(Buffer.concat(pieces).toString('utf8')));
    if (request.url !== '/api/v1/enrol' || !parsed.success) return answer(404, {});
    const { claimCode, csr } = parsed.data;
    const claim = this.#claims.get(claimCode);
    const key = createHash('sha256').update(csr).digest('hex');
    if (claim === undefined || (claim && claim.key !== key)) {
      return answer(403, { error: { code: 'claim_invalid', message: 'This claim code is wrong.' } });
    }
    const boxId = claim?.boxId ?? newId('box');
    this.#claims.set(claimCode, { boxId, key });
    answer(200, {
      boxId,
      label: 'Test box',
      certificate: await this.ca.signBox(csr, boxId),
      caCertificate: this.ca.pem,
      brokerUrl: this.brokerUrl,
      commandKey: this.commandKeyPem,
    });
  }
}

export function latch(): { promise: Promise<void>; done: () => void } {
  let done: () => void = () => undefined;
  const promise = new Promise<void>((resolve) => {
    done = resolve;
  });
  return { promise, done };
}
