import { z } from 'zod';

/** What the load process is told and what it answers. */
export const loadPlanSchema = z.object({
  port: z.int(),
  host: z.string(),
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
