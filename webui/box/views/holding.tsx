import type { BoxStatus } from '#protocol/http-box.ts';
import { Bar, type Ink } from '../../shared/components/bars.tsx';
import { Card } from '../../shared/components/basics.tsx';
import { formatBytes, formatNumber, formatShare } from '../../shared/format.ts';
import { href } from '../../shared/router.ts';
import { t } from '../text.ts';

/** How many files are in which state, drawn, and how the self-check stands. */
export function Holding({ status, link = true }: { status: BoxStatus; link?: boolean }) {
  const { held, downloading, queued, failed } = status.holding;
  const states: [number, Ink, string][] = [
    [held, 'good', t('content.held.n', { n: formatNumber(held) })],
    [downloading, 'ember', t('content.downloading.n', { n: formatNumber(downloading) })],
    [queued, 'still', t('content.queued.n', { n: formatNumber(queued) })],
    [failed, 'bad', t('content.failed.n', { n: formatNumber(failed) })],
  ];
  const shown = states.filter(([count, ink]) => count > 0 || ink === 'good');
  return (
    <Card
      title={link ? t('content.title') : t('content.summary')}
      aside={link ? <a href={href('content')}>{t('head.files.n', { n: formatNumber(held) })}</a> : null}
    >
      <p class="figure">
        {formatBytes(status.holding.bytes)} <small>{t('head.files.n', { n: formatNumber(held) })}</small>
      </p>
      <Bar
        size="thick"
        label={shown.map(([, , text]) => text).join(', ')}
        parts={states.map(([value, ink]) => ({ value, ink }))}
        total={held + downloading + queued + failed}
      />
      <ul class="key">
        {shown.map(([, ink, text]) => (
          <li key={ink} class={ink}>
            {text}
          </li>
        ))}
      </ul>
      <Check integrity={status.integrity} />
    </Card>
  );
}

function Check({ integrity }: { integrity: BoxStatus['integrity'] }) {
  const { running, checkedChunks, totalChunks, damagedChunks, finishedAt } = integrity;
  let text = t('content.check.never');
  if (running) text = t('content.check.running', { share: formatShare(checkedChunks, totalChunks) });
  else if (damagedChunks > 0) text = t('content.check.damaged.n', { n: formatNumber(damagedChunks) });
  else if (finishedAt && totalChunks > 0) text = t('content.check.fine', { n: formatNumber(checkedChunks) });
  return <p class="soft small">{t('content.check', { text })}</p>;
}
