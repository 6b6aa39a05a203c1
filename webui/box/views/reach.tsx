import type {
  BoxReach,
  CERTIFICATE_PROBLEMS,
  CertificateState,
  DialCode,
  ReachRung,
} from '#protocol/reach.ts';
import {
  Badge,
  Button,
  Card,
  Fault,
  Loaded,
  Note,
  type Tone,
  toast,
} from '../../shared/components/basics.tsx';
import { formatDateTime } from '../../shared/format.ts';
import { useAction, useQuery } from '../../shared/query.ts';
import { api } from '../state.ts';
import { hasText, t } from '../text.ts';

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
        <Note tone="warn">
          <h3>{t('reach.do')}</h3>
          <ul class="advice">
            {reach.advice.map(({ code, values }) => (
              <li key={code}>
                {t(`reach.advice.${code}`)} <Values of={values} />
              </li>
            ))}
          </ul>
        </Note>
      ) : null}
      <h3>{t('reach.ladder')}</h3>
      <ul class="rungs">
        {reach.ladder.map((rung) => (
          <Rung key={`${rung.way} ${rung.family}`} rung={rung} />
        ))}
      </ul>
      {reach.certificate ? <Certificate of={reach.certificate} /> : null}
      <Fault error={test.error} />
      <div class="actions">
        <Button icon="gauge" busy={test.busy} onClick={() => test.run()}>
          {t('reach.test')}
        </Button>
      </div>
    </Card>
  );
}

/** Whether the box's own name has a certificate, and since when none can be had. */
function Certificate({ of: { serverName: name, state, expiresAt, problem } }: { of: CertificateState }) {
  const until = expiresAt === null ? '' : formatDateTime(expiresAt);
  const why = `reach.cert.why.${problem?.code}`;
  return (
    <>
      <h3>{t('reach.cert.title')}</h3>
      <p>
        {state === 'waiting' ? t('reach.cert.waiting', { name }) : t(`reach.cert.${state}`, { name, until })}
      </p>
      {problem ? (
        <Note tone={state === 'expired' ? 'bad' : 'warn'}>
          <p>
            {t('reach.cert.failing', { since: formatDateTime(problem.since) })}{' '}
            {t(isWhy(why) ? why : 'reach.cert.why.ca_refused')}
          </p>
          {state === 'valid' ? <p>{t('reach.cert.servesOn')}</p> : null}
        </Note>
      ) : null}
    </>
  );
}

function isWhy(key: string): key is `reach.cert.why.${(typeof CERTIFICATE_PROBLEMS)[number]}` {
  return hasText(key);
}

const RUNG_TONES = {
  bears: 'good',
  waits: 'warn',
  trying: 'live',
  failed: 'plain',
  skipped: 'plain',
} as const satisfies Record<ReachRung['state'], Tone>;

function Rung({ rung }: { rung: ReachRung }) {
  const { way, family, state, reason, values } = rung;
  const { dial, ...rest } = values;
  return (
    <li>
      <div class="rung-head">
        <span class="strong">
          {t(`reach.way.${way}`)}
          {family === null ? '' : ` (${family === 'ipv6' ? 'IPv6' : 'IPv4'})`}
        </span>
        <Badge tone={RUNG_TONES[state]}>{t(`reach.rung.${state}`)}</Badge>
      </div>
      <p class="soft small">
        {reason ? t(`reach.reason.${reason}`) : null} {isDial(dial) ? `(${t(`reach.dial.${dial}`)})` : null}{' '}
        <Values of={rest} />
      </p>
    </li>
  );
}

function isDial(code: unknown): code is DialCode {
  return hasText(`reach.dial.${code}`);
}

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
