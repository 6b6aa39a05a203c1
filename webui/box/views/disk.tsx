import type { ComponentChildren } from 'preact';
import type { DiskSettings } from '#protocol/household.ts';
import type { BoxStatus } from '#protocol/http-box.ts';
import { Bar } from '../../shared/components/bars.tsx';
import { Badge, Card, DISK_TONES } from '../../shared/components/basics.tsx';
import { formatBytes } from '../../shared/format.ts';
import { href } from '../../shared/router.ts';
import { hasText, t } from '../text.ts';

export function DiskBadge({ disk }: { disk: BoxStatus['disk'] }) {
  if (disk.reason === 'ejected') return <Badge>{t('disk.ejected')}</Badge>;
  if (disk.reason === 'none_chosen') return <Badge tone="warn">{t('disk.noneChosen')}</Badge>;
  if (disk.reason === 'unmarked') return <Badge tone="warn">{t('disk.unmarked')}</Badge>;
  return <Badge tone={DISK_TONES[disk.state]}>{t(`disk.${disk.state}`)}</Badge>;
}

/** Why the disk is not well, in words; null when its state says all there is. */
export function whyDisk(disk: BoxStatus['disk']): string | null {
  const key = `disk.why.${disk.reason}`;
  return hasText(key) ? t(key as 'disk.why.read_only') : disk.problem;
}

/** The disk: its state in a word, and whose bytes are on it. */
export function Disk({ status, link = false }: { status: BoxStatus; link?: boolean }) {
  return (
    <Card
      title={t('disk.title')}
      aside={link ? <a href={href('storage')}>{t('disk.more')}</a> : <DiskBadge disk={status.disk} />}
    >
      <Usage disk={status.disk} bounds={null} badge={link ? <DiskBadge disk={status.disk} /> : undefined} />
      <p class="soft small">{t('disk.yours')}</p>
    </Card>
  );
}

/** Used, others', free, and where the household's bounds lie. */
export function Usage(props: {
  disk: BoxStatus['disk'];
  bounds: DiskSettings | null;
  badge?: ComponentChildren;
}) {
  const { disk, bounds, badge } = props;
  const { state, totalBytes, freeBytes, usedBytes } = disk;
  if (state === 'absent' || totalBytes === 0) {
    return (
      <p class="soft">
        {badge} {t('disk.notThere')}
      </p>
    );
  }
  const otherBytes = Math.max(0, totalBytes - freeBytes - usedBytes);
  const quota = bounds?.quota ?? null;
  const quotaBytes =
    quota === null ? null : quota.unit === 'bytes' ? quota.value : (totalBytes * quota.value) / 100;
  const floorBytes = bounds?.floorBytes ?? null;
  const share = (bytes: number) => `${Math.min(100, Math.max(0, (100 * bytes) / totalBytes))}%`;
  return (
    <>
      <p class="figure with-badge">
        <span>
          {formatBytes(freeBytes)} <small>{t('disk.of', { total: formatBytes(totalBytes) })}</small>
        </span>
        {badge}
      </p>
      <div class="gauge">
        <Bar
          size="thick"
          label={t('disk.bar', {
            used: formatBytes(usedBytes),
            other: formatBytes(otherBytes),
            free: formatBytes(freeBytes),
            total: formatBytes(totalBytes),
          })}
          parts={[
            { value: usedBytes, ink: 'ember' },
            { value: otherBytes, ink: 'still' },
          ]}
          total={totalBytes}
        />
        {quotaBytes !== null && quotaBytes < totalBytes ? (
          <i class="limit" style={{ left: share(quotaBytes) }} aria-hidden="true" />
        ) : null}
        {floorBytes ? <i class="floor" style={{ width: share(floorBytes) }} aria-hidden="true" /> : null}
      </div>
      <ul class="key">
        <li class="ember">{t('disk.usedByHearth', { n: formatBytes(usedBytes) })}</li>
        <li>{t('disk.usedByOthers', { n: formatBytes(otherBytes) })}</li>
        <li class="free">{t('disk.free', { n: formatBytes(freeBytes) })}</li>
        {quotaBytes === null ? null : (
          <li class="limit">{t('disk.limitAt', { n: formatBytes(Math.min(quotaBytes, totalBytes)) })}</li>
        )}
        {floorBytes ? <li class="floor">{t('disk.floorAt', { n: formatBytes(floorBytes) })}</li> : null}
      </ul>
    </>
  );
}
