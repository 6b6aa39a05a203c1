import type { BoxStatus } from '#protocol/http-box.ts';
import type { DiskState } from '#protocol/messages.ts';
import { Bar } from '../../shared/components/bars.tsx';
import { Badge, Card, type Tone } from '../../shared/components/basics.tsx';
import { formatBytes } from '../../shared/format.ts';
import { t } from '../text.ts';

const TONES: Record<DiskState, Tone> = {
  ok: 'good',
  slow: 'warn',
  full: 'warn',
  absent: 'bad',
  foreign: 'bad',
  read_only: 'bad',
  failing: 'bad',
};

/** The disk: its state in a word, and whose bytes are on it. */
export function Disk({ status }: { status: BoxStatus }) {
  const { state, totalBytes, freeBytes, usedBytes } = status.disk;
  const otherBytes = Math.max(0, totalBytes - freeBytes - usedBytes);
  const there = state !== 'absent' && totalBytes > 0;
  return (
    <Card title={t('disk.title')} aside={<Badge tone={TONES[state]}>{t(`disk.${state}`)}</Badge>}>
      {there ? (
        <>
          <p class="figure">
            {formatBytes(freeBytes)} <small>{t('disk.of', { total: formatBytes(totalBytes) })}</small>
          </p>
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
          <ul class="key">
            <li class="ember">{t('disk.usedByHearth', { n: formatBytes(usedBytes) })}</li>
            <li>{t('disk.usedByOthers', { n: formatBytes(otherBytes) })}</li>
            <li class="free">{t('disk.free', { n: formatBytes(freeBytes) })}</li>
          </ul>
          <p class="soft small">{t('disk.yours')}</p>
        </>
      ) : (
        <p class="soft">{t('disk.notThere')}</p>
      )}
    </Card>
  );
}
