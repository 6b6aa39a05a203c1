import type { Activity } from '#protocol/http-box.ts';
import { Card, Loaded, When } from '../../shared/components/basics.tsx';
import { Icon } from '../../shared/components/icon.tsx';
import { formatDateTime, formatLocalDay, formatTimeOfDay } from '../../shared/format.ts';
import { useQuery } from '../../shared/query.ts';
import { tellActivity } from '../activity.ts';
import { api } from '../state.ts';
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
              <time dateTime={item.at} title={formatDateTime(item.at)}>
                {formatTimeOfDay(item.at)}
              </time>
            )}
          </li>
        );
      })}
    </ol>
  );
}

export function ActivityPage() {
  const activity = useQuery<{ items: Activity[] }>(api, '/activity', 3000);
  return (
    <>
      <div class="page-head">
        <h1 tabIndex={-1}>{t('activity.title')}</h1>
        <p>{t('activity.lead')}</p>
      </div>
      <Loaded query={activity} heights={[420]}>
        {({ items }) =>
          items.length === 0 ? (
            <Card>
              <p class="soft">{t('activity.none')}</p>
            </Card>
          ) : (
            byDay(items).map(([day, those]) => (
              <Card key={day} title={day}>
                <ActivityLog items={those} />
              </Card>
            ))
          )
        }
      </Loaded>
    </>
  );
}

function byDay(items: Activity[]): [string, Activity[]][] {
  const days = new Map<string, Activity[]>();
  for (const item of items) {
    const day = formatLocalDay(item.at);
    const those = days.get(day);
    if (those) those.push(item);
    else days.set(day, [item]);
  }
  return [...days];
}
