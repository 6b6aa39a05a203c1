import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import pg from 'pg';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { boxDetailSchema } from '#protocol/http-fleet.ts';
import type { BoxReach } from '#protocol/reach.ts';
import { AtHome } from '#test/relay/away-visitor.ts';
import { startPebble } from '#test/support/pebble.ts';
import { testPort, useSystem } from '#test/support/system.ts';
import { needsTool } from '#test/support/tools.ts';
import { fleetEn } from '#webui/fleet/messages/en.ts';
import { fleetZh } from '#webui/fleet/messages/zh.ts';
import { boxTexts, goTo, PASSWORD } from './box-visit.ts';
import { nameOf, textsOf, useBrowser, VIEWS } from './browser.ts';

const needs = needsTool('chromium', 'fonts-cjk', 'pebble');
const folder = mkdtempSync(join(tmpdir(), 'hearth-certificates-browser-'));
const dnsPort = await testPort();
const pebble = needs.skip ? null : await startPebble(folder, `127.0.0.1:${dnsPort}`);
after(async () => {
  await pebble?.stop();
  rmSync(folder, { recursive: true, force: true });
});
const PATIENCE = { timeoutMs: 90_000 };

describe('a CA that gives nothing for a week, in both consoles', needs, () => {
  const { open } = useBrowser();
  const get = useSystem({
    boxes: 1,
    fleetEnv: {
      HEARTH_BOX_DOMAIN: 'boxes.example.org',
      HEARTH_DNS_PORT: String(dnsPort),
      HEARTH_ACME_DIRECTORY: pebble?.directoryUrl ?? '',
      HEARTH_ACME_CA_FILE: pebble?.caFile ?? '',
      HEARTH_ACME_ISSUER: 'pebble.letsencrypt.org',
      HEARTH_RELAY_TLS_PORT: '0',
    },
  });

  const query = async (text: string) => {
    const client = new pg.Client({ connectionString: get().database.url });
    await client.connect();
    await client.query(text).finally(() => client.end());
  };

  it('both say since when and why, and that the present certificate is served on', async () => {
    const system = get();
    const box = system.box(0);
    const detail = async () => (await system.api.get(`/boxes/${box.id}`, boxDetailSchema)).certificate;
    const atHome = new AtHome(box);
    await atHome.call('POST', '/setup', { password: PASSWORD });
    await atHome.call('PATCH', '/settings', { wizardDone: true });
    const certificate = async () => (await atHome.call<BoxReach>('GET', '/doctor')).certificate;
    await waitFor(
      async () => (await certificate())?.state === 'valid' || null,
      () => `the box has no certificate\n${system.logs()}`,
      PATIENCE,
    );
    // It is to be renewed, and nobody answers any more.
    await pebble?.stop();
    await query("UPDATE box_certificates SET state = 'waiting', attempts = 0, next_try_at = now()");
    await waitFor(
      async () => (await detail())?.failingSince ?? null,
      () => `the fleet has not tried\n${system.logs()}`,
      PATIENCE,
    );
    await query("UPDATE box_certificates SET failing_since = now() - interval '7 days'");
    const problem = await waitFor(
      async () => (await certificate())?.problem ?? null,
      () => `the box is not told\n${system.logs()}`,
      PATIENCE,
    );
    assert.equal(problem.code, 'ca_unreachable');

    for (const view of VIEWS) {
      const t = boxTexts(view);
      const home = await open(view, `${box.lanUrl}/`);
      await home.page.getByLabel(t('common.password'), { exact: true }).fill(PASSWORD);
      await home.page.keyboard.press('Enter');
      await goTo(home, t, 'network');
      await home.sees(t('reach.cert.why.ca_unreachable'));
      await home.sees(t('reach.cert.servesOn'));
      await home.check('certificates fail at home');

      const f = textsOf(view, fleetEn, fleetZh);
      const operator = await open(view, system.api.url);
      operator.expect(/401 .*\/api\/v1\/session/);
      await operator.page.getByLabel(f('login.username')).fill('admin');
      await operator.page.getByLabel(f('common.password'), { exact: true }).fill('correct horse battery');
      await operator.press(f('common.login'));
      await operator.page.getByRole('heading', { level: 1, name: f('nav.overview') }).waitFor();
      await operator.page.goto(`${system.api.url}#/boxes/${box.id}`);
      await operator.sees(new RegExp(f('box.cert.why.ca_unreachable')));
      await operator.sees(f('box.cert.servesOn'));
      // The CA's side, in its own words.
      await operator.sees(/ECONNREFUSED/);
      await operator.check('certificates fail for the operator');
      operator.quiet(nameOf(view));
    }
  });
});
