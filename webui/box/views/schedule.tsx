import { useState } from 'preact/hooks';
import type { CapWindow, HouseholdSettings } from '#protocol/household.ts';
import { Button, Card, Fault } from '../../shared/components/basics.tsx';
import { Field, Form } from '../../shared/components/form.tsx';
import { language } from '../../shared/i18n.ts';
import { useAction } from '../../shared/query.ts';
import { changeSettings } from '../state.ts';
import { t } from '../text.ts';
import { fromField, toField } from '../units.ts';

/** As protocol/household.ts has them. */
const MOST_WINDOWS = 20;
const LEAST_CAP_BYTES = 8 * 1024;
/** Monday first; 0 is Sunday, as in Date.getDay(). */
const WEEK = [1, 2, 3, 4, 5, 6, 0];

interface Row {
  key: number;
  days: number[];
  from: string;
  to: string;
  up: string;
  down: string;
}

let nextKey = 1;

function rowOf(window: CapWindow): Row {
  return {
    key: nextKey++,
    days: window.days,
    from: window.from,
    to: window.to,
    up: toField(window.upBytesPerSecond, 'mbit'),
    down: toField(window.downBytesPerSecond, 'mbit'),
  };
}

/** The row as it is kept, or null while something in it is not right. */
function windowOf(row: Row): CapWindow | null {
  const up = fromField(row.up, 'mbit', LEAST_CAP_BYTES);
  const down = fromField(row.down, 'mbit', LEAST_CAP_BYTES);
  const times = [row.from, row.to].every((time) => /^\d\d:\d\d$/.test(time));
  if (up === undefined || down === undefined || row.days.length === 0 || !times) return null;
  return { days: row.days, from: row.from, to: row.to, upBytesPerSecond: up, downBytesPerSecond: down };
}

/** Other limits at other times of the week. */
export function Schedule({ settings, onSaved }: { settings: HouseholdSettings; onSaved: () => void }) {
  const [rows, setRows] = useState<Row[]>(() => settings.uplink.schedule.map(rowOf));
  const [tried, setTried] = useState(false);
  const windows = rows.map(windowOf);
  const save = useAction(async () => {
    const schedule = windows.filter((window) => window !== null);
    await changeSettings({ uplink: { schedule } });
    onSaved();
  });
  const change = (key: number, part: Partial<Row>) =>
    setRows(rows.map((row) => (row.key === key ? { ...row, ...part } : row)));
  const add = () =>
    setRows([
      ...rows,
      { key: nextKey++, days: [1, 2, 3, 4, 5], from: '18:00', to: '23:00', up: '2', down: '5' },
    ]);
  return (
    <Card title={t('schedule.title')}>
      <p class="soft">{t('schedule.lead', { zone: settings.timeZone })}</p>
      <Form
        onSubmit={() => {
          setTried(true);
          if (!windows.includes(null)) save.run();
        }}
      >
        {rows.length === 0 ? <p>{t('schedule.none')}</p> : null}
        <ul class="windows">
          {rows.map((row, index) => (
            <li key={row.key}>
              <Window
                row={row}
                name={t('schedule.window', { n: index + 1 })}
                wrong={tried && windows[index] === null}
                onChange={(part) => change(row.key, part)}
                onRemove={() => setRows(rows.filter((each) => each.key !== row.key))}
              />
            </li>
          ))}
        </ul>
        <Fault error={save.error} />
        <div class="actions">
          {rows.length < MOST_WINDOWS ? (
            <Button icon="plus" onClick={add}>
              {t('schedule.add')}
            </Button>
          ) : null}
          {rows.length > 0 || settings.uplink.schedule.length > 0 ? (
            <Button type="submit" kind="primary" busy={save.busy}>
              {t('schedule.save')}
            </Button>
          ) : null}
        </div>
      </Form>
    </Card>
  );
}

function Window(props: {
  row: Row;
  name: string;
  wrong: boolean;
  onChange: (part: Partial<Row>) => void;
  onRemove: () => void;
}) {
  const { row, onChange } = props;
  const toggle = (day: number) =>
    onChange({
      days: WEEK.filter((each) => (each === day ? !row.days.includes(day) : row.days.includes(each))),
    });
  return (
    <fieldset class="window">
      <legend class="legend">{props.name}</legend>
      <fieldset class="days" aria-label={t('schedule.days')}>
        {WEEK.map((day) => (
          <button
            key={day}
            type="button"
            aria-pressed={row.days.includes(day)}
            title={dayName(day, 'long')}
            onClick={() => toggle(day)}
          >
            {dayName(day, 'short')}
          </button>
        ))}
      </fieldset>
      <div class="field-row four">
        <Field
          label={t('schedule.from')}
          type="time"
          value={row.from}
          onInput={(from) => onChange({ from })}
        />
        <Field label={t('schedule.to')} type="time" value={row.to} onInput={(to) => onChange({ to })} />
        <Field label={t('caps.up')} decimal value={row.up} onInput={(up) => onChange({ up })} />
        <Field label={t('caps.down')} decimal value={row.down} onInput={(down) => onChange({ down })} />
      </div>
      {props.wrong ? (
        <p class="fault" role="alert">
          {t('schedule.fault')}
        </p>
      ) : null}
      <div class="actions">
        <Button
          compact
          icon="trash"
          label={`${t('schedule.remove')}: ${props.name}`}
          onClick={props.onRemove}
        >
          {t('schedule.remove')}
        </Button>
      </div>
    </fieldset>
  );
}

function dayName(day: number, weekday: 'long' | 'short'): string {
  // 2023-01-01 was a Sunday.
  return new Intl.DateTimeFormat(language.value, { weekday, timeZone: 'UTC' }).format(
    Date.UTC(2023, 0, 1 + day),
  );
}
