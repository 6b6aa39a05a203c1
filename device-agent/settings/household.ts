import path from 'node:path';
import { errnoOf, readTextIfAny, writeFileDurably } from '#agent/durable/durable-file.ts';
import { HearthError } from '#protocol/errors.ts';
import type { HouseholdSettings, SettingsChange } from '#protocol/household.ts';
import { householdSettingsSchema, settingsChangeSchema } from '#protocol/household.ts';
import { describe } from '#protocol/messages.ts';

export type SettingsListener = (now: HouseholdSettings, before: HouseholdSettings) => void;

/**
 * What the household decided, on the internal flash: written only when it changes its mind. A file that cannot be
 * read as settings is left as it is, and the defaults hold: bounds on the uplink are among them.
 */
export class Household {
  readonly #file: string;
  readonly #listeners: SettingsListener[] = [];
  #now: HouseholdSettings;
  #turn: Promise<unknown> = Promise.resolve();

  /** @param defaults what holds where the household has said nothing */
  static async open(stateDir: string, defaults: HouseholdSettings): Promise<Household> {
    const file = path.join(stateDir, 'household.json');
    const household = new Household(file, defaults);
    try {
      const text = await readTextIfAny(file);
      if (text !== null) household.#now = householdSettingsSchema.parse(JSON.parse(text));
    } catch (error) {
      if (errnoOf(error) !== '') throw error;
      household.damaged = true;
    }
    return household;
  }

  private constructor(file: string, defaults: HouseholdSettings) {
    this.#file = file;
    this.#now = defaults;
  }

  /** The file was there and could not be read: the defaults hold until something is saved. */
  damaged = false;

  get now(): HouseholdSettings {
    return this.#now;
  }

  onChange(listener: SettingsListener): void {
    this.#listeners.push(listener);
  }

  /**
   * Replaces the named sections; returns once that is durable.
   * @throws HearthError `bad_request` with what is wrong
   */
  change(change: SettingsChange): Promise<HouseholdSettings> {
    const checked = settingsChangeSchema.safeParse(change);
    if (!checked.success) return Promise.reject(new HearthError('bad_request', describe(checked.error)));
    const result = this.#turn.then(async () => {
      const before = this.#now;
      const next = { ...before, ...checked.data };
      if (JSON.stringify(next) === JSON.stringify(before)) return before;
      await writeFileDurably(this.#file, `${JSON.stringify(next)}\n`);
      this.#now = next;
      this.damaged = false;
      for (const listener of this.#listeners) listener(next, before);
      return next;
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }
}
