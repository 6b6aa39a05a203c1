import type { z } from 'zod';
import type { getResultSchema, spotCheckResultSchema } from '#protocol/messages.ts';
import { formatBytes, formatNumber } from '../shared/format.ts';
import { t } from './text.ts';

type Result = z.infer<typeof getResultSchema> | z.infer<typeof spotCheckResultSchema>;

/** What a box answered to a command, for a person: results are JSON on the wire, refusals are text already. */
export function answerText(detail: string | null): string | null {
  if (detail === null) return null;
  let result: Result;
  try {
    result = JSON.parse(detail) as Result;
  } catch {
    return detail;
  }
  const sha = `${String(result?.sha256).slice(0, 8)}…`;
  if (result?.type === 'spot-check') return t('check.piece', { n: formatNumber(result.chunkIndex + 1), sha });
  if (result?.type === 'get') return `${t(`asset.${result.state}`)}, ${formatBytes(result.sizeBytes)}`;
  return detail;
}
