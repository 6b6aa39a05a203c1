import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { accountsPage, sitesPage, waitFor } from '#fleet/client/fleet-api.ts';
import type { Program } from '#local/program.ts';
import { startAgent } from '#local/programs.ts';
import { testPort, useSystem } from '#test/support/system.ts';
import { needsTool } from '#test/support/tools.ts';
import { fleetEn } from '#webui/fleet/messages/en.ts';
import { fleetZh } from '#webui/fleet/messages/zh.ts';
import { nameOf, textsOf, useBrowser, VIEWS } from './browser.ts';

describe('the console, as an operator uses it', needsTool('chromium', 'fonts-cjk'), () => {
  const get = useSystem({ boxes: 0 });
  const { open } = useBrowser();
  const folder = mkdtempSync(join(tmpdir(), 'hearth-fleet-browser-'));
  const agents: Program[] = [];

  after(async () => {
    await Promise.all(agents.map((agent) => agent.stop()));
    rmSync(folder, { recursive: true, force: true });
  });

  for (const [index, view] of VIEWS.entries()) {
    it(`login, box, site, assets, assignment, ledger: ${nameOf(view)}`, async () => {
      const system = get();
      const t = textsOf(view, fleetEn, fleetZh);
      const visit = await open(view, system.api.url);
      const { page } = visit;
      const label = `Mill ${index + 1}`;
      const hostname = `v${index}-${randomBytes(3).toString('hex')}.localhost`;
      const go = async (name: string) => {
        if (view.width < 960) await visit.press(t('common.menu'));
        await page.getByRole('navigation').getByRole('link', { name, exact: true }).click();
        await page.getByRole('heading', { level: 1, name, exact: true }).waitFor();
      };
      const dialog = page.getByRole('dialog');

      // Login, once wrong. Not being logged in is answered with 401, which browsers log.
      visit.expect(/401 .*\/api\/v1\/session/);
      await visit.sees(t('login.lead'));
      await visit.check('fleet login');
      await page.getByLabel(t('login.username')).fill('admin');
      await page.getByLabel(t('common.password'), { exact: true }).fill('wrong');
      await visit.press(t('common.login'));
      await visit.sees(t('login.wrong'));
      await page.getByLabel(t('common.password'), { exact: true }).fill('correct horse battery');
      await visit.press(t('common.login'));
      await page.getByRole('heading', { level: 1, name: t('nav.overview') }).waitFor();
      await visit.sees(t('overview.attention'));
      await visit.check('fleet overview');

      // A claim code; a box uses it; the dialog says that it has come.
      await go(t('nav.boxes'));
      await visit.press(t('boxes.add'));
      await page.getByLabel(t('claim.label')).fill(label);
      await dialog.getByRole('button', { name: t('claim.make') }).click();
      const code = (await dialog.locator('output').textContent()) ?? '';
      assert.match(code, /^[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}$/);
      await visit.check('fleet claim');
      agents.push(
        await startAgent({
          name: label,
          stateDir: join(folder, `${index}-state`),
          disk: join(folder, `${index}-disk`),
          lanPort: await testPort(),
          contentPort: await testPort(),
          fleetUrl: system.api.url,
          claimCode: code,
          env: { HEARTH_HEARTBEAT_MS: '500', HEARTH_DELIVERY_FLUSH_MS: '200', HEARTH_RETRY_MS: '300' },
        }),
      );
      await visit.sees(t('claim.came', { label }));
      await dialog.getByRole('link', { name: t('claim.open') }).click();
      await page.getByRole('heading', { level: 1, name: label }).waitFor();
      await visit.sees(t('box.routable'));
      await visit.sees(t('box.placements.none.title'));

      // A site, once with an origin that is none.
      await go(t('nav.sites'));
      await visit.press(t('sites.add'));
      await dialog.getByLabel(t('sites.hostname')).fill(hostname);
      await dialog.getByLabel(t('sites.origin')).fill('somewhere');
      await dialog.getByRole('button', { name: t('sites.add') }).click();
      await visit.sees(t('sites.originFault'));
      await dialog.getByLabel(t('sites.origin')).fill(system.origin.url);
      await dialog.getByRole('button', { name: t('sites.add') }).click();
      await dialog.waitFor({ state: 'hidden' });
      await visit.sees(hostname);
      await visit.check('fleet sites');

      // Assets: two that are there and one that is not.
      const films = [`/${index}/film.mp4`, `/${index}/trailer.mp4`];
      const missing = `/${index}/missing.mp4`;
      for (const path of films) system.origin.write(path, randomBytes(2_500_000));
      await go(t('nav.assets'));
      await page.getByLabel(t('assets.site'), { exact: true }).selectOption({ label: hostname });
      await visit.press(t('assets.add'));
      await dialog.getByLabel(t('assets.paths')).fill(`${films.join('\n')}\nno-slash`);
      await dialog.getByRole('button', { name: t('assets.add') }).click();
      await visit.sees(t('assets.pathsFault', { line: 3, path: 'no-slash' }));
      await dialog.getByLabel(t('assets.paths')).fill([...films, missing].join('\n'));
      await dialog.getByRole('button', { name: t('assets.add') }).click();
      await dialog.waitFor({ state: 'hidden' });
      const row = (text: string) => page.getByRole('row').filter({ hasText: text });
      for (const path of films) await row(path).getByText(t('asset.state.ready'), { exact: true }).waitFor();
      await row(missing).getByText(t('asset.state.failed'), { exact: true }).waitFor();
      await visit.sees(t('error.origin_status'));
      for (const path of films) await page.getByLabel(t('assets.pick', { path })).check();
      await visit.sees(t('assets.picked.n', { n: 2 }));
      await visit.check('fleet assets');

      // Push them to the new box, and watch until everything is in place.
      await visit.press(t('assets.push'));
      await page.getByLabel(t('assign.byBox')).check();
      await page.getByLabel(label).check();
      await page.getByLabel(t('assign.ttl')).selectOption({ label: t('assign.ttl.day') });
      await visit.check('fleet assign');
      await visit.press(t('assign.button'));
      await page.getByRole('heading', { level: 2, name: t('watch.converged') }).waitFor();
      await visit.sees(label);
      await visit.check('fleet watch');
      await go(t('nav.assignments'));
      await visit.sees(t('watch.converged'));
      await visit.check('fleet assignments');

      // A client comes; the ledger has it, balanced.
      const site = (await system.api.get('/sites', sitesPage)).items.find((one) => one.hostname === hostname);
      assert.ok(site);
      await waitFor(
        async () => {
          const response = await system.fetch(site, films[0] ?? '');
          assert.equal(response.status, 200);
          const accounts = await system.api.all('/ledger/accounts', accountsPage);
          return accounts.some((account) => account.name === label && BigInt(account.balance) > 0n) || null;
        },
        'nothing was settled',
        { timeoutMs: 60_000 },
      );
      await go(t('nav.ledger'));
      await visit.press(t('ledger.showTransfers', { name: label }));
      await visit.sees(t('ledger.transfersOf', { name: label }));
      const entries = await page
        .locator('.transfer')
        .first()
        .locator('.entries li span:last-child')
        .allInnerTexts();
      assert.ok(entries.length >= 2);
      const micro = (text: string) => BigInt(text.replace(/[^\d]/g, '')) * (text.startsWith('−') ? -1n : 1n);
      assert.equal(
        entries.reduce((sum, text) => sum + micro(text), 0n),
        0n,
        entries.join(' '),
      );
      await visit.check('fleet ledger');

      // The box's page: a spot check passes, it gets another name.
      await go(t('nav.boxes'));
      await visit.check('fleet boxes');
      await page.getByRole('link', { name: label }).click();
      await visit.press(t('box.ask.spot-check'));
      await visit.sees(t('check.passed'));
      await visit.sees(t('reason.claimed'));
      await visit.check('fleet box');
      await visit.press(t('box.rename'));
      await dialog.getByLabel(t('box.rename.label')).fill(`${label} north`);
      await dialog.getByRole('button', { name: t('common.save') }).click();
      await page.getByRole('heading', { level: 1, name: `${label} north` }).waitFor();

      // A token is shown once; it works; deleted it does not.
      await go(t('nav.tokens'));
      await visit.press(t('tokens.make'));
      await dialog.getByLabel(t('tokens.name')).fill(`script ${index}`);
      await dialog.getByRole('button', { name: t('tokens.make') }).click();
      const secret = await dialog.locator('output').textContent();
      const asked = () =>
        fetch(`${system.api.url}/api/v1/overview`, { headers: { authorization: `Bearer ${secret}` } });
      assert.equal((await asked()).status, 200);
      await dialog.getByRole('button', { name: t('claim.done') }).click();
      await visit.check('fleet tokens');
      await visit.press(`${t('tokens.delete')}: script ${index}`);
      await dialog.getByRole('button', { name: t('tokens.delete') }).click();
      await visit.sees(t('tokens.deleted'));
      assert.equal((await asked()).status, 401);

      // An asset's page, purge with confirmation.
      await go(t('nav.assets'));
      await page.getByRole('link', { name: films[0] ?? '' }).click();
      await page.getByRole('heading', { level: 1, name: films[0] ?? '' }).waitFor();
      await visit.sees(`${label} north`);
      await visit.check('fleet asset');
      await visit.press(t('assets.purge'));
      await dialog.getByRole('button', { name: t('assets.purge.button') }).click();
      await visit.sees(t('asset.state.purged'));

      // Revoke, with confirmation: the box is gone from the list.
      await go(t('nav.boxes'));
      await page.getByRole('link', { name: `${label} north` }).click();
      await visit.press(t('box.revoke'));
      await visit.check('fleet revoke');
      await dialog.getByRole('button', { name: t('box.revoke.button') }).click();
      await page.getByRole('heading', { level: 1, name: t('nav.boxes') }).waitFor();
      await waitFor(
        async () => (await page.getByRole('link', { name: `${label} north` }).count()) === 0 || null,
        'the revoked box is still listed',
      );

      if (view.width < 960) await visit.press(t('common.menu'));
      await visit.press(t('common.logout'));
      await visit.sees(t('login.lead'));
      visit.quiet('fleet logout');
    });
  }
});
