import type { ComponentChildren } from 'preact';
import { useId, useState } from 'preact/hooks';
import { sharedText as t } from '../text.ts';
import { Icon } from './icon.tsx';

interface FieldProps {
  label: string;
  value: string;
  onInput: (value: string) => void;
  hint?: ComponentChildren;
  /** What is wrong with the value, once the person has tried to send it. */
  fault?: string | null;
  type?: 'text' | 'password' | 'url' | 'search' | 'time';
  numeric?: boolean;
  /** A number with a fraction: keyboards of phones differ. */
  decimal?: boolean;
  name?: string;
  autocomplete?: string;
  placeholder?: string;
  code?: boolean;
  rows?: number;
  required?: boolean;
  maxLength?: number;
}

/** A labelled input; hint and fault are tied to it for screen readers. */
export function Field(props: FieldProps) {
  const id = useId();
  const [revealed, setRevealed] = useState(false);
  const described = [props.hint && !props.fault ? `${id}-hint` : '', props.fault ? `${id}-fault` : '']
    .join(' ')
    .trim();
  const common = {
    id,
    class: `input ${props.code ? 'code' : ''}`,
    name: props.name,
    value: props.value,
    placeholder: props.placeholder,
    required: props.required,
    maxLength: props.maxLength,
    spellcheck: false,
    autocapitalize: props.code ? 'characters' : 'none',
    'aria-invalid': props.fault ? true : undefined,
    'aria-describedby': described || undefined,
    onInput: (event: { currentTarget: { value: string } }) => props.onInput(event.currentTarget.value),
  } as const;
  const input =
    props.rows !== undefined ? (
      <textarea {...common} rows={props.rows} />
    ) : (
      <input
        {...common}
        // The typings pair each input type with its own attributes; ours are common to all of these.
        type={(props.type === 'password' && revealed ? 'text' : (props.type ?? 'text')) as 'text'}
        inputMode={props.decimal ? 'decimal' : props.numeric ? 'numeric' : undefined}
        autocomplete={props.autocomplete ?? 'off'}
      />
    );
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {props.type === 'password' ? (
        <div class="with-button">
          {input}
          <button
            type="button"
            aria-pressed={revealed}
            aria-label={t(revealed ? 'common.hidePassword' : 'common.showPassword')}
            onClick={() => setRevealed(!revealed)}
          >
            <Icon name={revealed ? 'eyeOff' : 'eye'} />
          </button>
        </div>
      ) : (
        input
      )}
      {props.hint && !props.fault ? (
        <span class="hint" id={`${id}-hint`}>
          {props.hint}
        </span>
      ) : null}
      {props.fault ? (
        <span class="fault" id={`${id}-fault`} role="alert">
          {props.fault}
        </span>
      ) : null}
    </div>
  );
}

export function Select<T extends string>(props: {
  label: string;
  value: T;
  options: readonly { value: T; label: string }[];
  onChange: (value: T) => void;
}) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <span class="select">
        <select
          id={id}
          class="input"
          value={props.value}
          onChange={(event) => props.onChange(event.currentTarget.value as T)}
        >
          {props.options.map((option) => (
            <option key={option.value} value={option.value}>
              {option.label}
            </option>
          ))}
        </select>
        <Icon name="down" />
      </span>
    </div>
  );
}

interface ChoiceOption<T extends string> {
  value: T;
  label: ComponentChildren;
  hint?: ComponentChildren;
  disabled?: boolean;
}

/** One of several, each with a line of its own. */
export function Choices<T extends string>(props: {
  legend: string;
  /** The legend is there for screen readers alone. */
  quiet?: boolean;
  value: T | null;
  options: readonly ChoiceOption<T>[];
  onChange: (value: T) => void;
}) {
  const name = useId();
  return (
    <fieldset class="choices">
      <legend class={props.quiet ? 'visually-hidden' : 'legend'}>{props.legend}</legend>
      {props.options.map((option) => (
        <label
          key={option.value}
          class={`choice-card ${option.disabled ? 'off' : ''} ${option.value === props.value ? 'on' : ''}`}
        >
          <input
            type="radio"
            name={name}
            value={option.value}
            checked={option.value === props.value}
            disabled={option.disabled}
            onChange={() => props.onChange(option.value)}
          />
          <span>
            <span class="choice-label">{option.label}</span>
            {option.hint ? <span class="soft small">{option.hint}</span> : null}
          </span>
        </label>
      ))}
    </fieldset>
  );
}

/** Yes or no, with its reason beside it. */
export function Check(props: {
  label: ComponentChildren;
  checked: boolean;
  onChange: (on: boolean) => void;
}) {
  return (
    <label class="choice">
      <input
        type="checkbox"
        checked={props.checked}
        onChange={(event) => props.onChange(event.currentTarget.checked)}
      />
      <span>{props.label}</span>
    </label>
  );
}

/** A form that sends nothing itself: the browser must not navigate. */
export function Form(props: { onSubmit: () => void; children: ComponentChildren; label?: string }) {
  return (
    <form
      class="form"
      noValidate
      aria-label={props.label}
      onSubmit={(event) => {
        event.preventDefault();
        props.onSubmit();
      }}
    >
      {props.children}
    </form>
  );
}
