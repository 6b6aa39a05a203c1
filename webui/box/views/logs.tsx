import { useEffect, useRef, useState } from 'preact/hooks';
import type { LogLine } from '#protocol/http-box.ts';
import {
  Badge,
  Button,
  Card,
  Fault,
  Segments,
  Skeleton,
  type Tone,
} from '../../shared/components/basics.tsx';
import { Icon } from '../../shared/components/icon.tsx';
import { Head } from '../../shared/components/page.tsx';
import { formatMoment, formatNumber, formatTimeOfDay } from '../../shared/format.ts';
import { language } from '../../shared/i18n.ts';
import { startPoll } from '../../shared/poll.ts';
import { live } from '../live.ts';
import { logLines, logSkipped, logWanted, takeLog } from '../log.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';

/** As protocol/http-box.ts has them. */
const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
const TONES: Record<LogLine['level'], Tone> = { debug: 'plain', info: 'plain', warn: 'warn', error: 'bad' };
const INTERVAL_MS = 2_000;

/** What the box says of itself, newest first, as it says it; and the file for whoever helps. */
export function LogsPage() {
  return (
    <>
      <Head title={t('nav.logs')} lead={t('logs.lead')} />
      <Card title={t('diagnostics.title')}>
        <p class="soft">{t('diagnostics.lead')}</p>
        <div class="actions">
          <a class="button" href="./api/diagnostics" download>
            <Icon name="download" />
            {t('diagnostics.button')}
          </a>
        </div>
      </Card>
      <Log />
    </>
  );
}

function Log() {
  const [level, setLevel] = useState<LogLine['level']>('info');
  /** What stood there when it was paused. */
  const [frozen, setFrozen] = useState<readonly LogLine[] | null>(null);
  const { lines, error, refresh } = useLog();
  const least = LOG_LEVELS.indexOf(level);
  const ofLevel = (all: readonly LogLine[]) => all.filter((line) => LOG_LEVELS.indexOf(line.level) >= least);
  const shown = ofLevel(frozen ?? lines ?? []);
  const known = new Set(frozen?.map(nameOf));
  const waiting =
    frozen === null ? 0 : ofLevel(lines ?? []).filter((line) => !known.has(nameOf(line))).length;
  return (
    <Card
      title={t('logs.title')}
      aside={
        <Segments
          label={t('logs.level')}
          value={level}
          onChange={setLevel}
          options={LOG_LEVELS.map((value) => ({ value, label: t(`logs.level.${value}`) }))}
        />
      }
    >
      <div class="log-state">
        <span class="soft small">
          {frozen !== null
            ? t('logs.waiting.n', { n: formatNumber(waiting) })
            : logSkipped.value > 0
              ? t('logs.skipped.n', { n: formatNumber(logSkipped.value) })
              : t('logs.newest')}
        </span>
        <Button
          compact
          icon={frozen === null ? 'pause' : 'play'}
          onClick={() => setFrozen(frozen === null ? (lines ?? []) : null)}
        >
          {t(frozen === null ? 'logs.pause' : 'logs.resume')}
        </Button>
      </div>
      {lines === null ? (
        error === undefined ? (
          <Skeleton heights={[320]} />
        ) : (
          <Fault error={error} retry={refresh} />
        )
      ) : shown.length === 0 ? (
        <p class="soft">{t('logs.none')}</p>
      ) : (
        <ol class="log-lines">
          {shown.map((line) => (
            <Line key={line.seq} line={line} />
          ))}
        </ol>
      )}
    </Card>
  );
}

const nameOf = (line: LogLine) => `${line.seq} ${line.at}`;

function Line({ line }: { line: LogLine }) {
  const fields = Object.entries(line.fields);
  return (
    <li>
      <time dateTime={line.at} title={formatMoment(line.at)}>
        {formatTimeOfDay(line.at)}
      </time>
      {/* The box writes its log in one language, for whoever helps. */}
      <span class="log-text" lang="en">
        {line.level === 'info' || line.level === 'debug' ? null : (
          <span class="log-level" lang={language.value}>
            <Badge tone={TONES[line.level]}>{t(`logs.line.${line.level}`)}</Badge>
          </span>
        )}
        {line.text}
        {fields.map(([name, value]) => (
          <span key={name} class="soft">
            {' '}
            {name}={value}
          </span>
        ))}
      </span>
    </li>
  );
}

/** The log by the stream of events while this is on screen; while there is no stream it is asked for. */
function useLog() {
  const [error, setError] = useState<unknown>(undefined);
  const poll = useRef<{ refresh: () => void } | null>(null);
  useEffect(() => {
    logWanted.value = true;
    return () => {
      logWanted.value = false;
    };
  }, []);
  useEffect(() => {
    if (live.value) return;
    const mine = startPoll({
      intervalMs: INTERVAL_MS,
      onError: setError,
      run: async (signal) => {
        const after = logLines.peek()?.[0]?.seq ?? 0;
        const answer = await api.get<{ items: LogLine[] }>(`/logs?level=debug&after=${after}`, signal);
        if (signal.aborted) return;
        setError(undefined);
        takeLog({ ...answer, skipped: 0 });
      },
    });
    poll.current = mine;
    return mine.stop;
  }, [live.value]);
  return { lines: logLines.value, error, refresh: () => poll.current?.refresh() };
}
