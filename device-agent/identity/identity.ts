import { X509Certificate } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { readTextIfAny, removeDurably, writeFileDurably } from '#agent/durable/durable-file.ts';
import { HearthError } from '#protocol/errors.ts';
import { enrolResponseSchema } from '#protocol/http-fleet.ts';
import { certificateProblemSchema } from '#protocol/reach.ts';

const identitySchema = enrolResponseSchema.extend({
  v: z.literal(1),
  fleetUrl: z.string(),
  /** PKCS#8 PEM; made here, never sent anywhere. */
  privateKey: z.string(),
  pairedAt: z.string(),
});
/** Who this box is to its fleet. Contains secrets: never logged, never shown. */
export type Identity = z.infer<typeof identitySchema>;

const pendingSchema = z.object({
  v: z.literal(1),
  fleetUrl: z.string(),
  claimCode: z.string(),
  privateKey: z.string(),
  csr: z.string(),
});
/** An enrolment that has begun: with the same code and key it can be asked for again. */
export type PendingEnrolment = z.infer<typeof pendingSchema>;

const settingsSchema = z.object({
  v: z.literal(1),
  boxId: z.string(),
  heartbeatIntervalMs: z.int().min(100),
  deliveryKey: z.string(),
  routerUrl: z.string(),
  relayUrls: z.array(z.string()).default([]),
  /** This box's own name, for which it asks for a certificate. */
  serverName: z.string().nullable().default(null),
  /** Where clients find boxes' TLS at relays. */
  securePort: z.int().nullable().default(null),
  /** Relays that carry dashboards to who is away from home. */
  dashboardUrls: z.array(z.string()).default([]),
  /** Since when the fleet gets no certificate for this box, and why. */
  certificateProblem: certificateProblemSchema.nullable().default(null),
});
/** What the fleet last configured, kept so that a restart without the fleet still serves. */
export type FleetSettings = z.infer<typeof settingsSchema>;

/**
 * The state directory: identity, a begun enrolment, the fleet's settings. Each is one file, replaced whole, so
 * the box is either paired or not, whatever moment it was killed at.
 */
export class StateDirectory {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Makes the directory if need be, for its owner only. */
  async open(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
  }

  async readIdentity(): Promise<Identity | null> {
    return this.#read('identity.json', identitySchema);
  }
  async writeIdentity(identity: Identity): Promise<void> {
    await this.#write('identity.json', identity);
  }

  async readPending(): Promise<PendingEnrolment | null> {
    return this.#read('enrolment.json', pendingSchema);
  }
  async writePending(pending: PendingEnrolment): Promise<void> {
    await this.#write('enrolment.json', pending);
  }
  async removePending(): Promise<void> {
    await removeDurably(path.join(this.#dir, 'enrolment.json'));
  }

  async readSettings(): Promise<FleetSettings | null> {
    return this.#read('settings.json', settingsSchema);
  }
  async writeSettings(settings: FleetSettings): Promise<void> {
    await this.#write('settings.json', settings);
  }

  async #read<T>(name: string, schema: z.ZodType<T>): Promise<T | null> {
    const file = path.join(this.#dir, name);
    const text = await readTextIfAny(file);
    if (text === null) return null;
    try {
      return schema.parse(JSON.parse(text));
    } catch (cause) {
      throw new HearthError(
        'internal',
        `${file} is damaged: restore it, or remove it and pair the box again`,
        {
          cause,
        },
      );
    }
  }

  async #write(name: string, value: unknown): Promise<void> {
    await writeFileDurably(path.join(this.#dir, name), JSON.stringify(value), 0o600);
  }
}

/** When a certificate begins to be valid: no box can be living before its own does. */
export function notBeforeMs(certificatePem: string): number {
  return Date.parse(new X509Certificate(certificatePem).validFrom);
}
