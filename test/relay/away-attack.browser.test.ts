import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DESK, useBrowser } from '#test/browser/browser.ts';
import { needsTool } from '#test/support/tools.ts';
import { awayRig, until } from './away-rig.ts';

/** What a hostile box's page tries on who is in at another box's dashboard, each try with what came of it. */
const attack = (victim: string) => `<!doctype html><title>tries</title><script>
const tries = {
  read: async () => (await fetch('/my/${victim}/api/status', { credentials: 'include' })).status,
  blind: async () => (await fetch('/my/${victim}/api/status', { credentials: 'include', mode: 'no-cors' })).type,
  change: async () => (await fetch('/my/${victim}/api/pause', {
    method: 'POST', credentials: 'include', headers: { 'x-hearth-csrf': '1' } })).status,
  cookie: async () => { document.cookie = 'planted=1; path=/'; return document.cookie; },
  worker: async () => String(await navigator.serviceWorker.register('worker.js', { scope: '/' })),
  frame: () => new Promise((resolve) => {
    const frame = document.createElement('iframe');
    frame.src = '/my/${victim}/';
    frame.onload = () => { try { resolve(frame.contentDocument.body.innerText); } catch (error) { resolve(error.name); } };
    document.body.append(frame);
  }),
};
addEventListener('load', async () => {
  const said = {};
  for (const [name, go] of Object.entries(tries)) said[name] = await go().catch((error) => error.name);
  document.title = JSON.stringify(said);
});
</script><body>`;

describe(
  "a hostile box's page at a relay, in a browser that is in at another box",
  needsTool('chromium'),
  () => {
    const { open } = useBrowser();

    it('reads, changes and plants nothing', async (t) => {
      const { relayNamed, boxServing, key, letIn } = await awayRig(t);
      const { relay, base } = await relayNamed('relay.localhost');
      const asked: string[] = [];
      const victim = await boxServing((request, response) => {
        asked.push(`${request.method} ${request.url}`);
        response.writeHead(200, { 'content-type': 'application/json' }).end('{"secret":true}');
      });
      const hostile = await boxServing(
        (_, response) => response.end(),
        false,
        (stream, headers) => {
          const isScript = headers[':path']?.endsWith('.js');
          stream.respond({
            ':status': 200,
            'content-type': isScript ? 'text/javascript' : 'text/html',
            'service-worker-allowed': '/',
            'set-cookie': 'planted=1; Path=/; Secure',
          });
          stream.end(
            isScript ? 'onfetch = (event) => event.respondWith(new Response("mine"))' : attack(victim.id),
          );
        },
      );
      for (const box of [victim, hostile]) {
        box.tunnels.use([relay.urls.tunnelUrl]);
        await until('connected', () => relay.tunnels.has(box.id));
      }
      await letIn(victim);
      const { page } = await open(DESK, `${base}/my/${victim.id}/`, { ignoreHTTPSErrors: true });
      await page.locator('#key').fill(key);
      await page.keyboard.press('Enter');
      await page.waitForFunction(() => document.title.includes('own page'));
      // The page itself may call: what follows is refused for who asks, not for want of a session.
      const own = () => page.evaluate(async () => (await fetch('./api/status')).status);
      assert.equal(await own(), 200);
      assert.deepEqual(asked, ['GET /api/status']);

      await page.goto(`${base}/b/${hostile.id}/c/evil.html`);
      await page.waitForFunction(() => document.title.startsWith('{'));
      const said = JSON.parse(await page.title()) as Record<string, unknown>;
      assert.equal(said.read, 'TypeError');
      assert.equal(said.change, 'TypeError');
      assert.equal(said.cookie, 'SecurityError');
      // Chromium has no service workers at all for an origin such as this one's.
      assert.match(String(said.worker), /Error$/);
      assert.doesNotMatch(String(said.frame), /own page/);
      assert.deepEqual(asked, ['GET /api/status'], 'none of it came to the box');
      const names = (await page.context().cookies()).map(({ name }) => name);
      assert.deepEqual(names, [`__Host-hearth_away_${victim.id}`]);
      await page.goto(`${base}/my/${victim.id}/`);
      assert.equal(await own(), 200);
    });
  },
);
