import assert from 'node:assert/strict';
import type { Page } from 'playwright-core';

/** Presses Tab until what is named so has the focus. */
export async function tabTo(page: Page, name: string | RegExp): Promise<void> {
  // What is to come may be on its way still.
  const deadline = Date.now() + 45_000;
  while (Date.now() < deadline) {
    await page.keyboard.press('Tab');
    const found = await page.evaluate(() => {
      const element = document.activeElement;
      const labels = element instanceof HTMLInputElement ? [...(element.labels ?? [])] : [];
      return [
        element?.getAttribute('aria-label') ?? element?.textContent ?? '',
        ...labels.map((label) => label.textContent ?? ''),
      ].map((text) => text.trim());
    });
    if (found.some((text) => (typeof name === 'string' ? text === name : name.test(text)))) return;
  }
  assert.fail(`Tab never comes to ${name}`);
}

/** What can be pressed or filled in and Tab never comes to, or not so that it can be seen. */
export async function unreached(page: Page): Promise<string[]> {
  const things = 'a[href], button:not(:disabled), input:not(:disabled), select, textarea';
  const most = await page.evaluate((things) => {
    const seen = new Set<Element>();
    Object.assign(window, { seen });
    document.addEventListener('focusin', ({ target }) => {
      const element = target as HTMLElement;
      const ring = getComputedStyle(element.closest('.choice-card') ?? element);
      if (ring.outlineStyle !== 'none' && Number.parseFloat(ring.outlineWidth) >= 2) seen.add(element);
    });
    // A time of day has a stop for each of its parts, and none of them is told.
    const parts = 4 * document.querySelectorAll('input[type="time"]').length;
    return document.querySelectorAll(things).length + parts + 3;
  }, things);
  for (let n = 0; n < most; n++) await page.keyboard.press('Tab');
  return page.evaluate((things) => {
    const { seen } = window as unknown as { seen: Set<Element> };
    // Of a group of radio buttons one has the stop, and arrows go on.
    const reached = (element: Element) =>
      seen.has(element) ||
      (element instanceof HTMLInputElement &&
        element.type === 'radio' &&
        [...seen].some((each) => each instanceof HTMLInputElement && each.name === element.name));
    return [...document.querySelectorAll(things)]
      .filter((element) => element.checkVisibility() && !reached(element))
      .map((element) => element.outerHTML.slice(0, 120));
  }, things);
}

/** Whether what has the focus can be seen to have it. */
export function outlined(page: Page): Promise<boolean> {
  return page.evaluate(() => {
    const style = getComputedStyle(document.activeElement ?? document.body);
    return style.outlineStyle !== 'none' && Number.parseFloat(style.outlineWidth) >= 2;
  });
}
