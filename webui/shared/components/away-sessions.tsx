import type { AwaySession } from '#protocol/away.ts';
import { formatDateTime } from '../format.ts';
import { useAction } from '../query.ts';
import { sharedText as t } from '../text.ts';
import { Button, Fault, When } from './basics.tsx';

/**
 * Who is in at a box's dashboard from away, each with a way to end it.
 * @param end resolves when it was asked for; the list follows by itself
 */
export function AwaySessions<T extends AwaySession & { seenAt?: string }>(props: {
  sessions: readonly T[];
  end: (ids: string[]) => Promise<void>;
}) {
  const { sessions } = props;
  const end = useAction(props.end);
  if (sessions.length === 0) return <p class="soft">{t('sessions.none')}</p>;
  return (
    <>
      <ul class="list">
        {sessions.map((session) => (
          <li key={session.id}>
            <div class="small">
              <span class="strong">
                {session.from === '' ? t('sessions.fromUnknown') : t('sessions.from', { from: session.from })}
              </span>
              <br />
              <span class="soft">
                {t('sessions.since')} <When at={session.since} />
                {session.seenAt ? (
                  <>
                    {' · '}
                    {t('sessions.seen')} <When at={session.seenAt} />
                  </>
                ) : null}
                {' · '}
                {t('sessions.until', { time: formatDateTime(session.endsAt) })}
              </span>
            </div>
            <Button
              compact
              busy={end.busy}
              label={t('sessions.end.label', { from: session.from, time: formatDateTime(session.since) })}
              onClick={() => end.run([session.id])}
            >
              {t('sessions.end')}
            </Button>
          </li>
        ))}
      </ul>
      {sessions.length > 1 ? (
        <div class="actions">
          <Button busy={end.busy} onClick={() => end.run(sessions.map(({ id }) => id))}>
            {t('sessions.endAll')}
          </Button>
        </div>
      ) : null}
      <Fault error={end.error} />
    </>
  );
}
