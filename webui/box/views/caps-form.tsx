import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type { HouseholdSettings, UplinkSettings } from '#protocol/household.ts';
import type { UplinkTestResult } from '#protocol/uplink.ts';
import { Button, Fault, Note } from '../../shared/components/basics.tsx';
import { Field, Form } from '../../shared/components/form.tsx';
import { useAction } from '../../shared/query.ts';
import { api, changeSettings } from '../state.ts';
import { t } from '../text.ts';
import { formatMbit, fromField, toField } from '../units.ts';

/** A cap below this would be none at all, bytes a second; as protocol/household.ts has it. */
const LEAST_CAP_BYTES = 8 * 1024;
/** The test fills the line in both directions for some seconds. */
const TEST_TIMEOUT_MS = 90_000;

interface Typed {
  up: string;
  down: string;
  month: string;
}

const typedOf = (uplink: UplinkSettings): Typed => ({
  up: toField(uplink.upBytesPerSecond, 'mbit'),
  down: toField(uplink.downBytesPerSecond, 'mbit'),
  month: toField(uplink.monthlyBytes, 'gb'),
});

/** Measures the line, proposes caps, and lets the household have other ones. */
export function CapsForm(props: {
  settings: HouseholdSettings;
  button: string;
  onSaved: () => void;
  beside?: ComponentChildren;
}) {
  const { uplink } = props.settings;
  const [typed, setTyped] = useState<Typed>(() => typedOf(uplink));
  const [tried, setTried] = useState(false);
  const [measured, setMeasured] = useState<UplinkTestResult | null>(null);
  const test = useAction(async () => {
    const result = await api.send<UplinkTestResult>('POST', '/uplink/test', undefined, TEST_TIMEOUT_MS);
    setMeasured(result);
    const { upBytesPerSecond, downBytesPerSecond } = result.proposed;
    setTyped((before) => ({
      ...before,
      up: upBytesPerSecond === null ? before.up : toField(upBytesPerSecond, 'mbit'),
      down: downBytesPerSecond === null ? before.down : toField(downBytesPerSecond, 'mbit'),
    }));
  });
  const up = fromField(typed.up, 'mbit', LEAST_CAP_BYTES);
  const down = fromField(typed.down, 'mbit', LEAST_CAP_BYTES);
  const month = fromField(typed.month, 'gb');
  const save = useAction(async () => {
    if (up === undefined || down === undefined || month === undefined) return;
    await changeSettings({
      uplink: { upBytesPerSecond: up, downBytesPerSecond: down, monthlyBytes: month },
    });
    props.onSaved();
  });
  const fault = (value: number | null | undefined) => (tried && value === undefined ? t('caps.fault') : null);
  const set = (change: Partial<Typed>) => setTyped({ ...typed, ...change });
  return (
    <Form
      onSubmit={() => {
        setTried(true);
        if (up !== undefined && down !== undefined && month !== undefined) save.run();
      }}
    >
      <div class="test-line">
        <p class="soft">{t('caps.test.lead')}</p>
        <Button icon="gauge" busy={test.busy} onClick={() => test.run()}>
          {t(measured ? 'caps.test.again' : 'caps.test')}
        </Button>
      </div>
      <div role="status">
        {test.busy ? <p class="soft">{t('caps.test.running')}</p> : null}
        {measured && !test.busy ? <Measured result={measured} /> : null}
      </div>
      <Fault error={test.error} />
      <div class="field-row">
        <Field
          label={t('caps.up')}
          value={typed.up}
          decimal
          onInput={(value) => set({ up: value })}
          hint={t('caps.none')}
          fault={fault(up)}
        />
        <Field
          label={t('caps.down')}
          value={typed.down}
          decimal
          onInput={(value) => set({ down: value })}
          hint={t('caps.none')}
          fault={fault(down)}
        />
      </div>
      <Field
        label={t('caps.month')}
        value={typed.month}
        decimal
        onInput={(value) => set({ month: value })}
        hint={t('caps.monthHint')}
        fault={fault(month)}
      />
      <Fault error={save.error} />
      <div class="actions">
        {props.beside}
        <Button type="submit" kind="primary" busy={save.busy}>
          {props.button}
        </Button>
      </div>
    </Form>
  );
}

function Measured({ result }: { result: UplinkTestResult }) {
  const rate = (value: number | null) => (value === null ? t('common.unknown') : formatMbit(value));
  const known = result.upBytesPerSecond !== null || result.downBytesPerSecond !== null;
  return (
    <Note tone={known ? 'good' : 'warn'}>
      <p>
        {t('caps.measured', { up: rate(result.upBytesPerSecond), down: rate(result.downBytesPerSecond) })}
      </p>
      <p class="soft small">{t(known ? 'caps.proposed' : 'caps.notMeasured')}</p>
    </Note>
  );
}
