import type { HouseholdSettings } from '#protocol/household.ts';
import type { BoxNetwork } from '#protocol/http-box.ts';
import type { UplinkView } from '#protocol/uplink.ts';
import { Bar } from '../../shared/components/bars.tsx';
import { Badge, Card, Fact, Loaded, Note, toast, When } from '../../shared/components/basics.tsx';
import { Head } from '../../shared/components/page.tsx';
import { formatBytes, formatShare } from '../../shared/format.ts';
import { useQuery } from '../../shared/query.ts';
import { api, useSettings } from '../state.ts';
import { t } from '../text.ts';
import { formatMbit } from '../units.ts';
import { CapsForm } from './caps-form.tsx';
import { ReachCard } from './reach.tsx';
import { Schedule } from './schedule.tsx';

export function NetworkPage() {
  const network = useQuery<BoxNetwork>(api, '/network', 5_000);
  const uplink = useQuery<UplinkView>(api, '/uplink', 2_000);
  const settings = useSettings();
  return (
    <>
      <Head title={t('nav.network')} lead={t('network.lead')} />
      <div class="grid two">
        <Loaded query={uplink} heights={[240]}>
          {(now) => <Line line={now} />}
        </Loaded>
        <Loaded query={uplink} heights={[240]}>
          {(now) => <Month month={now.month} />}
        </Loaded>
      </div>
      <Loaded query={settings} heights={[420]}>
        {(now) => <Limits settings={now} />}
      </Loaded>
      <ReachCard />
      <Loaded query={network} heights={[240]}>
        {(now) => <Addresses network={now} />}
      </Loaded>
    </>
  );
}

/** What goes over the line now, and what may. */
function Line({ line }: { line: UplinkView }) {
  const { caps } = line;
  return (
    <Card
      title={t('line.now')}
      aside={line.accepting ? null : <Badge tone="warn">{t(`line.${line.reason ?? 'paused'}`)}</Badge>}
    >
      <dl class="line-rates">
        <Rate name={t('line.up')} now={line.upBytesPerSecond} cap={caps.upBytesPerSecond} />
        <Rate name={t('line.down')} now={line.downBytesPerSecond} cap={caps.downBytesPerSecond} />
      </dl>
      <p class="soft small">
        {caps.strictest ? t('line.strictest') : caps.window === null ? t('line.byCaps') : t('line.byWindow')}
      </p>
    </Card>
  );
}

function Rate(props: { name: string; now: number; cap: number | null }) {
  return (
    <div>
      <dt>{props.name}</dt>
      <dd>
        <span class="figure">{formatMbit(props.now)}</span>{' '}
        <span class="soft">
          {props.cap === null ? t('line.noCap') : t('line.ofCap', { cap: formatMbit(props.cap) })}
        </span>
        {props.cap === null ? null : (
          <Bar
            label={t('line.bar', { now: formatMbit(props.now), cap: formatMbit(props.cap) })}
            parts={[{ value: Math.min(props.now, props.cap), ink: 'ember' }]}
            total={props.cap}
          />
        )}
      </dd>
    </div>
  );
}

function Month({ month }: { month: UplinkView['month'] }) {
  const { usedBytes, monthlyBytes } = month;
  const full = monthlyBytes !== null && usedBytes >= monthlyBytes;
  const near = monthlyBytes !== null && usedBytes >= 0.8 * monthlyBytes;
  return (
    <Card title={t('month.title')}>
      <p class="figure">
        {formatBytes(usedBytes)}{' '}
        <small>
          {monthlyBytes === null ? t('month.noLimit') : t('month.of', { limit: formatBytes(monthlyBytes) })}
        </small>
      </p>
      {monthlyBytes === null ? null : (
        <Bar
          size="thick"
          label={t('month.bar', { share: formatShare(usedBytes, monthlyBytes) })}
          parts={[{ value: Math.min(usedBytes, monthlyBytes), ink: full ? 'bad' : near ? 'warn' : 'ember' }]}
          total={Math.max(1, monthlyBytes)}
        />
      )}
      <dl class="facts">
        <Fact label={t('month.up')}>{formatBytes(month.upBytes)}</Fact>
        <Fact label={t('month.down')}>{formatBytes(month.downBytes)}</Fact>
        {month.unsureBytes > 0 ? (
          <Fact label={t('month.unsure')}>{formatBytes(month.unsureBytes)}</Fact>
        ) : null}
      </dl>
      <p class="soft small">{t(full ? 'month.full' : 'month.resets')}</p>
    </Card>
  );
}

function Limits({ settings }: { settings: HouseholdSettings }) {
  const saved = () => toast(t('settings.saved'));
  const { schedule, ...caps } = settings.uplink;
  return (
    <>
      <Card title={t('caps.title')}>
        <CapsForm key={JSON.stringify(caps)} settings={settings} button={t('common.save')} onSaved={saved} />
      </Card>
      <Schedule key={JSON.stringify(schedule)} settings={settings} onSaved={saved} />
    </>
  );
}

function Addresses({ network }: { network: BoxNetwork }) {
  const { link } = network;
  const tone = link.state === 'online' ? 'good' : link.state === 'offline' ? 'bad' : 'warn';
  return (
    <Card title={t('addresses.title')} aside={<Badge tone={tone}>{t(`about.link.${link.state}`)}</Badge>}>
      {link.problem ? (
        <Note tone="warn">
          <p>{t('head.reason', { reason: link.problem })}</p>
        </Note>
      ) : null}
      <dl class="facts">
        <Fact label={t('addresses.since')}>
          <When at={link.since} />
        </Fact>
        {network.fleetUrl ? <Fact label={t('about.fleet')}>{network.fleetUrl}</Fact> : null}
        <Fact label={t('addresses.page')}>{network.lanUrl}</Fact>
        <Fact label={t('addresses.content')}>{network.contentUrl}</Fact>
        <Fact label={t('addresses.port')}>{portOf(network.contentUrl)}</Fact>
        {network.routerUrl ? <Fact label={t('addresses.router')}>{network.routerUrl}</Fact> : null}
        {network.addresses.map(({ name, address }) => (
          <Fact key={`${name} ${address}`} label={t('addresses.of', { name })}>
            <code>{address}</code>
          </Fact>
        ))}
      </dl>
    </Card>
  );
}

function portOf(url: string): string {
  const { port, protocol } = new URL(url);
  return port || (protocol === 'https:' ? '443' : '80');
}
