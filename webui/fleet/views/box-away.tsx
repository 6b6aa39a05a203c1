import type { BoxDetail } from '#protocol/http-fleet.ts';
import { AwaySessions } from '../../shared/components/away-sessions.tsx';
import { Badge, Card, toast } from '../../shared/components/basics.tsx';
import { api } from '../state.ts';
import { t } from '../text.ts';

/** Whether the household has its dashboard opened from away, and who is in there now. */
export function Away({ box, refresh }: { box: Pick<BoxDetail, 'id' | 'away'>; refresh: () => void }) {
  const { on, sessions } = box.away;
  const all = `/boxes/${encodeURIComponent(box.id)}/away-sessions`;
  const end = async (ids: string[]) => {
    // All that are listed: those that came meanwhile as well.
    if (ids.length > 1) await api.send('DELETE', all);
    else for (const id of ids) await api.send('DELETE', `${all}/${encodeURIComponent(id)}`);
    toast(t('away.ended'));
    refresh();
  };
  return (
    <Card
      title={t('away.title')}
      aside={<Badge tone={on ? 'warn' : 'plain'}>{t(on ? 'away.on' : 'away.off')}</Badge>}
    >
      <p class="soft">{t(on ? 'away.lead' : 'away.lead.off')}</p>
      {on ? <AwaySessions sessions={sessions} end={end} /> : null}
    </Card>
  );
}
