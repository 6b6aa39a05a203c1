import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Page } from 'playwright-core';
import { assignmentsCreated, claimSchema, waitFor } from '#fleet/client/fleet-api.ts';
import type { Program } from '#local/program.ts';
import { startAgent } from '#local/programs.ts';
import type { Site } from '#protocol/http-fleet.ts';
import { testPort, useSystem } from '#test/support/system.ts';
import { needsTool } from '#test/support/tools.ts';
import { boxEn } from '#webui/box/messages/en.ts';
import { boxZh } from '#webui/box/messages/zh.ts';
import { nameOf, textsOf, useBrowser, VIEWS, type View } from './browser.ts';

const PASSWORD = 'a lamp beside the door';

/** A box as it comes out of its carton: no password, not paired. */
async function newBox(fleetUrl: string, lanPort: number, folder: string): Promise<Program> {
  return startAgent({
    name: `box at ${lanPort}`,
    stateDir: join(folder, 'state'),
    disk: join(folder, 'disk'),
    lanPort,
    contentPort: await testPort(),
    fleetUrl,
    env: { HEARTH_HEARTBEAT_MS: '500', HEARTH_DELIVERY_FLUSH_MS: '200', HEARTH_RETRY_MS: '300' },
  });
}

describe('the LAN dashboard, as a household uses it', needsTool('chromium', 'fonts-cjk'), () => {
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
    it(`first password, pairing, content, earnings: ${nameOf(view)}`, async () => {
      const system = get();
      const lanPort = await testPort();
      const home = join(folder, String(index));
      let agent = await newBox(system.api.url, lanPort, home);
      agents.push(agent);
      const t = textsOf(view, boxEn, boxZh);
      const visit = await open(view, `http://127.0.0.1:${lanPort}/`);
      const { page } = visit;

      await page.route('**/api/pair', async (route) => { await new Promise((r) => setTimeout(r, 800)); await route.continue(); });
      // The first-run password: too short is refused with words, then it is set and lets us in.
      await visit.sees(t('setup.title'));
      await visit.check('box setup');
      await page.getByLabel(t('setup.password'), { exact: true }).fill('short');
      await visit.press(t('setup.button'));
      await visit.sees(t('setup.short'));
      await page.getByLabel(t('setup.password'), { exact: true }).fill(PASSWORD);
      await page.getByLabel(t('setup.repeat'), { exact: true }).fill(`${PASSWORD}!`);
      await visit.press(t('setup.button'));
      await visit.sees(t('setup.differ'));
      await page.getByLabel(t('setup.repeat'), { exact: true }).fill(PASSWORD);
      await visit.press(t('setup.button'));
      await visit.sees(t('head.unpaired.title'));

      // Out and in again, once with a wrong password.
      await visit.press(t('common.logout'));
      await visit.sees(t('login.lead'));
      visit.expect(/401 .*\/api\/login/);
      await page.getByLabel(t('common.password'), { exact: true }).fill('not the password');
      await visit.press(t('common.login'));
      await visit.sees(t('login.wrong'));
      await visit.check('box login');
      await page.getByLabel(t('common.password'), { exact: true }).fill(PASSWORD);
      await visit.press(t('common.login'));

      // Pairing: a code that is not one, one nobody made, then the right one, typed as people type.
      await visit.sees(t('pair.title'));
      await visit.holds(t('pair.url'), system.api.url);
      await page.getByLabel(t('pair.code')).fill('7k3m');
      await visit.press(t('pair.button'));
      await visit.sees(t('pair.codeFault'));
      await visit.check('box pairing');
      visit.expect(/403 .*\/api\/pair/);
      await page.getByLabel(t('pair.code')).fill('0000-0000-0000');
      await visit.press(t('pair.button'));
      await visit.sees(t('error.claim_invalid'));
      const label = `Flat ${index + 1}`;
      const { code } = await system.api.post('/claims', { label }, claimSchema);
      await page.getByLabel(t('pair.code')).fill(code.toLowerCase().replaceAll('-', ' '));
      await visit.holds(t('pair.code'), code);
      await visit.press(t('pair.button'));
      await visit.sees(t('head.waiting.title'));
      await visit.sees(label);

      // Content comes, and is shown as held.
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
      await page.getByRole('link', { name: t('nav.content'), exact: true }).click();
      for (const path of paths) await visit.sees(path);
      await page
        .getByText(t('asset.held'), { exact: true })
        .nth(paths.length - 1)
        .waitFor();
      await visit.check('box content');

      // Someone watches; it is settled; the household sees the credits the fleet has in its books.
      await page.getByRole('link', { name: t('nav.earnings'), exact: true }).click();
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

      await page.getByRole('link', { name: t('nav.activity'), exact: true }).click();
      await visit.sees(t('activity.asset_held', { what: '/film.mp4' }));
      await visit.sees(t('activity.settled'));
      await visit.check('box activity');

      await page.getByRole('link', { name: t('nav.home'), exact: true }).click();
      await visit.sees(t('disk.usedByHearth', { n: '' }).trim());
      await visit.check('box home');

      if (index === 0) {
        // The box loses power: the page says so, and recovers by itself.
        visit.expect(/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/);
        await agent.kill();
        await visit.sees(t('connection.lost'));
        agent = await newBox(system.api.url, lanPort, home);
        agents.push(agent);
        await page.getByText(t('connection.lost')).waitFor({ state: 'hidden' });
        visit.expect(/401 .*\/api\//);
        await visit.sees(new RegExp(`${t('login.lead')}|${t('head.earning.title')}`));
        visit.quiet('box after power loss');
      }
    });
  }

  it('a fleet that takes its time to refuse a code: the form waits, says why, and keeps what was typed', async () => {
    // A fleet far away: it answers only once the dashboard has been seen to say that pairing is under way.
    let refuse = () => {};
    const asked = new Promise<void>((resolve) => {
      refuse = resolve;
    });
    const slowFleet = createServer((request, response) => {
      request.resume();
      void asked.then(() => {
        const error = { code: 'claim_invalid', message: 'the claim code is not known' };
        response.writeHead(403, { 'content-type': 'application/json' }).end(JSON.stringify({ error }));
      });
    });
    await new Promise<void>((resolve) => slowFleet.listen(0, '127.0.0.1', resolve));
    try {
      const slowUrl = `http://127.0.0.1:${(slowFleet.address() as AddressInfo).port}`;
      const lanPort = await testPort();
      agents.push(await newBox(slowUrl, lanPort, join(folder, 'slow-fleet')));
      const view = VIEWS[0];
      const t = textsOf(view, boxEn, boxZh);
      const visit = await open(view, `http://127.0.0.1:${lanPort}/`);
      const { page } = visit;
      await page.getByLabel(t('setup.password'), { exact: true }).fill(PASSWORD);
      await page.getByLabel(t('setup.repeat'), { exact: true }).fill(PASSWORD);
      await visit.press(t('setup.button'));
      await visit.holds(t('pair.url'), slowUrl);
      await page.getByLabel(t('pair.code')).fill('0000-0000-0000');
      await visit.press(t('pair.button'));
      await visit.sees(t('head.pairing.title'));
      visit.expect(/403 .*\/api\/pair/);
      refuse();
      await visit.sees(t('error.claim_invalid'));
      await visit.sees(t('head.unpaired.title'));
      await visit.sees(t('error.claim_invalid'));
      await visit.holds(t('pair.code'), '0000-0000-0000');
      await visit.check('box pairing refused late');
    } finally {
      refuse();
      slowFleet.close();
      slowFleet.closeAllConnections();
    }
  });

  it('the language is remembered, and the keyboard alone gets in', async () => {
    const lanPort = await testPort();
    const agent = await newBox(get().api.url, lanPort, join(folder, 'keyboard'));
    agents.push(agent);
    const english: View = VIEWS[0];
    const visit = await open(english, `http://127.0.0.1:${lanPort}/`);
    const { page } = visit;
    await visit.sees(boxEn['setup.title']);
    await page.getByRole('button', { name: /简体中文/ }).click();
    await visit.sees(boxZh['setup.title']);
    await page.reload();
    await visit.sees(boxZh['setup.title']);
    await page.getByRole('button', { name: /English/ }).click();
    await visit.sees(boxEn['setup.title']);

    await page.reload();
    await visit.sees(boxEn['setup.title']);
    await page.keyboard.press('Tab');
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press('Enter');
    await visit.sees(boxEn['head.unpaired.title']);
    await page.reload();
    await visit.sees(boxEn['head.unpaired.title']);
    await page.keyboard.press('Tab');
    const outlined = await page.evaluate(() => {
      const style = getComputedStyle(document.activeElement ?? document.body);
      return style.outlineStyle !== 'none' && Number.parseFloat(style.outlineWidth) >= 2;
    });
    assert.ok(outlined, 'what has the focus is outlined');
    visit.quiet('keyboard');
  });
});

/** The micro-credits a row of the totals shows. */
async function shownCredits(page: Page, stage: string): Promise<bigint> {
  const row = page.locator('.flow li').filter({ has: page.getByText(stage, { exact: true }) });
  const text = await row.locator('.strong').nth(1).textContent();
  return BigInt((text ?? '').replace(/[^\d]/g, ''));
}
