import type { ComponentChildren } from 'preact';
import { LanguageSwitch } from './basics.tsx';
import { Mark } from './icon.tsx';

/** The page before one is let in: the mark, one card, the language. */
export function Door(props: { name: string; title: string; lead: string; children: ComponentChildren }) {
  return (
    <main class="door">
      <div class="brand">
        <Mark />
        {props.name}
      </div>
      <div class="card">
        <div class="door-lead">
          <h1>{props.title}</h1>
          <p class="soft">{props.lead}</p>
        </div>
        {props.children}
      </div>
      <LanguageSwitch />
    </main>
  );
}
