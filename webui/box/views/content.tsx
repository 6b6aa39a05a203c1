import { useState } from 'preact/hooks';
import type { BoxStatus } from '#protocol/http-box.ts';
import type { AssetState } from '#protocol/messages.ts';
import { Bar, type Ink } from '../../shared/components/bars.tsx';
import { Badge, Card, Empty, Loaded, type Tone } from '../../shared/components/basics.tsx';
import { Field } from '../../shared/components/form.tsx';
import { explainReason } from '../../shared/errors.ts';
import { formatBytes, formatDateTime, formatNumber, formatShare } from '../../shared/format.ts';
import { useQuery } from '../../shared/query.ts';
import { href } from '../../shared/router.ts';
import { api, type ContentItem } from '../state.ts';
import { t } from '../text.ts';

const TONES: Record<AssetState, Tone> = {
  held: 'good',
  downloading: 'live',
  queued: 'plain',
  failed: 'bad',
  deleted: 'plain',
  expired: 'plain',
};

/** From how many files on a search is worth its place. */
const SEARCH_FROM = 8;

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

export function ContentPage() {
  const status = useQuery<BoxStatus>(api, '/status', 2000);
  const content = useQuery<{ items: ContentItem[] }>(api, '/content', 2000);
  const [wanted, setWanted] = useState('');
  return (
    <>
      <div class="page-head">
        <h1 tabIndex={-1}>{t('content.title')}</h1>
        <p>{t('content.lead')}</p>
      </div>
      <Loaded query={status} heights={[180]}>
        {(now) => <Holding status={now} link={false} />}
      </Loaded>
      <Loaded query={content} heights={[300]}>
        {({ items }) => {
          const found = items.filter((item) => item.path.toLowerCase().includes(wanted.toLowerCase()));
          return (
            <Card>
              {items.length === 0 ? (
                <Empty title={t('content.none.title')} text={t('content.none.text')} />
              ) : null}
              {items.length >= SEARCH_FROM ? (
                <Field label={t('content.search')} type="search" value={wanted} onInput={setWanted} />
              ) : null}
              <ul>
                {found.slice(0, 500).map((item) => (
                  <Item key={item.assetId} item={item} />
                ))}
              </ul>
              {items.length > 0 && found.length === 0 ? <p class="soft">{t('content.noMatch')}</p> : null}
            </Card>
          );
        }}
      </Loaded>
    </>
  );
}

function Item({ item }: { item: ContentItem }) {
  const told = item.reason ? explainReason(item.reason.code, item.reason.message) : null;
  const under = item.state === 'downloading' || (item.state === 'queued' && item.bytesDone > 0);
  const progress = t('content.progress', {
    done: formatBytes(item.bytesDone),
    total: formatBytes(item.sizeBytes),
  });
  return (
    <li class="item">
      <div class="item-head">
        <span>{item.path}</span>
        <Badge tone={TONES[item.state]}>{t(`asset.${item.state}`)}</Badge>
      </div>
      {under ? (
        <Bar label={progress} parts={[{ value: item.bytesDone, ink: 'ember' }]} total={item.sizeBytes} />
      ) : null}
      <p class="soft small">
        {[
          under ? progress : formatBytes(item.sizeBytes),
          item.contentType,
          item.expiresAt ? t('content.until', { time: formatDateTime(item.expiresAt) }) : '',
        ]
          .filter((part) => part !== '')
          .join(' · ')}
      </p>
      {told ? (
        <p class="small">
          {told.title} <span class="soft">{told.detail}</span>
        </p>
      ) : null}
    </li>
  );
}
