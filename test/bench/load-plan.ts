import { z } from 'zod';

/** What the load process is told and what it answers. */
export const loadPlanSchema = z.object({
  port: z.int(),
  host: z.string(),
  /** By TLS 1.3 with AES-128-GCM, whatever the server's certificate. */
  secure: z.boolean().optional(),
  /** The name asked for in the handshake; `localhost` if none. */
  serverName: z.string().optional(),
  /** One for each connection in turn; percent-encoded, as they are to stand in the request. */
  paths: z.array(z.string()).min(1),
  connections: z.int().min(1),
  warmupMs: z.int(),
  measureMs: z.int(),
  /** Any other status, or another length, is an error. */
  expectStatus: z.int(),
  expectBytes: z.int().nullable(),
});
export type LoadPlan = z.infer<typeof loadPlanSchema>;

export const loadResultSchema = z.object({
  requests: z.int(),
  bytes: z.int(),
  measuredMs: z.number(),
  p50Ms: z.number(),
  p99Ms: z.number(),
  errors: z.int(),
  firstError: z.string().nullable(),
});
export type LoadResult = z.infer<typeof loadResultSchema>;

/** Many clients that take their bytes slowly, as players do; and a few quick ones that ask in between. */
export const slowPlanSchema = z.object({
  port: z.int(),
  host: z.string(),
  paths: z.array(z.string()).min(1),
  clients: z.int().min(1),
  bytesPerSecond: z.int().min(1),
  /** All are connected within this. */
  rampMs: z.int(),
  measureMs: z.int(),
});
export type SlowPlan = z.infer<typeof slowPlanSchema>;

export const slowResultSchema = z.object({
  bytes: z.int(),
  measuredMs: z.number(),
  /** From asking to the first byte of the answer, of slow clients and quick ones. */
  firstByteP50Ms: z.number(),
  firstByteP99Ms: z.number(),
  answers: z.int(),
  errors: z.int(),
  firstError: z.string().nullable(),
});
export type SlowResult = z.infer<typeof slowResultSchema>;
