import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { cannotMake, TestDisk } from '#agent/disks/disk-fixture.ts';
import { claimSchema, waitFor } from '#fleet/client/fleet-api.ts';
import { useSystem } from '#test/support/system.ts';
import { needsTool } from '#test/support/tools.ts';
import { boxEn } from '#webui/box/messages/en.ts';
import { boxZh } from '#webui/box/messages/zh.ts';
import { boxTexts, goTo, PASSWORD, useBoxes, walkTo } from './box-visit.ts';
import { DESK, DESK_CHINESE, PHONE, useBrowser } from './browser.ts';
import { outlined, tabTo } from './keyboard.ts';

const MARKER = '.hearth-disk.json';

describe('the LAN dashboard, as a household lives with it', needsTool('chromium', 'fonts-cjk'), () => {
  const get = useSystem({ boxes: 0 });
  const { open } = useBrowser();
  const visitBox = useBoxes(() => get().api.url, open);

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

  it('the language and the colours are remembered, also by the box', async () => {
    const { visit, t } = await visitBox('look', PHONE);
    const { page } = visit;
    await walkTo(visit, t, 'pair');
    await visit.press(t('wizard.later'));
    await visit.sees(t('head.unpaired.title'));
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
    assert.equal(await theme(), 'light');
    await visit.press(t('theme.to.dark'));
    assert.equal(await theme(), 'dark');
    await visit.check('box unpaired dark by choice');
    await page.getByRole('button', { name: /简体中文/ }).click();
    await visit.sees(boxZh['head.unpaired.title']);
    await page.reload();
    await visit.sees(boxZh['head.unpaired.title']);
    assert.equal(await theme(), 'dark');
    await page.getByRole('button', { name: /English/ }).click();
    await visit.sees(boxEn['head.unpaired.title']);
    await visit.press(t('theme.to.light'));

    // The password: a slip is said, the right one changes it, and the new one is what lets in.
    visit.expect(/403 .*\/api\/password|401 .*\/api\//);
    await goTo(visit, t, 'settings');
    const next = 'two lamps beside the door';
    await page.getByLabel(t('settings.currentPassword')).fill('wrong');
    await page.getByLabel(t('setup.password'), { exact: true }).fill(next);
    await page.getByLabel(t('setup.repeat'), { exact: true }).fill(next);
    await visit.press(t('settings.changePassword'));
    await visit.sees(t('login.wrong'));
    await page.getByLabel(t('settings.currentPassword')).fill(PASSWORD);
    await visit.press(t('settings.changePassword'));
    await visit.sees(t('settings.passwordChanged'));
    await visit.press(t('common.logout'));
    await visit.sees(t('login.lead'));
    await page.getByLabel(t('common.password'), { exact: true }).fill(next);
    await visit.press(t('common.login'));
    await page.getByRole('heading', { level: 1, name: t('nav.settings') }).waitFor();

    // A browser that remembers nothing speaks as the box was told to.
    await page.getByLabel(t('language.label'), { exact: true }).selectOption('zh-Hans');
    await page.getByRole('heading', { level: 1, name: boxZh['nav.settings'] }).waitFor();
    await page.evaluate(() => localStorage.clear());
    await page.reload();
    await page.getByRole('heading', { level: 1, name: boxZh['nav.settings'] }).waitFor();
    await page.getByLabel(boxTexts(DESK_CHINESE)('language.label'), { exact: true }).selectOption('en');
    await page.getByRole('heading', { level: 1, name: t('nav.settings') }).waitFor();

    // The first setup can be run again; it is over when its end is reached.
    await visit.press(t('settings.wizard'));
    await visit.sees(t('wizard.language.title'));
    await visit.press(t('wizard.next'));
    await visit.sees(t('wizard.password.set'));
    visit.quiet('look');
  });

  it('a page that is older than the box loads the new one instead of failing', async () => {
    const { visit, t } = await visitBox('update', DESK);
    const { page } = visit;
    await walkTo(visit, t, 'pair');
    await visit.press(t('wizard.later'));
    await visit.sees(t('head.unpaired.title'));
    // An update has taken the old parts away, and the page names others.
    visit.expect(/404 .*\/part-|Failed to fetch dynamically/);
    await page.route('**/part-*.js', (route) => route.fulfill({ status: 404, body: '' }));
    await page.route(/:\d+\/$/, (route) =>
      route.request().resourceType() === 'fetch'
        ? route.fulfill({ contentType: 'text/html', body: '<script src="./app-NEW.js"></script>' })
        : route.fallback(),
    );
    // The link alone changes what is behind the #, which is a navigation too.
    const reloaded = page.waitForEvent('load');
    await page
      .getByRole('navigation')
      .getByRole('link', { name: t('nav.network') })
      .click();
    await reloaded;
    await page.unroute('**/part-*.js');
    await page.unroute(/:\d+\/$/);
    await page.reload();
    await page.getByRole('heading', { level: 1, name: t('nav.network') }).waitFor();
    visit.quiet('update');
  });

  it('limits, a schedule and the diagnostics file', async () => {
    const { visit, t } = await visitBox('limits', DESK);
    const { page } = visit;
    await walkTo(visit, t, 'pair');
    await visit.press(t('wizard.later'));
    await visit.sees(t('head.unpaired.title'));
    await goTo(visit, t, 'network');
    await visit.press(t('schedule.add'));
    await page
      .getByRole('group', { name: t('schedule.days') })
      .getByRole('button', { name: 'Sat' })
      .click();
    await page.getByLabel(t('schedule.from')).fill('19:30');
    await page
      .getByRole('group', { name: t('schedule.window', { n: 1 }) })
      .getByLabel(t('caps.up'))
      .fill('x');
    await visit.press(t('schedule.save'));
    await visit.sees(t('schedule.fault'));
    await visit.check('box schedule');
    await page
      .getByRole('group', { name: t('schedule.window', { n: 1 }) })
      .getByLabel(t('caps.up'))
      .fill('1.5');
    await visit.press(t('schedule.save'));
    await visit.sees(t('settings.saved'));
    await page.reload();
    const from = page.getByLabel(t('schedule.from'));
    await waitFor(async () => ((await from.inputValue()) === '19:30' ? true : null), 'the schedule is gone');
    const settings = await page.evaluate(async () => (await fetch('/api/settings')).json());
    assert.deepEqual(settings.uplink.schedule, [
      {
        days: [1, 2, 3, 4, 5, 6],
        from: '19:30',
        to: '23:00',
        upBytesPerSecond: 187_500,
        downBytesPerSecond: 625_000,
      },
    ]);
    await goTo(visit, t, 'storage');
    await page.getByLabel(t('bounds.percent')).check();
    await page.getByLabel(t('bounds.percentField')).fill('50');
    await page.getByLabel(t('bounds.floor')).fill('1');
    await page.getByRole('button', { name: t('common.save'), exact: true }).click();
    await visit.sees(t('disk.floorAt', { n: '1 GB' }));
    await visit.check('box storage bounds');

    await goTo(visit, t, 'logs');
    const loading = page.waitForEvent('download');
    await page.getByRole('link', { name: t('diagnostics.button') }).click();
    assert.match((await loading).suggestedFilename(), /^hearth-diagnostics-\d{4}-\d\d-\d\d\.json$/);
    await page.getByRole('button', { name: t('logs.level.error'), exact: true }).click();
    await visit.sees(t('logs.none'));
    visit.quiet('limits');
  });

  it('a disk that was set at installation and has lost its mark is used again after a clear word', async () => {
    const { visit, t, folder } = await visitBox('unmarked', DESK_CHINESE);
    const { page } = visit;
    const { code } = await get().api.post('/claims', { label: 'Unmarked' }, claimSchema);
    await walkTo(visit, t, 'pair');
    await page.getByLabel(t('pair.code')).fill(code);
    await visit.press(t('pair.button'));
    await visit.sees(t('wizard.pair.done'));
    await visit.press(t('wizard.finish'));
    await visit.sees(t('head.waiting.title'));
    rmSync(join(folder, 'unmarked', 'disk', MARKER));
    await visit.sees(t('head.unmarked.title'));
    await visit.check('box home unmarked');
    await page.getByRole('link', { name: t('act.storage') }).click();
    await visit.sees(t('disk.why.unmarked'));
    await visit.press(t('wizard.disk.button'));
    const dialog = page.getByRole('dialog');
    const use = dialog.getByRole('button', { name: t('wizard.disk.button') });
    await use.click();
    await visit.sees(t('disks.mustAgreeHere'));
    await visit.check('box storage unmarked fixed');
    await dialog.getByLabel(t('disks.unmarked.agree')).check();
    await use.click();
    await visit.sees(t('storage.changed'));
    await visit.sees(t('disk.ok'));
    visit.quiet('unmarked');
  });

  it(
    'disks: picked, one of another box adopted after a clear word, ejected, used again',
    cannotMake('ext4'),
    async (t) => {
      const view = PHONE;
      const folder = mkdtempSync(join(tmpdir(), 'hearth-browser-disks-'));
      const [first, second] = [join(folder, 'mnt-1'), join(folder, 'mnt-2')];
      for (const mount of [first, second]) mkdirSync(mount);
      const words = boxTexts(view);
      const [blueName, redName] = [`blue-${process.pid}`, `red-${process.pid}`];
      const blue = new TestDisk(t, 'ext4', { label: blueName });
      const red = new TestDisk(t, 'ext4', { label: redName });
      // What was registered first is done first: the disks are unmounted by then.
      t.after(() => rmSync(folder, { recursive: true, force: true }));
      blue.plugIn(first);
      const donor = await visitBox('donor', view, { HEARTH_DISK: '' });
      await walkTo(donor.visit, words, 'disk');
      await donor.visit.page.getByLabel(blueName).check();
      await donor.visit.press(words('wizard.disk.button'));
      await donor.visit.sees(words('wizard.line.title'));
      await waitFor(async () => {
        const status = await donor.visit.page.evaluate(async () => (await fetch('/api/status')).json());
        return status.disk.state === 'ok' || null;
      }, 'the disk is not used');
      const { code } = await get().api.post('/claims', { label: 'Donor' }, claimSchema);
      await donor.visit.press(words('wizard.next'));
      await donor.visit.page.getByLabel(words('pair.code')).fill(code);
      await donor.visit.press(words('pair.button'));
      await donor.visit.sees(words('wizard.pair.done'));
      await donor.agent.stop();
      await donor.visit.page.close();

      const { visit } = await visitBox('adopter', view, { HEARTH_DISK: '' });
      const { page } = visit;
      await walkTo(visit, words, 'disk');
      red.plugIn(second);
      await visit.sees(redName);
      await page.getByLabel(blueName).check();
      await visit.sees(words('disks.foreign.title'));
      await visit.press(words('wizard.disk.button'));
      await visit.sees(words('disks.mustAgree'));
      await visit.check('box wizard disks');
      await page.getByLabel(words('disks.foreign.agree')).check();
      await visit.press(words('wizard.disk.button'));
      await visit.sees(words('wizard.line.title'));
      await visit.press(words('wizard.next'));
      await visit.sees(words('wizard.pair.title'));
      await visit.press(words('wizard.later'));
      await goTo(visit, words, 'storage');
      await visit.sees(words('disk.ok'));
      await visit.check('box storage usb');
      await visit.press(words('storage.eject'));
      await visit.sees(words('storage.ejected'));
      await visit.sees(words('disk.ejected'));
      await visit.check('box storage ejected');
      await visit.press(words('act.attach'));
      await visit.sees(words('disk.ok'));
      await visit.press(words('storage.change'));
      await page.getByRole('dialog').getByLabel(redName).check();
      await visit.check('box storage change');
      await page
        .getByRole('dialog')
        .getByRole('button', { name: words('wizard.disk.button') })
        .click();
      await visit.sees(words('storage.changed'));
      await visit.sees(second);
      await visit.sees(words('disk.ok'));
      // Pulled: said in plain words on the first page; plugged in again it is used again by itself.
      red.pull();
      await goTo(visit, words, 'storage');
      await visit.sees(words('disk.absent'));
      await visit.check('box storage absent');
      red.plugIn(second);
      await visit.sees(words('disk.ok'));
      // Its mark is lost: nothing is written to it before the household has said that it is the one.
      rmSync(join(second, MARKER));
      await visit.sees(words('disk.unmarked'));
      await visit.sees(words('head.unmarked.text'));
      await visit.check('box storage unmarked');
      await visit.press(words('wizard.disk.button'));
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel(redName).check();
      await visit.sees(words('disks.unmarked.title'));
      const use = dialog.getByRole('button', { name: words('wizard.disk.button') });
      await use.click();
      await visit.sees(words('disks.mustAgree'));
      await visit.check('box storage unmarked agree');
      assert.ok(!readdirSync(second).includes(MARKER));
      await dialog.getByLabel(words('disks.unmarked.agree')).check();
      await use.click();
      await visit.sees(words('storage.changed'));
      await visit.sees(words('disk.ok'));
      assert.ok(readdirSync(second).includes(MARKER));
      visit.quiet('disks');
    },
  );
});
