import type { z } from 'zod';
import type { Asset, Box, overviewSchema } from '#protocol/http-fleet.ts';
import { Bar, type Ink } from '../../shared/components/bars.tsx';
import { Card, Empty, Loaded } from '../../shared/components/basics.tsx';
import { formatBytes, formatCredits, formatNumber, formatShare } from '../../shared/format.ts';
import { usePages, useQuery } from '../../shared/query.ts';
import { href } from '../../shared/router.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';
import { AssetState, BoxState, Head, LIST_INTERVAL_MS, LinkButton, Reason, routeText } from './parts.tsx';

const SHOWN_AT_MOST = 8;

export function Overview() {
  const overview = useQuery<z.infer<typeof overviewSchema>>(api, '/overview', LIST_INTERVAL_MS);
  const boxes = usePages<Box>(api, '/boxes', 5000, 2);
  const failed = usePages<Asset>(api, '/assets?state=failed', 5000, 1);
  const troubled = boxes.data?.items.filter((box) => !box.routable || box.failed > 0) ?? [];
  const unread = failed.data?.items ?? [];
  return (
    <>
      <Head title={t('nav.overview')} lead={t('overview.lead')} />
      <Loaded query={overview} heights={[300]}>
        {(now) => {
          const redirects = now.redirects.toBoxes + now.redirects.toOrigin;
          return (
            <>
              <div class="tiles">
                <Tile
                  title={t('overview.boxes')}
                  figure={t('overview.boxes.text', numbers(now.boxes))}
                  part={now.boxes.online}
                  whole={now.boxes.total}
                  ink="good"
                />
                <Tile
                  title={t('overview.placements')}
                  figure={t('overview.placements.text', numbers(now.placements))}
                  part={now.placements.held}
                  whole={now.placements.wanted}
                  ink="good"
                />
                <Tile
                  title={t('overview.assets')}
                  figure={t('overview.assets.text', numbers(now.assets))}
                  part={now.assets.ready}
                  whole={now.assets.total}
                  ink="good"
                />
                <Tile
                  title={t('overview.redirects')}
                  figure={redirects === 0 ? '–' : formatShare(now.redirects.toBoxes, redirects)}
                  more={
                    redirects === 0
                      ? t('overview.redirects.none')
                      : t('overview.redirects.text', {
                          boxes: formatNumber(now.redirects.toBoxes),
                          origin: formatNumber(now.redirects.toOrigin),
                        })
                  }
                  part={now.redirects.toBoxes}
                  whole={redirects}
                  ink="ember"
                />
                <Tile title={t('overview.delivered')} figure={formatBytes(now.deliveredBytes)} />
                <Tile
                  title={t('overview.credited')}
                  figure={formatCredits(now.credited)}
                  more={t('ledger.credits')}
                />
              </div>
              <Card title={t('overview.attention')}>
                {now.boxes.total === 0 ? (
                  <Empty title={t('overview.start.title')} text={t('overview.start.text')}>
                    <LinkButton href={href('boxes')} kind="primary">
                      {t('boxes.add')}
                    </LinkButton>
                  </Empty>
                ) : troubled.length + unread.length === 0 ? (
                  <p class="soft">{t('overview.fine')}</p>
                ) : (
                  <ul class="list">
                    {troubled.slice(0, SHOWN_AT_MOST).map((box) => (
                      <li key={box.id}>
                        <div>
                          <a class="strong" href={href('boxes', box.id)}>
                            {box.label}
                          </a>
                          <br />
                          <span class="soft small">
                            {routeText(box) ??
                              t('boxes.files.label', {
                                held: formatNumber(box.held),
                                pending: formatNumber(box.pending),
                                failed: formatNumber(box.failed),
                              })}
                          </span>
                        </div>
                        <BoxState box={box} />
                      </li>
                    ))}
                    {unread.slice(0, SHOWN_AT_MOST).map((asset) => (
                      <li key={asset.id}>
                        <div>
                          <a class="strong" href={href('assets', asset.id)}>
                            {asset.path}
                          </a>
                          <br />
                          <Reason reason={asset.error} />
                        </div>
                        <AssetState asset={asset} />
                      </li>
                    ))}
                  </ul>
                )}
              </Card>
            </>
          );
        }}
      </Loaded>
    </>
  );
}

function Tile(props: {
  title: string;
  figure: string;
  more?: string;
  part?: number;
  whole?: number;
  ink?: Ink;
}) {
  const { part, whole, ink } = props;
  return (
    <section class="card tile">
      <h2 class="soft small">{props.title}</h2>
      <p class="figure">{props.figure}</p>
      {props.more ? <p class="soft small">{props.more}</p> : null}
      {part !== undefined && whole !== undefined && ink ? (
        <Bar
          label={`${props.title}: ${formatShare(part, whole)}`}
          parts={[{ value: part, ink }]}
          total={whole}
        />
      ) : null}
    </section>
  );
}

/** Every number of a small object in the language's own writing. */
function numbers<T extends Record<string, number>>(values: T): { [K in keyof T]: string } {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, formatNumber(value)])) as {
    [K in keyof T]: string;
  };
}
