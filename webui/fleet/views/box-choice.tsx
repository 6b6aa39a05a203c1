import type { Box } from '#protocol/http-fleet.ts';
import { Bar } from '../../shared/components/bars.tsx';
import { Field } from '../../shared/components/form.tsx';
import { formatBytes, formatNumber } from '../../shared/format.ts';
import { t } from '../text.ts';
import { BoxState } from './parts.tsx';

export interface BoxChoiceValue {
  kind: 'count' | 'boxes';
  /** As typed. */
  count: string;
  ids: ReadonlySet<string>;
}

/** Boxes by number, chosen by the fleet, or one by one. */
export function BoxChoice(props: {
  boxes: Box[];
  value: BoxChoiceValue;
  onChange: (value: BoxChoiceValue) => void;
  tried: boolean;
}) {
  const { boxes, value, onChange, tried } = props;
  const online = boxes.filter((box) => box.state === 'online').length;
  const count = Number(value.count);
  const countFine = /^\d+$/.test(value.count) && count >= 1 && count <= 1000;
  const roomiest = Math.max(...boxes.map((box) => box.heartbeat?.store.freeBytes ?? 0), 1);
  return (
    <div class="options" role="radiogroup" aria-label={t('assign.where')}>
      <label class="choice">
        <input
          type="radio"
          name="where"
          checked={value.kind === 'count'}
          onChange={() => onChange({ ...value, kind: 'count' })}
        />
        {t('assign.byCount')}
      </label>
      {value.kind === 'count' ? (
        <div class="nested">
          <Field
            label={t('assign.count')}
            name="count"
            numeric
            value={value.count}
            onInput={(typed) => onChange({ ...value, count: typed.trim() })}
            hint={t('assign.countHint.n', { n: formatNumber(online) })}
            fault={tried && !countFine ? t('assign.countFault') : null}
          />
        </div>
      ) : null}
      <label class="choice">
        <input
          type="radio"
          name="where"
          checked={value.kind === 'boxes'}
          onChange={() => onChange({ ...value, kind: 'boxes' })}
        />
        {t('assign.byBox')}
      </label>
      {value.kind === 'boxes' ? (
        <div class="nested">
          {boxes.map((box) => {
            const free = box.heartbeat?.store.freeBytes ?? 0;
            const text = t('assign.free', { free: formatBytes(free) });
            return (
              <label key={box.id} class="pick-box">
                <input
                  class="check"
                  type="checkbox"
                  checked={value.ids.has(box.id)}
                  onChange={() => {
                    const ids = new Set(value.ids);
                    if (!ids.delete(box.id)) ids.add(box.id);
                    onChange({ ...value, ids });
                  }}
                />
                <span class="break">
                  {box.label} {box.state === 'online' ? null : <BoxState box={box} />}
                </span>
                <span class="soft small">{box.heartbeat ? text : ''}</span>
                {box.heartbeat ? (
                  <Bar size="thin" label={text} parts={[{ value: free, ink: 'still' }]} total={roomiest} />
                ) : null}
              </label>
            );
          })}
          {tried && value.ids.size === 0 ? (
            <p class="field">
              <span class="fault" role="alert">
                {t('assign.boxFault')}
              </span>
            </p>
          ) : null}
        </div>
      ) : null}
    </div>
  );
}
