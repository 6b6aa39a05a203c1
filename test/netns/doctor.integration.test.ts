import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { buildAgent } from '#agent/build.ts';
import { reachEn } from '#webui/box/messages/en-reach.ts';
import { Home, WAN } from './home.ts';
import { needsNamespaces } from './namespaces.ts';

const MAIN = join(import.meta.dirname, '..', '..', 'device-agent', 'main.ts');

async function doctor(
  t: TestContext,
  home: Home,
  env: Record<string, string> = {},
  script = MAIN,
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-doctor-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const child = home.box.spawn(process.execPath, [script, 'doctor'], {
    HEARTH_STATE_DIR: join(folder, 'state'),
    HEARTH_DISK: folder,
    ...env,
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (piece) => {
      text += String(piece);
    });
  }
  const [code] = await once(child, 'close');
  assert.equal(code, 0, text);
  return text;
}

describe('doctor, beside real routers', { ...needsNamespaces(), timeout: 120_000 }, () => {
  test('says what the router gives, and leaves nothing behind on it', async (t) => {
    const home = new Home(t);
    await home.serve();
    const said = await doctor(t, home);
    for (const way of ['pcp', 'natpmp', 'upnp'] as const) {
      const line = said
        .split('\n')
        .find((one) => one.includes(reachEn[`reach.way.${way}`]) && one.includes('IPv4'));
      assert.ok(line?.includes(WAN.router), said);
    }
    assert.deepEqual(home.forwards(), []);
  });

  test('as it ships, in one bundle with what reads XML beside it', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'hearth-bundle-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const script = await buildAgent(folder);
    const home = new Home(t);
    await home.serve({ pcp: false, igd1: true });
    const said = await doctor(t, home, {}, script);
    const line = said
      .split('\n')
      .find((one) => one.includes(reachEn['reach.way.upnp']) && one.includes('IPv4'));
    assert.ok(line?.includes(WAN.router), said);
  });

  test('says that the router offers nothing, and what to do', async (t) => {
    const said = await doctor(t, new Home(t));
    assert.ok(said.includes(reachEn['reach.reason.not_offered']), said);
    assert.ok(said.includes(reachEn['reach.advice.enable_upnp']), said);
    assert.ok(said.includes(`${reachEn['reach.advice.forward_port']} [192.168.1.2 : 7090]`), said);
  });

  test('says that mapping is switched off, and asks nobody', async (t) => {
    const home = new Home(t);
    await home.serve();
    const said = await doctor(t, home, { HEARTH_PORT_MAPPING: 'off' });
    assert.ok(said.includes(reachEn['reach.advice.turn_mapping_on']), said);
  });
});
