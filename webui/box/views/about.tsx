import type { BoxStatus } from '#protocol/http-box.ts';
import { Badge, Card, Fact, When } from '../../shared/components/basics.tsx';
import { formatBytes, formatDuration, formatNumber } from '../../shared/format.ts';
import { t } from '../text.ts';
import { updateNews } from '../updates.ts';

export function About({ status }: { status: BoxStatus }) {
  const { box, link, serving } = status;
  const news = updateNews(status.update?.last ?? null);
  const tone = link.state === 'online' ? 'good' : link.state === 'offline' ? 'bad' : 'warn';
  return (
    <Card title={t('about.title')}>
      <dl class="facts">
        {box.label ? <Fact label={t('about.name')}>{box.label}</Fact> : null}
        <Fact label={t('about.link')}>
          <Badge tone={tone}>{t(`about.link.${link.state}`)}</Badge>{' '}
          <span class="soft small">
            <When at={link.since} />
          </span>
        </Fact>
        {link.fleetUrl ? <Fact label={t('about.fleet')}>{link.fleetUrl}</Fact> : null}
        <Fact label={t('about.address')}>{serving.contentUrl}</Fact>
        {box.id ? (
          <Fact label={t('about.id')}>
            <code>{box.id}</code>
          </Fact>
        ) : null}
        <Fact label={t('about.folder')}>
          <code>{status.disk.path}</code>
        </Fact>
        <Fact label={t('about.uptime')}>{formatDuration(box.uptimeMs)}</Fact>
        <Fact label={t('about.memory')}>{formatBytes(box.rssBytes)}</Fact>
        <Fact label={t('about.version')}>
          {box.agentVersion}
          {status.update ? null : <span class="soft small line">{t('update.byPackage')}</span>}
        </Fact>
        {news ? (
          <Fact label={t('update.title')}>
            {news.text}
            {news.why ? <span class="soft small line">{news.why}</span> : null}
          </Fact>
        ) : null}
        {status.unsettledBatches > 0 ? (
          <Fact label={t('about.unsettled')}>
            {t('about.unsettled.n', { n: formatNumber(status.unsettledBatches) })}
          </Fact>
        ) : null}
        {link.refusedMessages > 0 ? (
          <Fact label={t('about.refused')}>{formatNumber(link.refusedMessages)}</Fact>
        ) : null}
      </dl>
    </Card>
  );
}
