import { useState } from 'preact/hooks';
import type { Earnings } from '#protocol/messages.ts';
import { formatBytes, formatCredits, formatCreditsFixed } from '../format.ts';
import { sharedEn } from '../messages/en.ts';
import { sharedText as t } from '../text.ts';
import { Bar, CellBar } from './bars.tsx';
import { Button, Card, When } from './basics.tsx';

/** Lines shown before one asks for more. */
const LINES_AT_FIRST = 8;

const STAGES = ['estimate', 'pending', 'held', 'final', 'paid'] as const;

/** The five sums of the fleet's earnings object, each with what it means; bars share one scale. */
export function EarningTotals({ totals }: { totals: Earnings['totals'] }) {
  const most = Math.max(...STAGES.map((stage) => Number(BigInt(totals[stage]))), 1);
  return (
    <Card title={t('earn.title')}>
      <ul class="flow">
        {STAGES.map((stage) => (
          <li key={stage}>
            <span class="strong">{t(`earn.${stage}`)}</span>
            <span class="strong">{formatCreditsFixed(totals[stage])}</span>
            <Bar
              size="thin"
              label={`${t(`earn.${stage}`)}: ${formatCredits(totals[stage])}`}
              parts={[
                {
                  value: Math.max(0, Number(BigInt(totals[stage]))),
                  ink: stage === 'final' || stage === 'paid' ? 'good' : 'ember',
                },
              ]}
              total={most}
            />
            <span class="soft small">{t(`earn.${stage}.why`)}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** Settled deliveries, line by line: what was claimed, what was accepted, what it paid and why. */
export function EarningLines({ lines }: { lines: Earnings['lines'] }) {
  const [shown, setShown] = useState(LINES_AT_FIRST);
  const most = Math.max(...lines.map((line) => line.claimedBytes), 1);
  return (
    <Card title={t('earn.lines')}>
      {lines.length === 0 ? (
        <p class="soft">{t('earn.lines.none')}</p>
      ) : (
        <table class="table lines">
          <thead>
            <tr>
              <th scope="col">{t('earn.line.what')}</th>
              <th scope="col">{t('earn.line.when')}</th>
              <th scope="col">{t('earn.line.bytes')}</th>
              <th scope="col">{t('earn.line.why')}</th>
              <th scope="col" class="right">
                {t('earn.line.credits')}
              </th>
            </tr>
          </thead>
          <tbody>
            {lines.slice(0, shown).map((line, index) => {
              const counted =
                line.acceptedBytes === line.claimedBytes
                  ? formatBytes(line.acceptedBytes)
                  : t('earn.line.of', {
                      accepted: formatBytes(line.acceptedBytes),
                      claimed: formatBytes(line.claimedBytes),
                    });
              return (
                <tr key={index}>
                  <td class="lead">
                    {line.path}
                    <br />
                    <span class="soft small">{line.siteHostname}</span>
                  </td>
                  <td data-label={t('earn.line.when')}>
                    <When at={line.at} />
                  </td>
                  <td data-label={t('earn.line.bytes')}>
                    <CellBar text={counted} label={counted} value={line.acceptedBytes} total={most} />
                  </td>
                  <td data-label={t('earn.line.why')}>{reasonText(line.reason)}</td>
                  <td class="right strong" data-label={t('earn.line.credits')}>
                    {formatCreditsFixed(line.microCredits)}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
      {lines.length > shown ? (
        <div class="actions">
          <Button compact onClick={() => setShown(lines.length)}>
            {t('common.more')}
          </Button>
        </div>
      ) : null}
    </Card>
  );
}

function reasonText(reason: string): string {
  const key = `reason.${reason}`;
  return Object.hasOwn(sharedEn, key) ? t(key as 'reason.claimed') : reason;
}
