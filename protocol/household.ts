import * as z from 'zod';

/** What the household decides about its box: one schema for the box's file, its API and its dashboard. */

const bytesPerSecond = z
  .int()
  .min(8 * 1024, 'at least 8 KiB a second')
  .max(12_500_000_000)
  .nullable();
const timeOfDay = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'must be a time such as 18:30');

/** Caps in bytes a second; null: none. */
export const capsSchema = z.object({ upBytesPerSecond: bytesPerSecond, downBytesPerSecond: bytesPerSecond });
export type Caps = z.infer<typeof capsSchema>;

/** Other caps on some days between two times; one that ends before it begins goes on past midnight. */
export const capWindowSchema = capsSchema.extend({
  /** 0 is Sunday, as in Date.getDay(); the days on which the window begins. */
  days: z.array(z.int().min(0).max(6)).min(1).max(7),
  from: timeOfDay,
  /** Exclusive; the same as `from` means a whole day. */
  to: timeOfDay,
});
export type CapWindow = z.infer<typeof capWindowSchema>;

export const uplinkSettingsSchema = capsSchema.extend({
  /** The first window that holds now decides; outside all of them the caps above hold. */
  schedule: z.array(capWindowSchema).max(20),
  /** Bytes sent and fetched in a calendar month; null: no bound. */
  monthlyBytes: z.int().min(0).nullable(),
});
export type UplinkSettings = z.infer<typeof uplinkSettingsSchema>;

export const diskSettingsSchema = z.object({
  /** The mount point the household picked; null: none yet. */
  mount: z.string().min(1).max(1024).nullable(),
  /** How much of the disk Hearth may fill; null: all of it but the floor. */
  quota: z
    .discriminatedUnion('unit', [
      z.object({
        unit: z.literal('bytes'),
        value: z.int().min(64 * 1024 * 1024, 'at least 64 MiB'),
      }),
      z.object({ unit: z.literal('percent'), value: z.int().min(1).max(100) }),
    ])
    .nullable(),
  /** Free space always left to the disk's owner, bytes; null: the option's. */
  floorBytes: z.int().min(0).nullable(),
});
export type DiskSettings = z.infer<typeof diskSettingsSchema>;

export const householdSettingsSchema = z.object({
  v: z.literal(1),
  language: z.enum(['en', 'zh']).nullable(),
  /** IANA name: schedules and months are the household's, and the box's own zone is mostly not set. */
  timeZone: z.string().max(64).refine(isTimeZone, 'is no time zone this box knows'),
  /** The first-run wizard was walked through to its end. */
  wizardDone: z.boolean(),
  disk: diskSettingsSchema,
  uplink: uplinkSettingsSchema,
  /** Nothing is served or fetched until then (the box's own clock, ISO 8601). */
  pausedUntil: z.iso.datetime().nullable(),
});
export type HouseholdSettings = z.infer<typeof householdSettingsSchema>;

/** A change to some of the settings: what is not named, also within a section, stays as it is. */
export const settingsChangeSchema = householdSettingsSchema
  .omit({ v: true })
  .extend({ disk: diskSettingsSchema.partial(), uplink: uplinkSettingsSchema.partial() })
  .partial();
export type SettingsChange = z.infer<typeof settingsChangeSchema>;

/**
 * Before the household has said anything. Bounds are on from the start: 10 Mbit/s up leaves
 * most uplinks usable, and the wizard's test proposes what fits.
 */
export const DEFAULT_HOUSEHOLD: HouseholdSettings = {
  v: 1,
  language: null,
  timeZone: 'UTC',
  wizardDone: false,
  disk: { mount: null, quota: null, floorBytes: null },
  uplink: {
    upBytesPerSecond: 1_250_000,
    downBytesPerSecond: 2_500_000,
    schedule: [],
    monthlyBytes: 500_000_000_000,
  },
  pausedUntil: null,
};

function isTimeZone(name: string): boolean {
  // Without asking: what knows of time zones takes 5 MB of memory from then on.
  if (name === 'UTC') return true;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
