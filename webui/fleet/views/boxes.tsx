import { useState } from 'preact/hooks';
import type { Box } from '#protocol/http-fleet.ts';
import { Bar, CellBar } from '../../shared/components/bars.tsx';
import { When } from '../../shared/components/basics.tsx';
import { ListCard } from '../../shared/components/list.tsx';
import {
  formatBytes,
  formatCredits,
  formatCreditsFixed,
  formatNumber,
  formatRate,
} from '../../shared/format.ts';
import { usePages } from '../../shared/query.ts';
import { href } from '../../shared/router.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';
import { AddBox } from './add-box.tsx';
import { AddPage, BoxState, LIST_INTERVAL_MS, routeText } from './parts.tsx';

export function Boxes() {
  const [pages, setPages] = useState(1);
  const boxes = usePages<Box>(api, '/boxes', LIST_INTERVAL_MS, pages);
  return (
    <AddPage
      title={t('nav.boxes')}
      lead={t('boxes.lead')}
      add={t('boxes.add')}
      dialog={(onClose) => <AddBox onClose={onClose} />}
    >
      <ListCard
        query={boxes}
        empty={{ title: t('boxes.none.title'), text: t('boxes.none.text') }}
        onMore={() => setPages(pages + 1)}
      >
        {(items) => <BoxTable items={items} />}
      </ListCard>
    </AddPage>
  );
}

function BoxTable({ items }: { items: Box[] }) {
  // Bars of a column share one scale, so that boxes can be compared.
  const fastest = Math.max(...items.map((box) => box.heartbeat?.serving.bytesPerSecond ?? 0), 1);
  const richest = Math.max(...items.map((box) => Number(BigInt(box.earned))), 1);
  return (
    <table class="table">
      <thead>
        <tr>
          <th scope="col">{t('boxes.box')}</th>
          <th scope="col">{t('boxes.state')}</th>
          <th scope="col">{t('boxes.serving')}</th>
          <th scope="col">{t('boxes.disk')}</th>
          <th scope="col">{t('boxes.files')}</th>
          <th scope="col">{t('boxes.earned')}</th>
          <th scope="col">{t('boxes.seen')}</th>
        </tr>
      </thead>
      <tbody>
        {items.map((box) => {
          const beat = box.heartbeat;
          const why = routeText(box);
          const all = box.held + box.pending + box.failed;
          return (
            <tr key={box.id}>
              <td class="lead">
                <a href={href('boxes', box.id)}>{box.label}</a>
                {why ? <div class="soft small">{why}</div> : null}
              </td>
              <td data-label={t('boxes.state')}>
                <BoxState box={box} />
              </td>
              <td data-label={t('boxes.serving')}>
                {beat && box.state === 'online' ? (
                  <CellBar
                    text={formatRate(beat.serving.bytesPerSecond)}
                    label={formatRate(beat.serving.bytesPerSecond)}
                    value={beat.serving.bytesPerSecond}
                    total={fastest}
                  />
                ) : (
                  '–'
                )}
              </td>
              <td data-label={t('boxes.disk')}>
                {beat && beat.store.totalBytes > 0 ? (
                  <CellBar
                    text={formatBytes(beat.store.totalBytes - beat.store.freeBytes)}
                    label={t('boxes.disk.label', {
                      used: formatBytes(beat.store.totalBytes - beat.store.freeBytes),
                      total: formatBytes(beat.store.totalBytes),
                    })}
                    value={beat.store.totalBytes - beat.store.freeBytes}
                    total={beat.store.totalBytes}
                    ink="still"
                  />
                ) : (
                  '–'
                )}
              </td>
              <td data-label={t('boxes.files')}>
                <div class="cell-bar">
                  <span>
                    {t('boxes.files.text', { held: formatNumber(box.held), all: formatNumber(all) })}
                  </span>
                  <Bar
                    size="thin"
                    label={t('boxes.files.label', {
                      held: formatNumber(box.held),
                      pending: formatNumber(box.pending),
                      failed: formatNumber(box.failed),
                    })}
                    parts={[
                      { value: box.held, ink: 'good' },
                      { value: box.pending, ink: 'still' },
                      { value: box.failed, ink: 'bad' },
                    ]}
                    total={all}
                  />
                </div>
              </td>
              <td data-label={t('boxes.earned')}>
                <CellBar
                  text={formatCreditsFixed(box.earned)}
                  label={t('common.credits', { n: formatCredits(box.earned) })}
                  value={Number(BigInt(box.earned))}
                  total={richest}
                />
              </td>
              <td data-label={t('boxes.seen')} class="nowrap">
                {box.lastSeenAt ? <When at={box.lastSeenAt} /> : t('common.never')}
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
