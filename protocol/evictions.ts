import * as z from 'zod';
import { sha256Schema, timeSchema } from './asset.ts';
import { assetIdSchema } from './ids.ts';
import { LIMITS } from './limits.ts';

/**
 * A box needs room, and would put these out; `done`: it has, since nobody answered or could be asked. It waits a
 * few seconds for a verdict and then goes by its own rule.
 */
export const evictionsSchema = z.object({
  v: z.literal(1),
  at: timeSchema,
  proposalId: z.uuid(),
  done: z.boolean(),
  assets: z
    .array(z.object({ assetId: assetIdSchema, sha256: sha256Schema }))
    .min(1)
    .max(LIMITS.evictionsPerProposal),
});
export type Evictions = z.infer<typeof evictionsSchema>;

/** Which of them are to stay, and why; the others may go, and are not wanted on this box any more. */
export const evictionsVerdictSchema = z.object({
  v: z.literal(1),
  proposalId: z.uuid(),
  vetoed: z
    .array(z.object({ assetId: assetIdSchema, why: z.string().max(LIMITS.textChars) }))
    .max(LIMITS.evictionsPerProposal),
});
export type EvictionsVerdict = z.infer<typeof evictionsVerdictSchema>;
