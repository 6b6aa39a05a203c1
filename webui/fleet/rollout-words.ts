import type { RolloutDetail } from '#protocol/rollout.ts';
import { formatNumber } from '../shared/format.ts';
import { t } from './text.ts';

/** Why a rollout stopped, in words: the fleet's reasons are of two forms (fleet-server/rollouts). */
export function reasonText(reason: string): string {
  const failures = /^(\d+) of (\d+) boxes failed, (\d+) may$/.exec(reason);
  if (failures) {
    const [failed, all, allowed] = failures.slice(1).map((figure) => formatNumber(Number(figure)));
    return t('rollouts.reason.failures', { failed: failed ?? '', all: all ?? '', allowed: allowed ?? '' });
  }
  const operator = /^by (.+)$/.exec(reason)?.[1];
  return operator === undefined ? reason : t('rollouts.reason.by', { operator });
}

type RolloutEvent = RolloutDetail['events'][number];

/** What happened, in one line; and why, where a box or the fleet said so. */
export function eventText({ kind, boxLabel, operator, detail }: RolloutEvent): {
  text: string;
  reason: { code: string; message: string } | null;
} {
  const text = (words: string) => ({ text: words, reason: null });
  switch (kind) {
    case 'wave_begun':
    case 'wave_met':
      return text(t(`rollouts.event.${kind}`, { n: detail }));
    case 'box_failed': {
      const [, code = '', message = detail] = /^([a-z_]+): (.*)$/s.exec(detail) ?? [];
      return { text: t('rollouts.event.box_failed', { box: boxLabel ?? '' }), reason: { code, message } };
    }
    case 'box_updated':
    case 'box_reverted':
      return text(t(`rollouts.event.${kind}`, { box: boxLabel ?? '', version: detail }));
    case 'rolling_back':
      return text(t('rollouts.event.rolling_back', { version: detail }));
    case 'halted':
      return text(
        t('rollouts.event.halted', { why: operator === null ? reasonText(detail) : byOperator(operator) }),
      );
    case 'created':
    case 'paused':
    case 'resumed':
    case 'cancelled':
      return text(t(`rollouts.event.${kind}`, { operator: operator ?? '' }));
    case 'finished':
    case 'rolled_back':
      return text(t(`rollouts.event.${kind}`));
  }
}

const byOperator = (operator: string) => t('rollouts.reason.by', { operator });
