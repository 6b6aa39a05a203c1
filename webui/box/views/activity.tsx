import type { Activity } from '#protocol/http-box.ts';
import { Card, Loaded } from '../../shared/components/basics.tsx';
import { Head } from '../../shared/components/page.tsx';
import { formatLocalDay } from '../../shared/format.ts';
import { useActivity } from '../live.ts';
import { t } from '../text.ts';
import { ActivityLog } from './activity-log.tsx';

export function ActivityPage() {
  const activity = useActivity();
  return (
    <>
      <Head title={t('nav.activity')} lead={t('activity.lead')} />
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
