import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { waitFor } from '#fleet/client/fleet-api.ts';
import type { BoxAway } from '#protocol/http-box.ts';
import { boxTexts, goTo, PASSWORD } from '#test/browser/box-visit.ts';
import { DESK, DESK_CHINESE, PHONE, textsOf, useBrowser } from '#test/browser/browser.ts';
import { testPort, useSystem } from '#test/support/system.ts';
import { needsTool } from '#test/support/tools.ts';
import { fleetEn } from '#webui/fleet/messages/en.ts';
import { fleetZh } from '#webui/fleet/messages/zh.ts';
import { AtHome, ownCertificate } from './away-visitor.ts';

const folder = mkdtempSync(join(tmpdir(), 'hearth-away-browser-'));
const tlsPort = await testPort();
const base = `https://relay.localhost:${tlsPort}`;
const { files } = await ownCertificate(folder, 'relay.localhost');
after(() => rmSync(folder, { recursive: true, force: true }));

describe('the dashboard away from home, in a browser', needsTool('chromium', 'fonts-cjk'), () => {
  const { open } = useBrowser();
  const get = useSystem({
    boxes: 1,
    fleetEnv: {
      HEARTH_RELAY_TLS_PORT: String(tlsPort),
      HEARTH_RELAY_CERT: files.cert,
      HEARTH_RELAY_KEY: files.key,
    },
  });

  it('is switched on at home, opened through the relay with key and password, live, and left', async () => {
    const box = get().box(0);
    const atHome = new AtHome(box);
    await atHome.call('POST', '/setup', { password: PASSWORD });
    await atHome.call('PATCH', '/settings', { wizardDone: true });
    const t = boxTexts(DESK);
    const home = await open(DESK, `${box.lanUrl}/`);
    await home.page.getByLabel(t('common.password'), { exact: true }).fill(PASSWORD);
    await home.page.keyboard.press('Enter');
    await goTo(home, t, 'settings');
    await home.sees(t('away.title'));
    await home.press(t('away.turnOn'));
    const key = String(await home.page.getByText(/^[0-9A-Z]{5}(-[0-9A-Z]{5}){4}$/).textContent());
    await home.check('away switched on');
    const address = `${base}/my/${box.id}/`;
    await waitFor(
      async () => (await atHome.call<BoxAway>('GET', '/away')).urls.includes(address) || null,
      () => `the box is told no address\n${get().logs()}`,
    );

    // The certificate is nobody's whom a browser knows.
    const away = await open(PHONE, address, { ignoreHTTPSErrors: true });
    const words = boxTexts(PHONE);
    away.expect(/status of 403/);
    await away.page.getByLabel('Key').fill('AAAAA-AAAAA');
    await away.press('Go on');
    await away.sees(/does not open this box/);
    await away.page.getByLabel('Key').fill(key);
    await away.press('Go on');
    await away.sees(words('login.lead'));
    away.expect(/status of 401/);
    await away.page.getByLabel(words('common.password'), { exact: true }).fill('not this one at all');
    await away.page.keyboard.press('Enter');
    await away.sees(words('login.wrong'));
    await away.check('away wrong password');
    await away.page.getByLabel(words('common.password'), { exact: true }).fill(PASSWORD);
    await away.page.keyboard.press('Enter');
    // Pages that are loaded when they are looked at, and the stream of events.
    await goTo(away, words, 'settings');
    await away.sees(words('away.atHome'));
    await goTo(away, words, 'logs');
    await away.sees('the dashboard is looked at from away');
    await atHome.call('POST', '/pause', { minutes: 60 });
    await goTo(away, words, 'activity');
    await away.sees(words('activity.away_used'));
    away.quiet('away');
    // Home sees who is in, and so does the operator, who ends it: the relay asks for its key again.
    await goTo(home, t, 'home');
    await goTo(home, t, 'settings');
    await home.sees(t('sessions.from', { from: '127.0.0.0/24' }));
    await home.check('away somebody is in, at home');
    const fleet = textsOf(DESK_CHINESE, fleetEn, fleetZh);
    for (const view of [PHONE, DESK_CHINESE]) {
      const f = textsOf(view, fleetEn, fleetZh);
      const console = await open(view, get().api.url);
      console.expect(/401 .*\/api\/v1\/session/);
      await console.page.getByLabel(f('login.username')).fill('admin');
      await console.page.getByLabel(f('common.password'), { exact: true }).fill('correct horse battery');
      await console.press(f('common.login'));
      await console.page.getByRole('heading', { level: 1, name: f('nav.overview') }).waitFor();
      await console.page.goto(`${get().api.url}#/boxes/${box.id}`);
      await console.sees(f('sessions.from', { from: '127.0.0.0/24' }));
      // Boxes of these tests are started without a launcher.
      await console.sees(f('box.noUpdates.not_launched'));
      await console.check('away somebody is in, for the operator');
      if (view !== DESK_CHINESE) continue;
      await console.press(new RegExp(`^${fleet('sessions.end')}：`));
      await console.sees(fleet('sessions.none'));
      await console.page.goto(`${get().api.url}#/rollouts`);
      await console.sees(fleet('rollouts.leftOut'));
      await console.check('rollouts leave boxes out');
    }
    const comesBack = async () => {
      await away.page.getByLabel('Key').waitFor({ timeout: 90_000 });
      await away.sees(/has ended, or was ended/);
      await away.page.getByLabel('Key').fill(key);
      await away.press('Go on');
      // The box knows its own session still.
      await goTo(away, words, 'settings');
    };
    await comesBack();
    await goTo(home, t, 'home');
    await goTo(home, t, 'settings');
    await home.press(/^End: /);
    await home.sees(t('sessions.none'));
    await comesBack();
    // Leaving is leaving altogether.
    await goTo(away, words, 'settings');
    await away.press(words('common.logout'));
    await away.page.getByLabel('Key').waitFor();
  });
});
