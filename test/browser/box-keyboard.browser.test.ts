import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { needsTool } from '#test/support/tools.ts';
import { goTo, NO_FLEET, useBoxes, walkTo } from './box-visit.ts';
import { DESK, PHONE, useBrowser } from './browser.ts';
import { tabTo, unreached } from './keyboard.ts';

describe('the LAN dashboard, by the keyboard alone', needsTool('chromium', 'fonts-cjk'), () => {
  const { open } = useBrowser();
  const visitBox = useBoxes(() => NO_FLEET, open);

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
      await waitFor(
        async () => (await page.locator('[aria-busy="true"]').count()) === 0 || null,
        `${name}: it is still loading`,
      );
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
    // It is taken away first, and gives the keyboard back then.
    await page.waitForFunction((text) => document.activeElement?.textContent === text, t('storage.choose'));
    visit.quiet('dialog');
  });

  it('who wants no motion is spared it', async () => {
    const { visit, t } = await visitBox('still', PHONE);
    const { page } = visit;
    await visit.sees(t('wizard.language.title'));
    const moving = () =>
      page.evaluate(async () => {
        // As it is drawn while the box serves.
        document.querySelector('.mark')?.classList.add('blaze');
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
