import 'reflect-metadata';
import { randomUUID, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { MqttClient } from 'mqtt';
import { connect } from 'mqtt';
import { claimSchema } from '#fleet/client/fleet-api.ts';
import { enrolResponseSchema } from '#protocol/http-fleet.ts';
import type { UpKind } from '#protocol/messages.ts';
import { PROTOCOL_VERSION } from '#protocol/messages.ts';
import { upTopic } from '#protocol/topics.ts';
import type { TestSystem } from './system.ts';

export interface RawIdentity {
  boxId: string;
  keyPem: string;
  certificate: string;
  caCertificate: string;
  brokerUrl: string;
}

/** Enrols as the contract says, without any of the agent's code: what another implementation would do. */
export async function enrolRaw(system: TestSystem, label: string): Promise<RawIdentity> {
  const { code } = await system.api.post('/claims', { label }, claimSchema);
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create(
    { name: 'CN=anything', keys, signingAlgorithm: algorithm },
    webcrypto as Crypto,
  );
  const response = await fetch(`${system.api.url}/api/v1/enrol`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ claimCode: code, csr: request.toString('pem'), agentVersion: 'raw/1' }),
  });
  if (!response.ok) throw new Error(`enrolment: ${response.status} ${await response.text()}`);
  const { boxId, certificate, caCertificate, brokerUrl } = enrolResponseSchema.parse(await response.json());
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const keyPem = `-----BEGIN PRIVATE KEY-----\n${key.match(/.{1,64}/g)?.join('\n')}\n-----END PRIVATE KEY-----\n`;
  return { boxId, keyPem, certificate, caCertificate, brokerUrl };
}

/** A bare MQTT client with a box's certificate, or with none. It does not reconnect. */
export class RawBox {
  readonly client: MqttClient;
  readonly received: { topic: string; payload: string }[] = [];
  /** Settles when the connection has ended. */
  readonly closed: Promise<void>;

  private constructor(client: MqttClient) {
    this.client = client;
    client.on('message', (topic, payload) => this.received.push({ topic, payload: payload.toString() }));
    client.on('error', () => {});
    this.closed = new Promise((done) => client.once('close', () => done()));
  }

  /** @throws when the broker turns it away */
  static async connect(
    identity: RawIdentity,
    options: { clientId?: string; withoutCertificate?: boolean } = {},
  ): Promise<RawBox> {
    const client = connect(identity.brokerUrl, {
      clientId: options.clientId ?? identity.boxId,
      clean: true,
      protocolVersion: 4,
      reconnectPeriod: 0,
      connectTimeout: 10_000,
      ca: identity.caCertificate,
      ...(options.withoutCertificate ? {} : { key: identity.keyPem, cert: identity.certificate }),
    });
    const box = new RawBox(client);
    await new Promise<void>((done, fail) => {
      client.once('connect', () => done());
      client.once('error', fail);
      client.once('close', () => fail(new Error('the broker closed the connection')));
    });
    return box;
  }

  /** @returns true when the broker acknowledged it, false when it cut the connection instead */
  async publish(topic: string, payload: string | Buffer, retain = false): Promise<boolean> {
    const acknowledged = new Promise<boolean>((done) => {
      this.client.publish(topic, payload, { qos: 1, retain }, (error) => done(!error));
    });
    return Promise.race([acknowledged, this.closed.then(() => false)]);
  }

  /** Publishes a message of the protocol on the box's own topic. */
  send(identity: RawIdentity, kind: UpKind, fields: Record<string, unknown>): Promise<boolean> {
    const message = { v: PROTOCOL_VERSION, at: new Date().toISOString(), ...fields };
    return this.publish(upTopic(identity.boxId, kind), JSON.stringify(message));
  }

  hello(identity: RawIdentity): Promise<boolean> {
    return this.send(identity, 'hello', { bootId: randomUUID(), agentVersion: 'raw/1' });
  }

  async close(): Promise<void> {
    await this.client.endAsync(true);
  }
}
