import { useState } from 'preact/hooks';
import type { BoxAway, BoxAwayKey } from '#protocol/http-box.ts';
import { AwaySessions } from '../../shared/components/away-sessions.tsx';
import { Badge, Button, Card, Fact, Fault, Loaded, Note, When } from '../../shared/components/basics.tsx';
import { useAction, useQuery } from '../../shared/query.ts';
import { api, isAway } from '../state.ts';
import { t } from '../text.ts';

/** Whether this page may be opened from away from home, and by which key. */
export function AwayCard() {
  const away = useQuery<BoxAway>(api, '/away', 10_000);
  return (
    <Loaded query={away} heights={[200]}>
      {(now) => <Away away={now} refresh={away.refresh} />}
    </Loaded>
  );
}

function Away({ away, refresh }: { away: BoxAway; refresh: () => void }) {
  const [key, setKey] = useState<string | null>(null);
  const turnOn = useAction(async () => {
    setKey((await api.send<BoxAwayKey>('POST', '/away')).key);
    refresh();
  });
  const turnOff = useAction(async () => {
    await api.send('DELETE', '/away');
    setKey(null);
    refresh();
  });
  return (
    <Card
      title={t('away.title')}
      aside={<Badge tone={away.on ? 'warn' : 'plain'}>{t(away.on ? 'away.on' : 'away.off')}</Badge>}
    >
      <p class="soft">{t('away.lead')}</p>
      <div aria-live="polite">
        {key === null ? null : (
          <Note tone="good">
            <p>
              {t('away.key')}: <code>{key}</code>
            </p>
            <p>{t('away.keyOnce')}</p>
          </Note>
        )}
      </div>
      {away.on ? (
        <>
          <dl class="facts">
            {away.urls.map((url) => (
              <Fact key={url} label={t('away.address')}>
                <a class="break" href={url}>
                  {url}
                </a>
              </Fact>
            ))}
            {away.since ? (
              <Fact label={t('away.since')}>
                <When at={away.since} />
              </Fact>
            ) : null}
            <LastUsed away={away} />
          </dl>
          {away.sessions === null ? null : (
            <section aria-label={t('away.now')}>
              <h3>{t('away.now')}</h3>
              <AwaySessions
                sessions={away.sessions}
                end={async (sessions) => {
                  await api.send('POST', '/away/end', { sessions });
                  refresh();
                }}
              />
            </section>
          )}
          {away.urls.length === 0 ? <p class="soft">{t('away.noRelay')}</p> : null}
        </>
      ) : (
        <dl class="facts">
          <LastUsed away={away} />
        </dl>
      )}
      <div class="actions">
        {isAway ? (
          <p class="soft small">{t('away.atHome')}</p>
        ) : (
          <Button busy={turnOn.busy} onClick={() => turnOn.run()}>
            {t(away.on ? 'away.newKey' : 'away.turnOn')}
          </Button>
        )}
        {away.on ? (
          <Button kind="danger" busy={turnOff.busy} onClick={() => turnOff.run()}>
            {t('away.turnOff')}
          </Button>
        ) : null}
      </div>
      <Fault error={turnOn.error ?? turnOff.error} />
    </Card>
  );
}

function LastUsed({ away: { lastUsedAt, lastFrom } }: { away: BoxAway }) {
  return (
    <Fact label={t('away.lastUsed')}>
      {lastUsedAt === null ? t('away.never') : <When at={lastUsedAt} />}{' '}
      {lastFrom === null ? null : t('away.from', { address: lastFrom })}
    </Fact>
  );
}
