import path from 'node:path';
import * as z from 'zod';
import { errnoOf, readTextIfAny, writeFileDurably } from '#agent/durable/durable-file.ts';
import { HearthError } from '#protocol/errors.ts';
import type { HouseholdSettings, SettingsChange } from '#protocol/household.ts';
import { DEFAULT_HOUSEHOLD, householdSettingsSchema, settingsChangeSchema } from '#protocol/household.ts';
import { describe } from '#protocol/messages.ts';

const MOST_NAMES = 64;
const savedSchema = householdSettingsSchema.extend({
  /** Absent in files of before choices were told apart. */
  chosen: z.array(z.string().max(64)).max(MOST_NAMES).optional(),
});

/** Sections whose fields are chosen one by one. */
const SECTIONS = ['disk', 'uplink'] as const;

export type SettingsListener = (now: HouseholdSettings, before: HouseholdSettings) => void;

/**
 * What the household decided, on the internal flash: written only when it changes its mind. The file holds what was
 * in force, whole, so that an older program can read it, and the names of what was chosen: all else follows the
 * defaults, which are this box's options and may be others after a restart. A file that cannot be read as settings
 * is left as it is, and the defaults hold: bounds on the uplink are among them.
 */
export class Household {
  readonly #file: string;
  readonly #listeners: SettingsListener[] = [];
  #now: HouseholdSettings;
  #chosen: ReadonlySet<string> = new Set();
  #turn: Promise<unknown> = Promise.resolve();

  /** @param defaults what holds where the household has said nothing */
  static async open(stateDir: string, defaults: HouseholdSettings): Promise<Household> {
    const file = path.join(stateDir, 'household.json');
    const household = new Household(file, defaults);
    try {
      const text = await readTextIfAny(file);
      if (text !== null) {
        const saved = savedSchema.parse(JSON.parse(text));
        household.#chosen = new Set(saved.chosen ?? unlikeTheCarton(saved));
        household.#now = over(defaults, saved, household.#chosen);
      }
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
   * Sets what is named, which thereby is the household's own choice; returns once that is durable.
   * @throws HearthError `bad_request` with what is wrong
   */
  change(change: SettingsChange): Promise<HouseholdSettings> {
    const checked = settingsChangeSchema.safeParse(change);
    if (!checked.success) return Promise.reject(new HearthError('bad_request', describe(checked.error)));
    const result = this.#turn.then(async () => {
      const before = this.#now;
      const named = leavesOf(checked.data);
      const next = over(before, checked.data, new Set(named));
      const same = JSON.stringify(next) === JSON.stringify(before);
      // What is confirmed is chosen too; that nothing was said stays so.
      const said = named.filter(
        (name) => inSettings(next, name) !== null || inSettings(before, name) !== null || name.includes('.'),
      );
      const chosen = new Set([...this.#chosen, ...said]);
      if (same && chosen.size === this.#chosen.size) return before;
      await writeFileDurably(this.#file, `${JSON.stringify({ ...next, chosen: [...chosen] })}\n`);
      this.#now = next;
      this.#chosen = chosen;
      this.damaged = false;
      if (same) return next;
      for (const listener of this.#listeners) listener(next, before);
      return next;
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

/** The names of what a change names: `language`, `uplink.schedule`. */
function leavesOf(change: SettingsChange): string[] {
  return Object.entries(change).flatMap(([name, value]) =>
    isSection(name)
      ? Object.entries(value ?? {}).flatMap(([field, inner]) =>
          inner === undefined ? [] : [`${name}.${field}`],
        )
      : value === undefined
        ? []
        : [name],
  );
}

/** `from`'s values for the names, `base`'s for all else. */
function over(base: HouseholdSettings, from: SettingsChange, names: ReadonlySet<string>): HouseholdSettings {
  const picked = (part: object, prefix = '') =>
    Object.fromEntries(Object.entries(part).filter(([name]) => names.has(`${prefix}${name}`)));
  const sections = SECTIONS.map((name) => {
    const part = picked(from[name] ?? {}, `${name}.`);
    return [name, Object.keys(part).length > 0 ? { ...base[name], ...part } : base[name]];
  });
  return { ...base, ...picked(from), ...Object.fromEntries(sections) };
}

/** An older file does not say what was chosen: what is as it came from the carton was not. */
function unlikeTheCarton(saved: HouseholdSettings): string[] {
  return leavesOf(saved).filter(
    (name) => JSON.stringify(inSettings(saved, name)) !== JSON.stringify(inSettings(DEFAULT_HOUSEHOLD, name)),
  );
}

function inSettings(settings: HouseholdSettings, name: string): unknown {
  return name.split('.').reduce<unknown>((value, key) => Object(value)[key], settings);
}

function isSection(name: string): name is (typeof SECTIONS)[number] {
  return SECTIONS.some((section) => section === name);
}
