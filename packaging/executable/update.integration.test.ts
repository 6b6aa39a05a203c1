import assert from 'node:assert/strict';
import { chmodSync, cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, it } from 'node:test';
import { FleetFixture } from '#agent/link/fleet-fixture.ts';
import { tempFolder, until } from '#agent/store/store-fixture.ts';
import { buildArtefact, builtOf, HERE } from '#agent/update/artefact-fixture.ts';
import { LaunchedBox } from '#agent/update/box-fixture.ts';
import { ReleaseFixture } from '#agent/update/release-fixture.ts';
import { AGENT_VERSION } from '#agent/version.ts';
import { needsTool } from '#test/support/tools.ts';
import { readRootOfTrust } from '../root-of-trust.ts';
import { TARGETS } from '../targets.ts';
import { buildExecutable, makeArtefact, PROGRAM, writeStart } from './build.ts';

const NEXT = '0.2.0';
const DEADLINE_MS = 150_000;

/** A package's program with a root of trust beside it goes to the next version, and stays there. */
async function updates(
  t: TestContext,
  folder: string,
  artefact: string,
  afterwards: (lanUrl: string) => Promise<void> = async () => undefined,
): Promise<void> {
  const [fleet, releases] = [await FleetFixture.start(), await ReleaseFixture.start()];
  writeFileSync(path.join(folder, 'root.json'), releases.root);
  const box = await LaunchedBox.make(t, {
    ...{ packaged: '', packagedVersion: AGENT_VERSION, root: '', program: path.join(folder, PROGRAM) },
    env: { HEARTH_FLEET_URL: fleet.url, HEARTH_CLAIM_CODE: fleet.newClaim() },
  });
  t.after(async () => {
    await box.cutPower();
    await fleet.close();
    await releases.close();
  });
  await releases.release(await builtOf(artefact, NEXT));
  box.start();
  const reported = (version: string, from = 0) =>
    fleet
      .waitFor('update', (report) => report.version === version, from, DEADLINE_MS)
      .catch((error) => assert.fail(`${String(error)}\n${box.tail()}`));
  const first = await reported(AGENT_VERSION);
  assert.deepEqual(
    [first.message.packaged, first.message.rootVersion, first.message.architecture],
    [AGENT_VERSION, 1, HERE],
  );
  await fleet.command(first.boxId, { type: 'update', order: releases.order('u-1', NEXT) });
  const isKept = ({ update }: { update: { state: string } | null }) => update?.state === 'updated';
  await fleet
    .waitFor('update', isKept, 0, DEADLINE_MS)
    .catch((error) => assert.fail(`${String(error)}\n${box.tail()}`));
  await box.cutPower();
  const from = fleet.received.length;
  box.log.length = 0;
  box.start();
  assert.equal((await reported(NEXT, from)).message.runs, 'installed');
  await until(() => box.lanUrl !== '', 'the dashboard is there');
  await afterwards(box.lanUrl);
  assert.equal(await box.stop(), 0);
}

describe('a package with a root of trust is updated', () => {
  const target = Object.values(TARGETS).find(({ name }) => name === HERE) ?? TARGETS.x64;

  it('with the Node of npm: by the agent for that Node', needsTool('dpkg-deb'), async (t) => {
    const folder = path.join(await tempFolder(t, 'package'), 'hearth');
    const { folder: built } = await buildExecutable({ target, base: 'npm' });
    cpSync(built, folder, { recursive: true });
    const artefacts = await tempFolder(t, 'artefacts');
    const webui = await tempFolder(t, 'webui');
    writeFileSync(path.join(webui, 'index.html'), '<p>the dashboard of the next version</p>');
    writeFileSync(path.join(webui, 'app-0123abcd.js'), 'void 0;');
    const artefact = await makeArtefact({ target, base: 'npm', folder: artefacts, version: NEXT, webui });
    assert.equal(path.basename(artefact), `hearth-agent-${NEXT}-${HERE}-npm`);
    // It brings its own dashboard: the package's belongs to the version before.
    await updates(t, folder, artefact, async (lanUrl) => {
      const get = (name: string, encoding: string) =>
        fetch(lanUrl + name, { headers: { 'accept-encoding': encoding } });
      for (const encoding of ['gzip', 'identity']) {
        const page = await get('/', encoding);
        assert.equal(page.headers.get('content-encoding'), encoding === 'gzip' ? 'gzip' : null);
        assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8');
        assert.match(await page.text(), /of the next version/);
      }
      const script = await get('/app-0123abcd.js', 'gzip');
      assert.match(script.headers.get('cache-control') ?? '', /immutable/);
      assert.equal(await script.text(), 'void 0;');
      for (const name of ['/nothing', '/constructor', '/app-0123abcd.js.gz'])
        assert.equal((await get(name, 'gzip')).status, 404, name);
    });
  });

  it('with one static file: by another one (a script for this Node stands in for it)', async (t) => {
    const folder = await tempFolder(t, 'package');
    const own = async (version: string, file: string) => {
      const { file: built } = await buildArtefact(folder, version);
      writeFileSync(file, `#!${process.execPath}\n${readFileSync(built, 'utf8')}`);
      chmodSync(file, 0o755);
    };
    await own(AGENT_VERSION, path.join(folder, 'agent'));
    await own(NEXT, path.join(folder, 'next'));
    writeStart(folder, '', '"$here/agent"');
    await updates(t, folder, path.join(folder, 'next'));
  });
});

describe('the root of trust of a package', () => {
  it('is what release init made, and is refused with what to give instead otherwise', async (t) => {
    const releases = await ReleaseFixture.start();
    t.after(() => releases.close());
    const file = path.join(await tempFolder(t, 'root'), '1.root.json');
    writeFileSync(file, releases.root);
    assert.equal(readRootOfTrust(file), releases.root);
    assert.throws(() => readRootOfTrust(file, Date.now() + 10 * 365 * 86_400_000), /expired.*N\.root\.json/s);
    assert.throws(() => readRootOfTrust(`${file}.not`), /cannot be read.*hearth release init/s);
    for (const text of ['', '{}', releases.root.replace(/"version":\s*1/, '"version":2')]) {
      writeFileSync(file, text);
      assert.throws(() => readRootOfTrust(file), /is no root of trust/, text.slice(0, 20));
    }
  });
});
