import type { ComponentChildren } from 'preact';
import { sharedText as t } from '../text.ts';

/** The top of a page: its name, one sentence, what one can do here. */
export function Head(props: {
  title: string;
  lead?: string;
  back?: { href: string; text: string };
  children?: ComponentChildren;
}) {
  return (
    <div class="head">
      <div class="page-head">
        {props.back ? (
          <a class="back" href={props.back.href}>
            ← {props.back.text}
          </a>
        ) : null}
        <h1 tabIndex={-1}>{props.title}</h1>
        {props.lead ? <p>{props.lead}</p> : null}
      </div>
      {props.children ? <div class="actions">{props.children}</div> : null}
    </div>
  );
}

/** The first stop of the keyboard: past the navigation. */
export function SkipLink() {
  return (
    <button type="button" class="skip" onClick={() => document.getElementById('main')?.focus()}>
      {t('common.skip')}
    </button>
  );
}

/** A link that looks like a button. */
export function LinkButton(props: { href: string; kind?: string; children: ComponentChildren }) {
  return (
    <a class={`button ${props.kind ?? ''}`} href={props.href}>
      {props.children}
    </a>
  );
}
