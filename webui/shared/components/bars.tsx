import type { ComponentChildren } from 'preact';

export type Ink = 'ember' | 'good' | 'warn' | 'bad' | 'still';

export interface Part {
  value: number;
  ink: Ink;
}

/** Parts of a whole as one bar. `label` says in words what the bar shows. */
export function Bar(props: { label: string; parts: Part[]; total: number; size?: 'thin' | 'thick' | '' }) {
  const whole = Math.max(
    props.total,
    props.parts.reduce((sum, part) => sum + part.value, 0),
    1,
  );
  return (
    <div class={`bar ${props.size ?? ''}`} role="img" aria-label={props.label}>
      {props.parts.map((part, index) =>
        part.value > 0 ? (
          <span key={index} class={part.ink} style={{ width: `max(5px, ${(100 * part.value) / whole}%)` }} />
        ) : null,
      )}
    </div>
  );
}

/** A figure above its bar, for columns of numbers that are compared. */
export function CellBar(props: {
  text: ComponentChildren;
  label: string;
  value: number;
  total: number;
  ink?: Ink;
}) {
  return (
    <div class="cell-bar">
      <span class="nowrap">{props.text}</span>
      <Bar
        size="thin"
        label={props.label}
        parts={[{ value: props.value, ink: props.ink ?? 'ember' }]}
        total={props.total}
      />
    </div>
  );
}
