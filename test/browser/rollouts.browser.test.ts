import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { RepositoryFixture } from '#fleet/releases/repository-fixture.ts';
import type { UpdateProgress } from '#protocol/release.ts';
import {
  type RolloutDetail,
  releasesSchema,
  rolloutDetailSchema,
  rolloutListSchema,
} from '#protocol/rollout.ts';
import { enrolRaw, RawBox, type RawIdentity } from '#test/support/raw-box.ts';
import { type TestSystem, useSystem } from '#test/support/system.ts';
import { needsTool } from '#test/support/tools.ts';
import { fleetEn } from '#webui/fleet/messages/en.ts';
import { fleetZh } from '#webui/fleet/messages/zh.ts';
import { nameOf, textsOf, useBrowser, VIEWS } from './browser.ts';

/** A box as another implementation would be: it says how it stands with an update. */
class UpdatingBox {
  readonly identity: RawIdentity;
  readonly #link: RawBox;

  private constructor(identity: RawIdentity, link: RawBox) {
    this.identity = identity;
    this.#link = link;
  }

  static async make(system: TestSystem, label: string): Promise<UpdatingBox> {
    const identity = await enrolRaw(system, label);
    const link = await RawBox.connect(identity);
    await link.hello(identity);
    const box = new UpdatingBox(identity, link);
    await box.say('1.0.0', null);
    return box;
  }

  async say(version: string, update: UpdateProgress | null): Promise<void> {
    const more = { packaged: '1.0.0', runs: 'installed', rootVersion: 1, architecture: 'arm64' };
    assert.ok(await this.#link.send(this.identity, 'update', { ...more, version, update }));
  }

  close(): Promise<void> {
    return this.#link.close();
  }
}

describe('the console rolls a release out', needsTool('chromium', 'fonts-cjk'), () => {
  // Boxes that say nothing but how their update stands: nobody is to think them gone.
  const get = useSystem({ boxes: 0, fleetEnv: { HEARTH_HEARTBEAT_MS: '600000' } });
  const { open } = useBrowser();
  const boxes = new Map<string, UpdatingBox>();
  after(async () => {
    for (const box of boxes.values()) await box.close();
  });

  async function published(system: TestSystem): Promise<void> {
    const { releases } = await system.api.get('/releases', releasesSchema);
    if (releases.length > 0) return;
    const repository = new RepositoryFixture();
    repository.add('1.0.0', { rollbackFrom: ['1.1.0'] }, 1000);
    repository.add('1.1.0', {}, 1000);
    repository.add('1.2.0', {}, 1000);
    for (const [sha256, bytes] of repository.bytes) {
      await system.api.upload(`/updates/artefacts/${sha256}`, new Blob([new Uint8Array(bytes)]));
    }
    await system.api.post('/releases', { files: repository.files() }, releasesSchema);
    for (const label of ['Attic', 'Mill', 'Harbour']) boxes.set(label, await UpdatingBox.make(system, label));
  }

  for (const view of VIEWS) {
    it(`begins, watches, halts, resumes and ends it: ${nameOf(view)}`, async () => {
      const system = get();
      await published(system);
      const t = textsOf(view, fleetEn, fleetZh);
      const visit = await open(view, system.api.url);
      const { page } = visit;
      const dialog = page.getByRole('dialog');
      const field = (label: string) => dialog.getByLabel(label, { exact: true });
      const asked = (id: string): Promise<RolloutDetail> =>
        system.api.get(`/rollouts/${id}`, rolloutDetailSchema);
      /** Each box that has been told does as it says; waits until there is one. */
      const told = (id: string, state: 'downloading' | 'updated' | 'failed' | 'waiting') =>
        waitFor(
          async () => {
            const { targets, version } = await asked(id);
            const ordered = targets.filter((target) => target.state === 'ordered');
            for (const { boxId } of ordered) {
              const box = [...boxes.values()].find((one) => one.identity.boxId === boxId);
              const reasons: Record<string, { code: string; message: string }> = {
                failed: { code: 'update_crashed', message: 'it ended three times' },
                waiting: { code: 'window', message: 'it is not the time of day for it' },
              };
              await box?.say(state === 'updated' ? version : '1.0.0', {
                ...{ updateId: `${id}-on-1`, version, state, bytesDone: 400, sizeBytes: 1000 },
                reason: reasons[state] ?? null,
              });
            }
            return ordered.length > 0 || null;
          },
          `no box was told: ${state}`,
          { timeoutMs: 60_000 },
        );
      const newest = async () => (await system.api.get('/rollouts', rolloutListSchema)).items[0]?.id ?? '';

      visit.expect(/401 .*\/api\/v1\/session/);
      await page.getByLabel(t('login.username')).fill('admin');
      await page.getByLabel(t('common.password'), { exact: true }).fill('correct horse battery');
      await visit.press(t('common.login'));
      await page.getByRole('heading', { level: 1, name: t('nav.overview') }).waitFor();
      const go = async () => {
        if (view.width < 960) await visit.press(t('common.menu'));
        await page
          .getByRole('navigation')
          .getByRole('link', { name: t('nav.rollouts'), exact: true })
          .click();
        await page.getByRole('heading', { level: 1, name: t('nav.rollouts'), exact: true }).waitFor();
      };
      const begin = async (version: string, waves: string) => {
        await go();
        await visit.press(t('rollouts.start'));
        await field(t('rollouts.version')).selectOption(version);
        await field(t('rollouts.waves.field')).fill(waves);
        await field(t('rollouts.soak')).selectOption('none');
      };

      // The form, once wrong; with hours; then it is under way.
      await begin('1.1.0', '50, 20');
      await field(t('rollouts.success')).fill('all');
      await field(t('rollouts.window')).check();
      await field(t('rollouts.window.from')).selectOption('22');
      await dialog.getByRole('button', { name: t('rollouts.start.do'), exact: true }).click();
      await visit.sees(t('rollouts.waves.fault'));
      await visit.sees(t('rollouts.success.fault'));
      await visit.check('rollouts start');
      await field(t('rollouts.waves.field')).fill('30, 100');
      await field(t('rollouts.success')).fill('90');
      await dialog.getByRole('button', { name: t('rollouts.start.do'), exact: true }).click();
      await page
        .getByRole('heading', { level: 1, name: t('rollouts.title', { version: '1.1.0' }) })
        .waitFor();
      const good = await newest();
      await told(good, 'downloading');
      await visit.sees(t('rollouts.wave.now'));
      await visit.sees(/40\s?%/);
      await told(good, 'waiting');
      await visit.sees(t('rollouts.waits.window'));
      await visit.check('rollouts running');
      await visit.press(t('rollouts.do.pause'));
      await visit.sees(t('rollouts.state.paused'));
      await visit.press(t('rollouts.do.resume'));
      await visit.sees(t('rollouts.state.running'));
      await told(good, 'updated');
      await visit.sees(t('rollouts.event.wave_begun', { n: 2 }));
      await told(good, 'updated');
      await visit.sees(t('rollouts.state.finished'));
      await visit.check('rollouts finished');

      // All of it is taken back: on its way, one after the other, done.
      await visit.press(t('rollouts.do.roll-back', { version: '1.0.0' }));
      await visit.sees(t('rollouts.ask', { version: '1.0.0' }));
      await dialog.getByRole('button', { name: t('rollouts.do.roll-back', { version: '1.0.0' }) }).click();
      await visit.sees(t('rollouts.state.rolling_back'));
      await visit.sees(t('rollouts.event.rolling_back', { version: '1.0.0' }));
      const updateId = `${good}-back-1`;
      const goesBack = { updateId, version: '1.0.0', bytesDone: 700, sizeBytes: 1000, reason: null };
      const [one, ...others] = boxes.values();
      await one?.say('1.1.0', { ...goesBack, state: 'downloading' });
      await visit.sees(/70\s?%/);
      await others[0]?.say('1.0.0', { ...goesBack, state: 'updated' });
      await visit.sees(t('rollouts.progress.reverted', { n: 1 }));
      await visit.sees(t('rollouts.target.reverting'));
      await visit.check('rollouts rolling back');
      await go();
      await visit.sees(t('rollouts.state.rolling_back'));
      await visit.sees(new RegExp(t('rollouts.progress.reverting', { n: 2 })));
      await visit.check('rollouts list, rolling back');
      await page.getByRole('link', { name: '1.1.0' }).first().click();
      for (const box of boxes.values()) await box.say('1.0.0', { ...goesBack, state: 'updated' });
      // Not its state, which some languages call as that of a box.
      await visit.sees(t('rollouts.event.rolled_back'));

      // One that fails at the first box: nothing is signed as the way back.
      await begin('1.2.0', '30, 100');
      await dialog.getByRole('button', { name: t('rollouts.start.do'), exact: true }).click();
      await page
        .getByRole('heading', { level: 1, name: t('rollouts.title', { version: '1.2.0' }) })
        .waitFor();
      const bad = await newest();
      assert.notEqual(bad, good);
      await told(bad, 'failed');
      await visit.sees(t('rollouts.state.halted'));
      await visit.sees(t('rollouts.reason.failures', { failed: 1, all: 1, allowed: 0 }));
      await visit.sees(t('error.update_crashed'));
      await visit.check('rollouts halted');
      await go();
      await visit.sees(t('rollouts.progress.failed', { n: 1 }));
      await visit.check('rollouts list');
      await page.getByRole('link', { name: '1.2.0' }).first().click();
      await visit.press(t('rollouts.do.cancel'));
      await visit.check('rollouts cancel');
      await dialog.getByRole('button', { name: t('rollouts.cancel.do') }).click();
      await visit.sees(t('rollouts.state.cancelled'));

      visit.quiet('rollouts');
      // The next one begins as this one did.
      for (const box of boxes.values()) await box.say('1.0.0', null);
    });
  }
});
