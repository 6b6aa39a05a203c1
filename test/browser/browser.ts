import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, afterEach, before } from 'node:test';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { buildWebui } from '#local/webui.ts';
import { requireTool } from '#test/support/tools.ts';
import { fill, LANGUAGES, type Language } from '#webui/shared/i18n.ts';
import { sharedEn } from '#webui/shared/messages/en.ts';
import { sharedZh } from '#webui/shared/messages/zh.ts';

export interface View {
  width: number;
  height: number;
  language: Language;
  scheme: 'light' | 'dark';
}
export const PHONE: View = { width: 375, height: 812, language: 'en', scheme: 'light' };
export const DESK: View = { width: 1280, height: 860, language: 'en', scheme: 'dark' };
export const DESK_CHINESE: View = { ...DESK, language: 'zh-Hans' };

/**
 * How the main paths are walked. At every stop the page is looked at in both languages, light and dark, without being
 * loaded anew: `Visit.check`.
 */
export const VIEWS: readonly View[] = [PHONE, DESK_CHINESE];

export const nameOf = (view: View) => `${view.width} px, ${view.language}, ${view.scheme}`;

/** Everything a page is to show within this time; generous, for slow machines. */
const PATIENCE_MS = 45_000;

type Texts<K extends string> = { readonly [key in K]: string };

/** The dashboard's own texts in the view's language, to find things by what a person reads. */
export function textsOf<K extends string>(view: View, en: Texts<K>, zh: Texts<K>) {
  const catalogue: Record<string, string> =
    view.language === 'en' ? { ...sharedEn, ...en } : { ...sharedZh, ...zh };
  return (key: K | keyof typeof sharedEn, values: Record<string, string | number> = {}): string => {
    const text = catalogue[key];
    if (text === undefined) throw new Error(`no text ${key}`);
    return fill(text, values, view.language);
  };
}

/** A page under test: what it logs is watched, and each stop on the way is checked for what every page owes. */
export class Visit {
  readonly page: Page;
  readonly view: View;
  private readonly faults: string[] = [];
  private readonly forgiven: RegExp[] = [];
  private readonly axe: string;

  constructor(page: Page, view: View, axe: string) {
    this.page = page;
    this.view = view;
    this.axe = axe;
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('pageerror', (error) => this.faults.push(`uncaught: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() !== 'error' && message.type() !== 'warning') return;
      this.faults.push(`${message.text()} (${message.location().url})`);
    });
  }

  /** Lets the browser log an answer this step means to get, such as 401 for a wrong password. */
  expect(logged: RegExp): void {
    this.forgiven.push(logged);
  }

  /** Waits until a text can be seen. */
  async sees(text: string | RegExp): Promise<void> {
    await this.page.getByText(text).filter({ visible: true }).first().waitFor();
  }

  /** Waits until a field holds a value: what is prefilled comes with an answer of its own. */
  async holds(label: string, value: string): Promise<void> {
    const field = this.page.getByLabel(label);
    await waitFor(
      async () => ((await field.inputValue()) === value ? true : null),
      `"${label}" does not hold ${value}`,
    );
  }

  async press(name: string | RegExp): Promise<void> {
    await this.page
      .getByRole('button', { name, exact: typeof name === 'string' })
      .first()
      .click();
  }

  /** What every page owes, in both languages, light and dark: see `look`. */
  async check(stop: string): Promise<void> {
    const { page } = this;
    const worn = await page.evaluate(() => ({
      language: document.documentElement.lang,
      theme: localStorage.getItem('hearth-theme'),
    }));
    assert.equal(worn.language, this.view.language);
    for (const language of LANGUAGES) {
      for (const theme of ['light', 'dark']) {
        await this.#wear(language, theme);
        await this.look(`${stop}: ${this.view.width} px, ${language}, ${theme}`);
      }
    }
    await this.#wear(this.view.language, worn.theme);
    await this.#magnify(stop);
    this.quiet(stop);
  }

  /** Changes the look of the page as it stands, as another tab of the same browser would. */
  async #wear(language: Language, theme: string | null): Promise<void> {
    await this.page.evaluate(
      async ({ language, theme }) => {
        const tell = (key: string, newValue: string | null) =>
          window.dispatchEvent(new StorageEvent('storage', { key, newValue }));
        tell('hearth-language', language);
        tell('hearth-theme', theme);
        // Drawn once, and laid out.
        await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
      },
      { language, theme },
    );
  }

  /** WCAG 1.4.4 and 1.4.10: with letters twice as large, and 320 px wide, nothing has to be scrolled sideways to. */
  async #magnify(stop: string): Promise<void> {
    const { page, view } = this;
    const larger = (size: string) =>
      page.evaluate((size) => document.documentElement.style.setProperty('font-size', size), size);
    if (view.width > 600) {
      await larger('200%');
      await this.#fits(`${stop}: letters twice as large`);
      await larger('');
      return;
    }
    await page.setViewportSize({ width: 320, height: 640 });
    await this.#fits(`${stop}: 320 px`);
    await page.setViewportSize({ width: view.width, height: view.height });
  }

  async #fits(stop: string): Promise<void> {
    const { overflow, widest } = await this.page.evaluate(() => {
      // What it holds may reach beyond its own box.
      const beyond = [...document.querySelectorAll('body *')].filter(
        (element) => element.getBoundingClientRect().left + element.scrollWidth > window.innerWidth,
      );
      return {
        overflow: document.documentElement.scrollWidth - window.innerWidth,
        widest: beyond.slice(-3).map((element) => element.outerHTML.slice(0, 200)),
      };
    });
    assert.ok(overflow <= 0, `${stop}: scrolls sideways by ${overflow} px: ${widest.join('\n')}`);
  }

  /** No axe violation, nothing scrolling sideways. */
  async look(stop: string): Promise<void> {
    const { page } = this;
    await this.#fits(stop);
    // Evaluated by the debugger, which the page's content security policy does not bind.
    if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(this.axe);
    const violations = await page.evaluate(async () => {
      const { axe } = window as unknown as { axe: typeof import('axe-core') };
      // A colour halfway through a transition is nobody's colour.
      await Promise.all(
        document
          .getAnimations()
          .map((animation) =>
            animation.effect?.getTiming().iterations === Infinity
              ? null
              : animation.finished.catch(() => null),
          ),
      );
      const result = await axe.run(document, {
        runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
        resultTypes: ['violations'],
      });
      return result.violations.map(({ id, impact, nodes }) => ({
        id,
        impact,
        nodes: nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.failureSummary ?? ''}`),
      }));
    });
    assert.deepEqual(violations, [], `${stop}: axe`);
    const folder = process.env.HEARTH_SCREENSHOTS;
    if (!folder) return;
    mkdirSync(folder, { recursive: true });
    const name = `${stop.replace(/[^\w-]+/g, '-')}.png`;
    await page.screenshot({ path: join(folder, name), fullPage: true });
  }

  /** Nothing was logged that was not meant to be. */
  quiet(stop: string): void {
    const loud = this.faults.filter((fault) => !this.forgiven.some((pattern) => pattern.test(fault)));
    assert.deepEqual(loud, [], `${stop}: the console is not quiet`);
  }
}

/** A Chromium for the tests of one `describe`; pages are closed after each test. */
export function useBrowser(): {
  open: (view: View, url: string, more?: BrowserContextOptions) => Promise<Visit>;
} {
  let browser: Browser | null = null;
  let axe = '';
  before(async () => {
    buildWebui(() => {});
    const require = createRequire(import.meta.url);
    axe = (require('axe-core') as typeof import('axe-core')).source;
    // Chromium refuses to sandbox for root.
    const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
    browser = await chromium.launch({ executablePath: requireTool('chromium'), args });
  });
  afterEach(async () => {
    await Promise.all((browser?.contexts() ?? []).map((context) => context.close()));
  });
  after(async () => {
    await browser?.close();
  });
  return {
    open: async (view, url, more = {}) => {
      if (!browser) throw new Error('the browser has not been started');
      const context = await browser.newContext({
        viewport: { width: view.width, height: view.height },
        locale: view.language === 'en' ? 'en-GB' : 'zh-CN',
        colorScheme: view.scheme,
        reducedMotion: 'reduce',
        ...more,
      });
      const visit = new Visit(await context.newPage(), view, axe);
      await visit.page.goto(url);
      return visit;
    },
  };
}
