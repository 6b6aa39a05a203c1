import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { Program } from '#local/program.ts';
import { startAgent } from '#local/programs.ts';
import { testPort } from '#test/support/system.ts';
import { boxEn } from '#webui/box/messages/en.ts';
import { boxZh } from '#webui/box/messages/zh.ts';
import { textsOf, type View, type Visit } from './browser.ts';

export const PASSWORD = 'a lamp beside the door';

/** Where boxes look for a fleet that are not to find one: nobody listens there. */
export const NO_FLEET = 'http://127.0.0.1:9';

/** A box as it comes out of its carton: no password, not paired. */
export async function newBox(
  fleetUrl: string,
  lanPort: number,
  folder: string,
  env: Record<string, string> = {},
): Promise<Program> {
  return startAgent({
    name: `box at ${lanPort}`,
    stateDir: join(folder, 'state'),
    disk: join(folder, 'disk'),
    lanPort,
    contentPort: await testPort(),
    fleetUrl,
    env: {
      HEARTH_HEARTBEAT_MS: '500',
      HEARTH_DELIVERY_FLUSH_MS: '200',
      HEARTH_RETRY_MS: '300',
      HEARTH_DISK_PROBE_MS: '300',
      ...env,
    },
  });
}

/**
 * Fresh boxes for the tests of one `describe`, each with the page of a household that visits it; stopped after all.
 */
export function useBoxes(fleetUrl: () => string, open: (view: View, url: string) => Promise<Visit>) {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-browser-boxes-'));
  const agents: Program[] = [];
  after(async () => {
    await Promise.all(agents.map((agent) => agent.stop()));
    rmSync(folder, { recursive: true, force: true });
  });
  return async (name: string, view: View, env: Record<string, string> = {}) => {
    const lanPort = await testPort();
    const start = async () => {
      const agent = await newBox(fleetUrl(), lanPort, join(folder, name), env);
      agents.push(agent);
      return agent;
    };
    const agent = await start();
    const visit = await open(view, `http://127.0.0.1:${lanPort}/`);
    return { visit, t: boxTexts(view), agent, start, folder };
  };
}

/** The box's texts in the language of a view. */
export const boxTexts = (view: View) => textsOf(view, boxEn, boxZh);
export type BoxTexts = ReturnType<typeof boxTexts>;

/** Walks the first run up to a step, taking what is proposed. */
export async function walkTo(visit: Visit, t: BoxTexts, last: 'disk' | 'line' | 'pair'): Promise<void> {
  const { page } = visit;
  await visit.sees(t('wizard.language.title'));
  await visit.press(t('wizard.next'));
  await page.getByLabel(t('setup.password'), { exact: true }).fill(PASSWORD);
  await page.getByLabel(t('setup.repeat'), { exact: true }).fill(PASSWORD);
  await visit.press(t('setup.button'));
  await visit.sees(t('wizard.disk.title'));
  if (last === 'disk') return;
  await visit.press(t('wizard.next'));
  await visit.sees(t('wizard.line.title'));
  if (last === 'line') return;
  await visit.press(t('wizard.next'));
  await visit.sees(t('wizard.pair.title'));
}

/** Goes to a page, as a thumb or a mouse does. */
export async function goTo(
  visit: Visit,
  t: BoxTexts,
  page: 'home' | 'earnings' | 'storage' | 'network' | 'content' | 'activity' | 'settings' | 'logs',
): Promise<void> {
  const behindMore = ['content', 'activity', 'settings', 'logs'].includes(page);
  const nav = visit.page.getByRole('navigation');
  if (behindMore && visit.view.width < 900) {
    await nav.getByRole('link', { name: t('nav.more'), exact: true }).click();
    await visit.page
      .getByRole('main')
      .getByRole('link', { name: t(`nav.${page}`) })
      .click();
  } else {
    await nav.getByRole('link', { name: t(`nav.${page}`), exact: true }).click();
  }
  if (page !== 'home') {
    await visit.page.getByRole('heading', { level: 1, name: t(`nav.${page}`), exact: true }).waitFor();
  }
}
