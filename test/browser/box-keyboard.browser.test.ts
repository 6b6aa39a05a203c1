import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Page } from 'playwright-core';
import { claimSchema, waitFor } from '#fleet/client/fleet-api.ts';
import { useSystem } from '#test/support/system.ts';
import { needsTool } from '#test/support/tools.ts';
import { boxEn } from '#webui/box/messages/en.ts';
import { boxZh } from '#webui/box/messages/zh.ts';
import { goTo, PASSWORD, useBoxes, walkTo } from './box-visit.ts';
import { DESK, PHONE, useBrowser } from './browser.ts';

describe('the LAN dashboard, by the keyboard alone', needsTool('chromium', 'fonts-cjk'), () => {
  const get = useSystem({ boxes: 0 });
  const { open } = useBrowser();
  const visitBox = useBoxes(get, open);

  it('the keyboard alone walks the first run, pauses the box and lets it go on', async () => {
    const { visit, t } = await visitBox('keyboard', PHONE);
    const { page } = visit;
    const { code } = await get().api.post('/claims', { label: 'Keys' }, claimSchema);
    await visit.sees(t('wizard.language.title'));
    // The language is a group of radio buttons: one stop, arrows within.
    await tabTo(page, /English/);
    await page.keyboard.press('ArrowDown');
    await visit.sees(boxZh['wizard.language.title']);
    await page.keyboard.press('ArrowUp');
    await visit.sees(boxEn['wizard.language.title']);
    await tabTo(page, t('wizard.next'));
    assert.ok(await outlined(page), 'what has the focus is outlined');
    await page.keyboard.press('Enter');
    await visit.sees(t('wizard.password.title'));
    await tabTo(page, t('setup.password'));
    await page.keyboard.type(PASSWORD);
    await tabTo(page, t('setup.repeat'));
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press('Enter');
    await visit.sees(t('wizard.disk.title'));
    await tabTo(page, t('wizard.next'));
    await page.keyboard.press('Enter');
    await visit.sees(t('wizard.line.title'));
    await tabTo(page, t('wizard.next'));
    await page.keyboard.press('Enter');
    await visit.sees(t('wizard.pair.title'));
    await tabTo(page, t('pair.code'));
    await page.keyboard.type(code);
    await page.keyboard.press('Enter');
    await visit.sees(t('wizard.pair.done'));
    await tabTo(page, t('wizard.finish'));
    await page.keyboard.press('Enter');
    await visit.sees(t('head.waiting.title'));

    await tabTo(page, t('pause.hour'));
    assert.ok(await outlined(page), 'the pause button is outlined');
    await page.keyboard.press('Enter');
    await visit.sees(t('head.paused.title'));
    // The button it was pressed on has gone: the keyboard stays where it was.
    assert.ok(await page.evaluate(() => document.activeElement?.closest('section.hearth') !== null));
    await visit.sees(/(59|60):\d\d/);
    const countdown = page.getByRole('timer');
    const first = await countdown.textContent();
    await waitFor(async () => (await countdown.textContent()) !== first || null, 'it does not count down');
    await visit.check('box paused');
    await page.reload();
    await visit.sees(t('head.paused.title'));
    await tabTo(page, t('act.resume'));
    await page.keyboard.press('Enter');
    await visit.sees(t('head.waiting.title'));
    await visit.sees(t('activity.resumed'));
    visit.quiet('keyboard');
  });

  it('on every page the keyboard comes to everything there is to press, and can be seen there', async () => {
    const { visit, t } = await visitBox('everything', DESK);
    const { page } = visit;
    await walkTo(visit, t, 'pair');
    await visit.press(t('wizard.later'));
    await visit.sees(t('head.unpaired.title'));
    for (const name of [
      'earnings',
      'storage',
      'network',
      'content',
      'activity',
      'settings',
      'logs',
    ] as const) {
      await tabTo(page, t(`nav.${name}`));
      await page.keyboard.press('Enter');
      await page.getByRole('heading', { level: 1, name: t(`nav.${name}`), exact: true }).waitFor();
      // A screen reader is told of the new page by its heading.
      await waitFor(
        () => page.evaluate(() => document.activeElement?.tagName === 'H1' || null),
        `${name}: the heading has not got the focus`,
      );
      if (name === 'network') await visit.press(t('schedule.add'));
      await page.locator('[aria-busy="true"]').waitFor({ state: 'detached' });
      assert.deepEqual(await unreached(page), [], name);
    }
    // Out of a row that is taken away, the keyboard goes on beside it.
    await goTo(visit, t, 'network');
    await visit.press(t('schedule.add'));
    await tabTo(page, new RegExp(`^${t('schedule.remove')}`));
    await page.keyboard.press('Enter');
    await visit.sees(t('schedule.none'));
    assert.ok(await page.evaluate(() => document.activeElement?.closest('main section') !== null));
    visit.quiet('everything');
  });

  it('a dialog takes the keyboard, keeps it, and gives it back', async () => {
    const { visit, t } = await visitBox('dialog', PHONE, { HEARTH_DISK: '' });
    const { page } = visit;
    await walkTo(visit, t, 'disk');
    await visit.press(t('wizard.later'));
    await visit.sees(t('wizard.line.title'));
    await visit.press(t('wizard.next'));
    await visit.sees(t('wizard.pair.title'));
    await visit.press(t('wizard.later'));
    await visit.sees(t('head.unpaired.title'));
    await goTo(visit, t, 'storage');
    await tabTo(page, t('storage.choose'));
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    const inside = () => page.evaluate(() => document.activeElement?.closest('dialog') !== null);
    for (let n = 0; n < 8; n++) {
      // Between the last and the first the browser's own bars have their turn.
      const outside = await page.evaluate(() => document.activeElement === document.body);
      assert.ok(outside || (await inside()), `after ${n} times Tab`);
      await page.keyboard.press('Tab');
    }
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.equal(await page.evaluate(() => document.activeElement?.textContent), t('storage.choose'));
    visit.quiet('dialog');
  });

  it('who wants no motion is spared it', async () => {
    const { visit, t } = await visitBox('still', PHONE);
    const { page } = visit;
    await visit.sees(t('wizard.language.title'));
    const moving = () =>
      page.evaluate(async () => {
        await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
        return document.getAnimations().filter(({ effect }) => Number(effect?.getTiming().duration) > 1)
          .length;
      });
    await page.emulateMedia({ reducedMotion: 'no-preference' });
    assert.ok((await moving()) > 0, 'the fire burns');
    await page.emulateMedia({ reducedMotion: 'reduce' });
    assert.equal(await moving(), 0);
  });
});

/** Presses Tab until what is named so has the focus. */
async function tabTo(page: Page, name: string | RegExp): Promise<void> {
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
async function unreached(page: Page): Promise<string[]> {
  const things = 'a[href], button:not(:disabled), input:not(:disabled), select, textarea';
  const most = await page.evaluate((things) => {
    const seen = new Set<Element>();
    Object.assign(window, { seen });
    document.addEventListener('focusin', ({ target }) => {
      const element = target as HTMLElement;
      const ring = getComputedStyle(element.closest('.choice-card') ?? element);
      if (ring.outlineStyle !== 'none' && Number.parseFloat(ring.outlineWidth) >= 2) seen.add(element);
    });
    return document.querySelectorAll(things).length + 3;
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
function outlined(page: Page): Promise<boolean> {
  return page.evaluate(() => {
    const style = getComputedStyle(document.activeElement ?? document.body);
    return style.outlineStyle !== 'none' && Number.parseFloat(style.outlineWidth) >= 2;
  });
}
