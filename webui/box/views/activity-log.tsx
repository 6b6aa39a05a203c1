import type { Activity } from '#protocol/http-box.ts';
import { When } from '../../shared/components/basics.tsx';
import { Icon } from '../../shared/components/icon.tsx';
import { formatMoment, formatTimeOfDay } from '../../shared/format.ts';
import { tellActivity } from '../activity.ts';
import { t } from '../text.ts';

/** `recent`: how long ago instead of the time of day, for a list without headings by day. */
export function ActivityLog({ items, recent = false }: { items: Activity[]; recent?: boolean }) {
  if (items.length === 0) return <p class="soft">{t('activity.none')}</p>;
  return (
    <ol class="log">
      {items.map((item) => {
        const told = tellActivity(item);
        return (
          <li key={item.seq}>
            <span class={`dot ${told.tone}`}>
              <Icon name={told.icon} />
            </span>
            <p>
              {told.text}
              {told.more ? (
                <>
                  <br />
                  <span class="soft small">{told.more}</span>
                </>
              ) : null}
            </p>
            {recent ? (
              <When at={item.at} />
            ) : (
              <time dateTime={item.at} title={formatMoment(item.at)}>
                {formatTimeOfDay(item.at)}
              </time>
            )}
          </li>
        );
      })}
    </ol>
  );
}
