import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Page } from 'playwright-core';
import { assignmentsCreated, claimSchema, waitFor } from '#fleet/client/fleet-api.ts';
import type { Program } from '#local/program.ts';
import type { Site } from '#protocol/http-fleet.ts';
import { testPort, useSystem } from '#test/support/system.ts';
import { needsTool } from '#test/support/tools.ts';
import { boxTexts, goTo, newBox, PASSWORD } from './box-visit.ts';
import { nameOf, useBrowser, VIEWS } from './browser.ts';

describe(
  'the LAN dashboard, from the carton to the first credits',
  needsTool('chromium', 'fonts-cjk'),
  () => {
    const get = useSystem({ boxes: 0 });
    const { open } = useBrowser();
    const folder = mkdtempSync(join(tmpdir(), 'hearth-box-browser-'));
    const agents: Program[] = [];
    const paths = ['/film.mp4', '/hls/part-1.ts'];
    let site: Site;

    before(async () => {
      for (const path of paths) get().origin.write(path, randomBytes(3_000_000));
      site = await get().addSite();
      await get().ingest(site, paths);
    });
    after(async () => {
      await Promise.all(agents.map((agent) => agent.stop()));
      rmSync(folder, { recursive: true, force: true });
    });

    for (const [index, view] of VIEWS.entries()) {
      it(`first run, content, earnings, every page: ${nameOf(view)}`, async () => {
        const system = get();
        const lanPort = await testPort();
        const home = join(folder, String(index));
        let agent = await newBox(system.api.url, lanPort, home);
        agents.push(agent);
        const t = boxTexts(view);
        const visit = await open(view, `http://127.0.0.1:${lanPort}/`);
        const { page } = visit;

        // Language, then the password: too short and differing are refused with words; back and forth.
        await visit.sees(t('wizard.language.title'));
        await visit.check('box wizard language');
        await visit.press(t('wizard.next'));
        await visit.sees(t('wizard.password.title'));
        await visit.press(t('wizard.back'));
        await visit.sees(t('wizard.language.title'));
        await visit.press(t('wizard.next'));
        await page.getByLabel(t('setup.password'), { exact: true }).fill('short');
        await visit.press(t('setup.button'));
        await visit.sees(t('setup.short'));
        await page.getByLabel(t('setup.password'), { exact: true }).fill(PASSWORD);
        await page.getByLabel(t('setup.repeat'), { exact: true }).fill(`${PASSWORD}!`);
        await visit.press(t('setup.button'));
        await visit.sees(t('setup.differ'));
        await visit.check('box wizard password');
        await page.getByLabel(t('setup.repeat'), { exact: true }).fill(PASSWORD);
        await visit.press(t('setup.button'));

        // The disk was named at installation; a reload goes on where it was, a step can be gone back to.
        await visit.sees(t('disks.fixed'));
        await visit.check('box wizard disk fixed');
        await page.reload();
        await visit.sees(t('wizard.disk.title'));
        await visit.press(t('wizard.back'));
        await visit.sees(t('wizard.password.set'));
        await visit.check('box wizard password set');
        await visit.press(t('wizard.next'));
        await visit.sees(t('disks.fixed'));
        await visit.press(t('wizard.next'));

        // Caps in plain units: nonsense is refused with words.
        await visit.sees(t('wizard.line.title'));
        const up = page.getByLabel(t('caps.up'));
        await up.fill('fast');
        await visit.press(t('wizard.next'));
        await visit.sees(t('caps.fault'));
        await up.fill('80');
        await page.getByLabel(t('caps.month')).fill('500');
        await visit.check('box wizard line');
        await visit.press(t('wizard.next'));

        // Out and in again, once with a wrong password: it goes on with the pairing.
        await visit.sees(t('wizard.pair.title'));
        await page.context().clearCookies();
        visit.expect(/401 .*\/api\//);
        await page.reload();
        await visit.sees(t('login.lead'));
        await page.getByLabel(t('common.password'), { exact: true }).fill('not the password');
        await visit.press(t('common.login'));
        await visit.sees(t('login.wrong'));
        await visit.check('box login');
        await page.getByLabel(t('common.password'), { exact: true }).fill(PASSWORD);
        await visit.press(t('common.login'));

        // Pairing: a code that is not one, one nobody made, then the right one, typed as people type.
        await visit.sees(t('wizard.pair.title'));
        await visit.holds(t('pair.url'), system.api.url);
        await page.getByLabel(t('pair.code')).fill('7k3m');
        await visit.press(t('pair.button'));
        await visit.sees(t('pair.codeFault'));
        await visit.check('box wizard pairing');
        visit.expect(/403 .*\/api\/pair/);
        await page.getByLabel(t('pair.code')).fill('0000-0000-0000');
        await visit.press(t('pair.button'));
        await visit.sees(t('error.claim_invalid'));
        const label = `Flat ${index + 1}`;
        const { code } = await system.api.post('/claims', { label }, claimSchema);
        await page.getByLabel(t('pair.code')).fill(code.toLowerCase().replaceAll('-', ' '));
        await visit.holds(t('pair.code'), code);
        await visit.press(t('pair.button'));
        await visit.sees(t('wizard.pair.done'));
        await visit.check('box wizard paired');
        await visit.press(t('wizard.finish'));
        await visit.sees(t('head.waiting.title'));
        await visit.sees(label);

        // Content comes, and is shown as held, and why.
        const box = await waitFor(
          async () => (await system.knownBoxes()).find((one) => one.label === label && one.routable),
          `${label} is not routable`,
        );
        await system.api.post(
          '/assignments',
          { assets: { siteId: site.id }, boxes: { boxIds: [box.id] }, ttlMs: 86_400_000 },
          assignmentsCreated,
        );
        await visit.sees(t('head.earning.title'));
        await goTo(visit, t, 'content');
        for (const path of paths) await visit.sees(path);
        const held = page.locator('.item').getByText(t('asset.held'), { exact: true });
        await held.nth(paths.length - 1).waitFor();
        await visit.sees(new RegExp(t('content.why.until', { time: '.*' })));
        await visit.check('box content');
        await page.getByLabel(t('content.search')).fill('film');
        await page.getByText('/hls/part-1.ts').waitFor({ state: 'hidden' });
        await visit.sees('/film.mp4');
        await page.getByLabel(t('content.show')).selectOption('failed');
        await visit.sees(t('content.noMatch'));

        // It lives in Shanghai: a day of the books is none of its own.
        const moved = await page.evaluate(async () => {
          const headers = { 'content-type': 'application/json', 'x-hearth-csrf': '1' };
          const body = JSON.stringify({ timeZone: 'Asia/Shanghai' });
          return (await fetch('/api/settings', { method: 'PATCH', headers, body })).status;
        });
        assert.equal(moved, 200);
        // Someone watches; it is settled; the household sees the credits the fleet has in its books.
        await goTo(visit, t, 'earnings');
        await waitFor(
          async () => {
            const fetched = await system.fetch(site, '/film.mp4', { keepBody: false });
            assert.equal(fetched.status, 200);
            const [now] = (await system.knownBoxes()).filter((one) => one.id === box.id);
            return (now && BigInt(now.earned) > 0n) || null;
          },
          'nothing was earned',
          { timeoutMs: 60_000 },
        );
        await visit.sees(t('reason.claimed'));
        await waitFor(
          async () => (await page.locator('.chart canvas').count()) === 1 || null,
          'no chart is drawn',
        );
        await visit.check('box earnings');
        const shown = await shownCredits(page, t('earn.final'));
        const booked = await waitFor(async () => {
          const [now] = (await system.knownBoxes()).filter((one) => one.id === box.id);
          return now?.earned;
        }, 'the box is gone');
        assert.ok(shown > 0n && shown <= BigInt(booked), `${shown} shown, ${booked} booked`);
        // What was settled today is there by the hour, and so is what went over the line.
        await visit.press(t('earnings.today'));
        await visit.sees(t('chart.hint.settled'));
        await waitFor(
          async () => /[1-9]/.test((await page.locator('.chart-sum .figure').textContent()) ?? '') || null,
          'the credits of today are missing',
        );
        await visit.check('box earnings today credits');
        await visit.press(t('chart.measure.bytes'));
        await visit.sees(t('chart.hint.hours'));
        const hours = page.getByRole('table', { name: t('chart.of.bytes') });
        await waitFor(
          async () => /\d MB/.test((await hours.textContent()) ?? '') || null,
          'what was served is not in the hours',
        );
        await visit.check('box earnings today');
        await visit.press(t('earnings.month'));
        await visit.press(t('chart.measure.requests'));
        await visit.check('box earnings month');

        await goTo(visit, t, 'activity');
        await visit.sees(t('activity.asset_held', { what: '/film.mp4' }));
        await visit.sees(t('activity.settled'));
        await visit.check('box activity');

        await goTo(visit, t, 'storage');
        await visit.sees(t('disk.usedByHearth', { n: '' }).trim());
        await visit.check('box storage');
        await goTo(visit, t, 'network');
        await visit.sees(t('line.ofCap', { cap: '80 Mbit/s' }));
        await visit.sees(t('month.of', { limit: '500 GB' }));
        await visit.check('box network');
        await goTo(visit, t, 'settings');
        await visit.sees(t('about.title'));
        await visit.check('box settings');
        await goTo(visit, t, 'logs');
        await visit.sees('linked to the fleet');
        await visit.check('box logs');
        await goTo(visit, t, 'home');
        await visit.sees(t('head.earning.title'));
        await waitFor(async () => (await page.locator('.chart canvas').count()) === 1 || null, 'no chart');
        await visit.check('box home');

        if (index % 2 === 0) {
          // The box loses power: the page says so, and recovers by itself.
          visit.expect(
            /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE_CHUNKED/,
          );
          await agent.kill();
          await visit.sees(t('connection.lost'));
          await visit.check('box gone');
          agent = await newBox(system.api.url, lanPort, home);
          agents.push(agent);
          await page.getByText(t('connection.lost')).waitFor({ state: 'hidden' });
          await visit.sees(new RegExp(`${t('login.lead')}|${t('head.earning.title')}`));
          visit.quiet('box after power loss');
        }
      });
    }
  },
);

/** The micro-credits a row of the totals shows. */
async function shownCredits(page: Page, stage: string): Promise<bigint> {
  const row = page.locator('.flow li').filter({ has: page.getByText(stage, { exact: true }) });
  const text = await row.locator('.strong').nth(1).textContent();
  return BigInt((text ?? '').replace(/[^\d]/g, ''));
}
