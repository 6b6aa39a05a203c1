/**
 * Keeps the keyboard's place when what has the focus is taken away: a button that turns into another, a row that is
 * removed. The browser would begin at the top of the page again; here the nearest part that is still there takes the
 * focus, and a screen reader says its name.
 */
export function startFocusKeeper(root: Element): void {
  /** What had the focus last, and what it stood in, from the inside out. */
  let last: Element[] = [];
  document.addEventListener('focusin', ({ target }) => {
    last = [];
    for (let at = target instanceof Element ? target : null; at && at !== root; at = at.parentElement)
      last.push(at);
  });
  document.addEventListener('focusout', ({ target, relatedTarget }) => {
    if (relatedTarget !== null || !(target instanceof Element)) return;
    // Told just before it is taken away, too: only when that is over it can be known that the person left it.
    queueMicrotask(() => {
      if (target.isConnected) last = [];
    });
  });
  new MutationObserver(() => {
    if (last[0] === undefined || last[0].isConnected || document.activeElement !== document.body) return;
    const place = last.find((each) => each.isConnected && each.matches('section, form, main, dialog'));
    last = [];
    if (!(place instanceof HTMLElement)) return;
    if (!place.hasAttribute('tabindex')) place.tabIndex = -1;
    place.focus({ preventScroll: true });
  }).observe(root, { childList: true, subtree: true });
}

let waiting: MutationObserver | null = null;

/** Gives the focus to the heading of the page, once there is one: a page's code may be on its way still. */
export function tellPage(): void {
  waiting?.disconnect();
  waiting = null;
  // Who is in a field of the new page already is not to be taken out of it.
  if (document.activeElement?.matches('input, select, textarea')) return;
  const heading = document.querySelector<HTMLElement>('main h1');
  if (heading) {
    heading.focus();
    return;
  }
  waiting = new MutationObserver(() => {
    if (document.querySelector('main h1')) tellPage();
  });
  waiting.observe(document.body, { childList: true, subtree: true });
}
