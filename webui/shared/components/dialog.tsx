import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { sharedText as t } from '../text.ts';
import { Button } from './basics.tsx';

/** A modal dialog; the browser keeps the focus inside and gives it back, Escape closes. */
export function Dialog(props: { title: string; onClose: () => void; children: ComponentChildren }) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = element.current;
    const before = document.activeElement;
    if (dialog && !dialog.open) dialog.showModal();
    return () => {
      dialog?.close();
      // The browser does so by itself only while the dialog stands in the page.
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      class="dialog"
      ref={element}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
    >
      <h2 id={id}>{props.title}</h2>
      {props.children}
    </dialog>
  );
}

/** The buttons of a dialog: the way out first, what it is for last. */
export function DialogActions(props: { onClose: () => void; children?: ComponentChildren; close?: string }) {
  return (
    <div class="actions">
      <Button onClick={props.onClose}>{props.close ?? t('common.cancel')}</Button>
      {props.children}
    </div>
  );
}
