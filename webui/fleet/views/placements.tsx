import type { Placement } from '#protocol/http-fleet.ts';
import { Bar } from '../../shared/components/bars.tsx';
import { Empty, When } from '../../shared/components/basics.tsx';
import { formatBytes } from '../../shared/format.ts';
import { href } from '../../shared/router.ts';
import { bytesOf } from '../progress.ts';
import { t } from '../text.ts';
import { LinkButton, PlacementState, Reason } from './parts.tsx';

const ROWS_AT_MOST = 500;

/** Copies with state and progress; `column` says what the rows differ in. */
export function Placements({ placements, column }: { placements: Placement[]; column: 'file' | 'box' }) {
  if (placements.length === 0) {
    return (
      <Empty title={t('box.placements.none.title')} text={t('box.placements.none.text')}>
        <LinkButton href={href('assign')} kind="compact">
          {t('assign.new')}
        </LinkButton>
      </Empty>
    );
  }
  return (
    <table class="table">
      <thead>
        <tr>
          <th scope="col">{column === 'file' ? t('table.file') : t('boxes.box')}</th>
          <th scope="col">{t('table.state')}</th>
          <th scope="col">{t('table.progress')}</th>
          <th scope="col">{t('table.until')}</th>
        </tr>
      </thead>
      <tbody>
        {placements.slice(0, ROWS_AT_MOST).map((placement) => {
          const text = t('watch.bytes', {
            done: formatBytes(bytesOf(placement)),
            total: formatBytes(placement.sizeBytes),
          });
          return (
            <tr key={`${placement.assetId} ${placement.boxId}`}>
              <td class="lead break">
                {column === 'file' ? (
                  <>
                    <a href={href('assets', placement.assetId)}>{placement.path}</a>
                    <div class="soft small">{placement.siteHostname}</div>
                  </>
                ) : (
                  <a href={href('boxes', placement.boxId)}>{placement.boxLabel}</a>
                )}
                {placement.reason ? (
                  <div>
                    <Reason reason={placement.reason} />
                  </div>
                ) : null}
              </td>
              <td data-label={t('table.state')}>
                <PlacementState placement={placement} />
              </td>
              <td data-label={t('table.progress')}>
                <div class="cell-bar">
                  <span class="small nowrap">{text}</span>
                  <Bar
                    size="thin"
                    label={text}
                    parts={[
                      {
                        value: bytesOf(placement),
                        ink: placement.reported === 'held' ? 'good' : 'ember',
                      },
                    ]}
                    total={placement.sizeBytes}
                  />
                </div>
              </td>
              <td data-label={t('table.until')} class="nowrap">
                {placement.expiresAt ? <When at={placement.expiresAt} /> : t('table.forever')}
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
