import { useEffect, useState } from 'preact/hooks';
import type { AssetState } from '#protocol/messages.ts';
import { Bar } from '../../shared/components/bars.tsx';
import { Badge, Loaded, type Tone } from '../../shared/components/basics.tsx';
import { Field, Select } from '../../shared/components/form.tsx';
import { ListCard } from '../../shared/components/list.tsx';
import { Head } from '../../shared/components/page.tsx';
import { explainReason } from '../../shared/errors.ts';
import { formatBytes, formatDateTime, formatNumber, formatRelative } from '../../shared/format.ts';
import { language } from '../../shared/i18n.ts';
import { usePages } from '../../shared/query.ts';
import { useStatus } from '../live.ts';
import { api, type ContentItem } from '../state.ts';
import { t } from '../text.ts';
import { Holding } from './holding.tsx';

const TONES: Record<AssetState, Tone> = {
  held: 'good',
  downloading: 'live',
  queued: 'plain',
  failed: 'bad',
  deleted: 'plain',
  expired: 'plain',
};
const SHOWN = ['all', 'held', 'downloading', 'queued', 'failed'] as const;
const INTERVAL_MS = 3_000;
/** Typing settles before the box is asked. */
const SETTLE_MS = 250;

/** What is held, and why. */
export function ContentPage() {
  const status = useStatus();
  const [typed, setTyped] = useState('');
  const [wanted, setWanted] = useState('');
  const [state, setState] = useState<(typeof SHOWN)[number]>('all');
  const [pages, setPages] = useState(1);
  useEffect(() => {
    const timer = setTimeout(() => setWanted(typed.trim()), SETTLE_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  useEffect(() => setPages(1), [wanted, state]);
  const query = new URLSearchParams({
    ...(wanted === '' ? {} : { q: wanted }),
    ...(state === 'all' ? {} : { state }),
  }).toString();
  const content = usePages<ContentItem>(
    api,
    `/content${query === '' ? '' : `?${query}`}`,
    INTERVAL_MS,
    pages,
  );
  const filtered = wanted !== '' || state !== 'all';
  return (
    <>
      <Head title={t('nav.content')} lead={t('content.lead')} />
      <Loaded query={status} heights={[180]}>
        {(now) => <Holding status={now} link={false} />}
      </Loaded>
      <div class="filters">
        <Field label={t('content.search')} type="search" value={typed} onInput={setTyped} />
        <Select
          label={t('content.show')}
          value={state}
          onChange={setState}
          options={SHOWN.map((value) => ({
            value,
            label: value === 'all' ? t('content.showAll') : t(`asset.${value}`),
          }))}
        />
      </div>
      <ListCard
        query={content}
        onMore={() => setPages(pages + 1)}
        empty={
          filtered ? t('content.noMatch') : { title: t('content.none.title'), text: t('content.none.text') }
        }
      >
        {(items) => (
          <ul>
            {items.map((item) => (
              <Item key={item.assetId} item={item} />
            ))}
          </ul>
        )}
      </ListCard>
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
        {[under ? progress : formatBytes(item.sizeBytes), item.contentType].join(' · ')}
      </p>
      <p class="soft small">{whyOf(item).join(language.value === 'en' ? ' ' : '')}</p>
      {told ? (
        <p class="small">
          {told.title} <span class="soft">{told.detail}</span>
        </p>
      ) : null}
    </li>
  );
}

/** Why it is here, in sentences: who wanted it, until when, and whether anybody asks for it. */
function whyOf(item: ContentItem): string[] {
  const until = item.expiresAt === null ? null : formatDateTime(item.expiresAt);
  return [
    until === null ? t('content.why.assigned') : t('content.why.until', { time: until }),
    item.pinned ? t('content.why.pinned') : '',
    item.hits === null
      ? ''
      : item.hits === 0
        ? t('content.why.hitsNone')
        : t('content.why.hits.n', { n: formatNumber(item.hits) }),
    item.lastUsedAt === null
      ? ''
      : t('content.why.lastUsed', { time: formatRelative(item.lastUsedAt, Date.now()) }),
  ].filter((sentence) => sentence !== '');
}
