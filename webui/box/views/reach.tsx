import type { BoxReach, ReachRung } from '#protocol/reach.ts';
import { Badge, Button, Card, Loaded, toast } from '../../shared/components/basics.tsx';
import { useAction, useQuery } from '../../shared/query.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';

/** How clients reach the box: the ladder, what was tried, and what the household could change. */
export function ReachCard() {
  const reach = useQuery<BoxReach>(api, '/doctor', 5_000);
  return (
    <Loaded query={reach} heights={[240]}>
      {(now) => <Ladder reach={now} />}
    </Loaded>
  );
}

const TONES = {
  direct: 'good',
  relayed: 'good',
  unreachable: 'bad',
  trying: 'warn',
  unconfirmed: 'warn',
} as const;

function Ladder({ reach }: { reach: BoxReach }) {
  const test = useAction(async () => {
    await api.send('POST', '/doctor');
    toast(t('reach.tested'));
  });
  return (
    <Card
      title={t('reach.title')}
      aside={<Badge tone={TONES[reach.state]}>{t(`reach.state.${reach.state}`)}</Badge>}
    >
      {reach.reason ? <p>{t(`reach.reason.${reach.reason}`)}</p> : null}
      {reach.advice.length > 0 ? (
        <>
          <h3>{t('reach.do')}</h3>
          <ul>
            {reach.advice.map(({ code, values }) => (
              <li key={code}>
                {t(`reach.advice.${code}`)} <Values of={values} />
              </li>
            ))}
          </ul>
        </>
      ) : null}
      <h3>{t('reach.ladder')}</h3>
      <ul>
        {reach.ladder.map((rung) => (
          <Rung key={`${rung.way} ${rung.family}`} rung={rung} />
        ))}
      </ul>
      <p>
        <Button icon="gauge" busy={test.busy} onClick={() => test.run()}>
          {t('reach.test')}
        </Button>
      </p>
    </Card>
  );
}

function Rung({ rung }: { rung: ReachRung }) {
  const { way, family, state, reason, values } = rung;
  const { dial, ...rest } = values;
  return (
    <li>
      <strong>{t(`reach.way.${way}`)}</strong>{' '}
      {family === 'ipv6' ? 'IPv6' : family === 'ipv4' ? 'IPv4' : null} {t(`reach.rung.${state}`)}
      {reason ? <span class="soft"> {t(`reach.reason.${reason}`)}</span> : null}{' '}
      {isDial(dial) ? <span class="soft">({t(`reach.dial.${dial}`)})</span> : null} <Values of={rest} />
    </li>
  );
}

const DIALS = ['ok', 'refused', 'timeout', 'unreachable', 'not_this_box', 'rate_limited'] as const;
const isDial = (code: unknown): code is (typeof DIALS)[number] => DIALS.some((known) => known === code);

function Values({ of }: { of: Record<string, string | number> }) {
  const { address, port, detail } = of;
  const where = [address, port].filter((one) => one !== undefined && one !== '').join(' : ');
  return (
    <>
      {where === '' ? null : <code>{where}</code>}{' '}
      {detail === undefined ? null : <span class="soft">{detail}</span>}
    </>
  );
}
