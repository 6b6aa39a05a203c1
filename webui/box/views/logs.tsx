import { useEffect, useRef, useState } from 'preact/hooks';
import type { LogLine } from '#protocol/http-box.ts';
import { Badge, Card, Fault, Segments, Skeleton, type Tone } from '../../shared/components/basics.tsx';
import { Icon } from '../../shared/components/icon.tsx';
import { Head } from '../../shared/components/page.tsx';
import { formatDateTime, formatTimeOfDay } from '../../shared/format.ts';
import { startPoll } from '../../shared/poll.ts';
import { api } from '../state.ts';
import { t } from '../text.ts';

const SHOWN_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
const TONES: Record<LogLine['level'], Tone> = { debug: 'plain', info: 'plain', warn: 'warn', error: 'bad' };
const INTERVAL_MS = 2_000;
const SHOWN_LINES = 500;

/** What the box says of itself, newest first, and the file for whoever helps. */
export function LogsPage() {
  const [level, setLevel] = useState<LogLine['level']>('info');
  const { lines, error, refresh } = useLog(level);
  return (
    <>
      <Head title={t('nav.logs')} lead={t('logs.lead')} />
      <Card title={t('diagnostics.title')}>
        <p class="soft">{t('diagnostics.lead')}</p>
        <div class="actions">
          <a class="button" href="/api/diagnostics" download>
            <Icon name="download" />
            {t('diagnostics.button')}
          </a>
        </div>
      </Card>
      <Card
        title={t('logs.title')}
        aside={
          <Segments
            label={t('logs.level')}
            value={level}
            onChange={setLevel}
            options={SHOWN_LEVELS.map((value) => ({ value, label: t(`logs.level.${value}`) }))}
          />
        }
      >
        {lines === null ? (
          error === undefined ? (
            <Skeleton heights={[320]} />
          ) : (
            <Fault error={error} retry={refresh} />
          )
        ) : lines.length === 0 ? (
          <p class="soft">{t('logs.none')}</p>
        ) : (
          <ol class="log-lines">
            {lines.map((line) => (
              <Line key={line.seq} line={line} />
            ))}
          </ol>
        )}
      </Card>
    </>
  );
}

function Line({ line }: { line: LogLine }) {
  const fields = Object.entries(line.fields);
  return (
    <li>
      <time dateTime={line.at} title={formatDateTime(line.at)}>
        {formatTimeOfDay(line.at)}
      </time>
      {line.level === 'info' || line.level === 'debug' ? null : (
        <Badge tone={TONES[line.level]}>{t(`logs.line.${line.level}`)}</Badge>
      )}
      {/* The box writes its log in one language, for whoever helps. */}
      <span class="log-text" lang="en">
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

/** Asks for what came since the last line that is known, again and again. */
function useLog(level: LogLine['level']) {
  const [lines, setLines] = useState<LogLine[] | null>(null);
  const [error, setError] = useState<unknown>(undefined);
  const poll = useRef<{ refresh: () => void } | null>(null);
  useEffect(() => {
    let newest = 0;
    setLines(null);
    const mine = startPoll({
      intervalMs: INTERVAL_MS,
      onError: setError,
      run: async (signal) => {
        const { items } = await api.get<{ items: LogLine[] }>(`/logs?level=${level}&after=${newest}`, signal);
        if (signal.aborted) return;
        const first = items[0]?.seq ?? newest;
        const last = items.at(-1)?.seq ?? newest;
        // Numbers that begin anew are those of a box that was restarted.
        const anew = first < newest;
        newest = last;
        setError(undefined);
        setLines((before) => [...items.toReversed(), ...(anew ? [] : (before ?? []))].slice(0, SHOWN_LINES));
      },
    });
    poll.current = mine;
    return mine.stop;
  }, [level]);
  return { lines, error, refresh: () => poll.current?.refresh() };
}
