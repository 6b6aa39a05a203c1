import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useState } from 'preact/hooks';
import type { DiskState } from '#protocol/messages.ts';
import { reachable } from '../api.ts';
import { explain } from '../errors.ts';
import { formatMoment, formatRelative } from '../format.ts';
import { LANGUAGES, language, setLanguage } from '../i18n.ts';
import { sharedText as t } from '../text.ts';
import { setTheme, theme } from '../theme.ts';
import { Icon, type IconName, Spinner } from './icon.tsx';

export type Tone = 'plain' | 'good' | 'warn' | 'bad' | 'live';

/** How bad the state of a disk is, the same on both dashboards. */
export const DISK_TONES: Record<DiskState, Tone> = {
  ok: 'good',
  slow: 'warn',
  full: 'warn',
  absent: 'bad',
  foreign: 'bad',
  read_only: 'bad',
  failing: 'bad',
};

/** A state in a word, with a mark whose shape differs too. */
export function Badge({ tone = 'plain', children }: { tone?: Tone; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

interface ButtonProps {
  children?: ComponentChildren;
  onClick?: () => void;
  busy?: boolean;
  disabled?: boolean;
  kind?: 'primary' | 'plain' | 'danger' | 'danger primary' | '';
  compact?: boolean;
  type?: 'button' | 'submit';
  icon?: IconName;
  label?: string;
}

export function Button(props: ButtonProps) {
  const { busy = false, disabled = false, kind = '', compact = false, type = 'button' } = props;
  return (
    <button
      type={type}
      class={`button ${kind} ${compact ? 'compact' : ''}`}
      disabled={disabled}
      // Not `disabled` while busy: that would drop the keyboard's focus.
      aria-disabled={busy}
      aria-busy={busy}
      aria-label={props.label}
      title={props.label}
      onClick={busy ? undefined : props.onClick}
    >
      {busy ? <Spinner /> : props.icon ? <Icon name={props.icon} /> : null}
      {props.children}
    </button>
  );
}

export function Card(props: {
  title?: string;
  aside?: ComponentChildren;
  children: ComponentChildren;
  class?: string;
}) {
  const id = useId();
  return (
    <section class={`card ${props.class ?? ''}`} aria-labelledby={props.title ? id : undefined}>
      {props.title ? (
        <div class="card-head">
          <h2 id={id}>{props.title}</h2>
          {props.aside}
        </div>
      ) : null}
      {props.children}
    </section>
  );
}

/** One pair of a `dl.facts`. */
export function Fact({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

export function Note(props: { tone?: 'bad' | 'warn' | 'good' | ''; children: ComponentChildren }) {
  const icon: IconName = props.tone === 'good' ? 'check' : props.tone ? 'warn' : 'info';
  return (
    <div class={`note ${props.tone ?? ''}`}>
      <Icon name={icon} />
      <div>{props.children}</div>
    </div>
  );
}

/** What went wrong, read out as it appears; nothing when nothing did. */
export function Fault({ error, retry }: { error: unknown; retry?: () => void }) {
  const told = error === undefined || error === null ? null : explain(error);
  return (
    <div role="alert">
      {told ? (
        <Note tone="bad">
          <p>{told.title}</p>
          {told.detail ? <p class="detail">{told.detail}</p> : null}
          {retry ? (
            <p>
              <Button compact onClick={retry} icon="refresh">
                {t('common.retry')}
              </Button>
            </p>
          ) : null}
        </Note>
      ) : null}
    </div>
  );
}

export function Empty(props: { title: string; text: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{props.title}</h2>
      <p>{props.text}</p>
      {props.children}
    </div>
  );
}

/** Holds the place of what is on its way, so that nothing jumps when it comes. */
export function Skeleton({ heights }: { heights: number[] }) {
  return (
    <div class="stack" aria-busy="true">
      <span class="visually-hidden">{t('common.loading')}</span>
      {heights.map((height, index) => (
        <span key={index} class="skeleton" style={{ height: `${height}px` }} />
      ))}
    </div>
  );
}

/** Shows an answer when it is there, its placeholder before, its fault instead. */
export function Loaded<T>(props: {
  query: { data: T | undefined; error: unknown; refresh: () => void };
  heights?: number[];
  children: (data: T) => ComponentChildren;
}) {
  const { data, error, refresh } = props.query;
  if (data !== undefined) return <>{props.children(data)}</>;
  if (error !== undefined) return <Fault error={error} retry={refresh} />;
  return <Skeleton heights={props.heights ?? [140, 220]} />;
}

/** A moment: how long ago, with the exact time on hover; it keeps itself up to date. */
export function When({ at }: { at: string }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 20_000);
    return () => clearInterval(timer);
  }, []);
  return (
    <time dateTime={at} title={formatMoment(at)}>
      {formatRelative(at, Math.max(now, Date.now()))}
    </time>
  );
}

export function LanguageSwitch() {
  const next = LANGUAGES.find((candidate) => candidate !== language.value) ?? 'en';
  return (
    <button type="button" class="button plain compact language" lang={next} onClick={() => setLanguage(next)}>
      <Icon name="globe" />
      <span class="visually-hidden">{t('language.label')}: </span>
      {t(`language.${next}`)}
    </button>
  );
}

/** Light or dark, by one press; settings can give the choice back to the system. */
export function ThemeSwitch() {
  const next = theme.value === 'dark' ? 'light' : 'dark';
  return (
    <button
      type="button"
      class="button plain compact"
      aria-label={t(`theme.to.${next}`)}
      title={t(`theme.to.${next}`)}
      onClick={() => setTheme(next)}
    >
      <Icon name={next === 'dark' ? 'moon' : 'sun'} />
    </button>
  );
}

export function Segments<T extends string>(props: {
  label: string;
  value: T;
  options: readonly { value: T; label: string }[];
  onChange: (value: T) => void;
}) {
  return (
    <fieldset class="segments" aria-label={props.label}>
      {props.options.map((option) => (
        <button
          key={option.value}
          type="button"
          aria-pressed={option.value === props.value}
          onClick={() => props.onChange(option.value)}
        >
          {option.label}
        </button>
      ))}
    </fieldset>
  );
}

const toasts = signal<{ id: number; text: string }[]>([]);
let nextToast = 1;

/** Says something for a few seconds, aloud to a screen reader. */
export function toast(text: string): void {
  const id = nextToast++;
  toasts.value = [...toasts.value.slice(-2), { id, text }];
  setTimeout(() => {
    toasts.value = toasts.value.filter((shown) => shown.id !== id);
  }, 4000);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((shown) => (
        <div key={shown.id} class="toast">
          {shown.text}
        </div>
      ))}
    </div>
  );
}

/** Shown only when the loss lasts: one slow answer is not worth a banner. */
export function LostBanner() {
  const lost = !reachable.value;
  const [shown, setShown] = useState(false);
  useEffect(() => {
    if (lost) {
      const timer = setTimeout(() => setShown(true), 800);
      return () => clearTimeout(timer);
    }
    if (shown) {
      setShown(false);
      toast(t('connection.back'));
    }
  }, [lost, shown]);
  return (
    <div role="status" aria-live="polite">
      {lost && shown ? (
        <div class="lost">
          <Spinner />
          {t('connection.lost')}
        </div>
      ) : null}
    </div>
  );
}
