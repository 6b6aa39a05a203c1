import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { needsTool } from '#test/support/tools.ts';
import { goTo, NO_FLEET, PASSWORD, useBoxes, walkTo } from './box-visit.ts';
import { DESK, PHONE, useBrowser } from './browser.ts';

describe('the LAN dashboard, as things change under it', needsTool('chromium', 'fonts-cjk'), () => {
  const { open } = useBrowser();
  const visitBox = useBoxes(() => NO_FLEET, open);

  it('a page whose stream is refused polls, and live again when it may', async () => {
    const { visit, t } = await visitBox('live', DESK);
    const { page } = visit;
    await walkTo(visit, t, 'pair');
    const asked: string[] = [];
    page.on('request', (request) => {
      const { pathname } = new URL(request.url());
      if (pathname === '/api/status' || pathname === '/api/events') asked.push(pathname);
    });
    await visit.press(t('wizard.later'));
    await visit.sees(t('head.unpaired.title'));
    await waitFor(async () => {
      const before = asked.length;
      await new Promise((resolve) => setTimeout(resolve, 6_000));
      return asked.length === before || null;
    }, 'a page that is live does not poll');
    visit.expect(/503 .*\/api\/events/);
    await page.route('**/api/events*', (route) =>
      route.fulfill({
        status: 503,
        contentType: 'application/json',
        body: '{"error":{"code":"unavailable"}}',
      }),
    );
    await page.reload();
    await visit.sees(t('head.unpaired.title'));
    asked.length = 0;
    await waitFor(
      async () => asked.filter((path) => path === '/api/status').length >= 3 || null,
      'it does not poll',
    );
    visit.quiet('live');
  });

  it('the log as it is written: paused, filtered, and after a lost line nothing twice', async () => {
    const { visit, t } = await visitBox('log', DESK);
    const { page } = visit;
    await walkTo(visit, t, 'pair');
    await visit.press(t('wizard.later'));
    await visit.sees(t('head.unpaired.title'));
    await goTo(visit, t, 'logs');
    await visit.sees('the dashboard password was set');
    const origin = new URL(page.url()).origin;
    // Whoever tries a wrong password leaves a line.
    const guess = () =>
      fetch(`${origin}/api/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-hearth-csrf': '1' },
        body: JSON.stringify({ password: 'wrong' }),
      });
    const failed = page.getByText('a login failed');
    const counted = (count: number) =>
      waitFor(async () => (await failed.count()) === count || null, `not ${count} lines`);
    assert.equal((await guess()).status, 401);
    await counted(1);
    await visit.press(t('logs.pause'));
    await guess();
    await visit.sees(t('logs.waiting.n', { n: 1 }));
    await counted(1);
    await visit.check('box logs paused');
    await visit.press(t('logs.resume'));
    await counted(2);
    await page.getByRole('button', { name: t('logs.level.warn'), exact: true }).click();
    await page.getByText('the dashboard password was set').waitFor({ state: 'hidden' });
    await counted(2);

    // The line is lost; what was said meanwhile is told when it is back, once.
    visit.expect(/ERR_INTERNET_DISCONNECTED|ERR_NETWORK_CHANGED/);
    await page.context().setOffline(true);
    await visit.sees(t('connection.lost'));
    await guess();
    assert.equal(await failed.count(), 2);
    await page.context().setOffline(false);
    await page.getByText(t('connection.lost')).waitFor({ state: 'hidden' });
    await counted(3);
    await guess();
    await counted(4);
    assert.equal(await page.evaluate(async () => (await fetch('/api/session')).ok), true);
    assert.ok(!(await page.content()).includes(PASSWORD));
    visit.quiet('log');
  });

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
      const { visit, t } = await visitBox('slow-fleet', PHONE, { HEARTH_FLEET_URL: slowUrl });
      const { page } = visit;
      await walkTo(visit, t, 'pair');
      await visit.press(t('wizard.later'));
      await visit.sees(t('head.unpaired.title'));
      await visit.holds(t('pair.url'), slowUrl);
      await page.getByLabel(t('pair.code')).fill('0000-0000-0000');
      await visit.press(t('pair.button'));
      await visit.sees(t('head.pairing.title'));
      visit.expect(/403 .*\/api\/pair/);
      refuse();
      await visit.sees(t('error.claim_invalid'));
      await visit.sees(t('head.unpaired.title'));
      await visit.holds(t('pair.code'), '0000-0000-0000');
      await visit.check('box pairing refused late');
    } finally {
      refuse();
      slowFleet.close();
      slowFleet.closeAllConnections();
    }
  });
});
