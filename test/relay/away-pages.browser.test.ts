import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { nameOf, useBrowser, type View } from '#test/browser/browser.ts';
import { needsTool } from '#test/support/tools.ts';
import { awayRig, until } from './away-rig.ts';
import { AwayVisitor } from './away-visitor.ts';

const SCHEMES = ['light', 'dark'] as const;
const VIEWS: View[] = (['en', 'zh-Hans'] as const).flatMap((language) =>
  SCHEMES.flatMap((scheme) => [
    { width: 375, height: 812, language, scheme },
    { width: 1280, height: 860, language, scheme },
  ]),
);
const WORDS = {
  en: {
    key: 'Key',
    button: 'Go on',
    wrong: /does not open this box/,
    slow: /Too many tries/,
    ended: /has ended, or was ended/,
    offline: 'Your box is not connected',
    nothing: 'There is nothing here',
  },
  'zh-Hans': {
    key: '密钥',
    button: '继续',
    wrong: /打不开这台盒子/,
    slow: /尝试次数过多/,
    ended: /已结束或已被结束/,
    offline: '您的盒子没有连接',
    nothing: '这里什么也没有',
  },
} as const;

describe("the relay's own pages at a box's address, in a browser", needsTool('chromium', 'fonts-cjk'), () => {
  const { open } = useBrowser();

  it('each says what is the matter, fits, and has nothing that axe finds', async (t) => {
    const { relayNamed, boxServing, key, letIn, ca } = await awayRig(t);
    const { relay, base } = await relayNamed('relay.localhost');
    const box = await boxServing((_, response) => response.end());
    box.tunnels.use([relay.urls.tunnelUrl]);
    await until('connected', () => relay.tunnels.has(box.id));
    await letIn(box);
    // One that never dials in, at which somebody is.
    const away = await boxServing((_, response) => response.end());
    await letIn(away);
    const visitor = new AwayVisitor(base, ca);
    assert.equal(await visitor.showKey(away.id, key), 303);
    const cookie = (pair: string) => {
      const [name = '', value = ''] = pair.split('=');
      return { name, value, url: base, secure: true, httpOnly: true };
    };
    for (const view of VIEWS) {
      const words = WORDS[view.language];
      const stop = (name: string) => `away ${name}: ${nameOf(view)}`;
      const visit = await open(view, `${base}/my/${box.id}/`, { ignoreHTTPSErrors: true });
      const { page } = visit;
      visit.expect(/status of (403|404|429|503)/);
      assert.equal(await page.locator('html').getAttribute('lang'), view.language);
      const field = page.getByLabel(words.key, { exact: true });
      assert.ok(await field.evaluate((input) => input === document.activeElement));
      await visit.look(stop('login'));
      await field.fill('AAAAA-AAAAA');
      await visit.press(words.button);
      await visit.sees(words.wrong);
      await visit.look(stop('wrong key'));
      await page.context().addCookies([cookie(`__Host-hearth_away_${box.id}=${'x'.repeat(43)}`)]);
      await page.goto(`${base}/my/${box.id}/`);
      await visit.sees(words.ended);
      await visit.look(stop('ended'));
      // Said once: what is left of it is gone.
      await page.goto(`${base}/my/${box.id}/`);
      assert.equal(await page.getByRole('alert').count(), 0);
      await page.context().addCookies([cookie(visitor.cookiesFor('/'))]);
      await page.goto(`${base}/my/${away.id}/`);
      await visit.sees(words.offline);
      await visit.look(stop('offline'));
      await page.goto(`${base}/my/box-1/`);
      await visit.sees(words.nothing);
      await visit.look(stop('nothing'));
      visit.quiet(stop('the end'));
      await page.context().close();
    }
    const [view] = VIEWS;
    assert.ok(view);
    const words = WORDS[view.language];
    const visit = await open(view, `${base}/my/${box.id}/`, { ignoreHTTPSErrors: true });
    visit.expect(/status of (403|429)/);
    const { page } = visit;
    // Another try may be had every ten seconds: on a slow machine one is left now and then.
    await waitFor(
      async () => {
        await Promise.all(Array.from({ length: 15 }, () => visitor.showKey(box.id, 'wrong')));
        await page.getByLabel(words.key, { exact: true }).fill('AAAAA-AAAAA');
        await visit.press(words.button);
        await page.getByRole('alert').waitFor();
        return words.slow.test(String(await page.getByRole('alert').textContent())) || null;
      },
      'never too many tries',
      { timeoutMs: 120_000 },
    );
    await visit.look(`away slow: ${nameOf(view)}`);
  });
});
