import * as z from 'zod';
import { readTextIfAny, writeFileDurably } from '#agent/durable/durable-file.ts';

/** Kept: a year of months for the quota, a month of days and two days of hours for the charts. */
export const MOST_MONTHS = 13;
export const MOST_DAYS = 31;
export const MOST_HOURS = 48;
const MOST_FILE_BYTES = 64 * 1024;

const bytes = z.int().min(0);
const countSchema = z.object({ up: bytes, down: bytes, requests: bytes });
export type Count = z.infer<typeof countSchema>;
const monthSchema = z.object({
  up: bytes,
  down: bytes,
  /** Reserved when the power went: they may have been used, and count. */
  unsure: bytes,
});
export type MonthCount = z.infer<typeof monthSchema>;

const bounded = <T extends z.ZodType>(entry: T, most: number) =>
  z
    .record(z.string().max(16), entry)
    .refine((record) => Object.keys(record).length <= most, `holds more than ${most}`);

const usageFileSchema = z.object({
  v: z.literal(1),
  /** Which run of the agent wrote it. */
  session: z.string().max(64),
  /** The month that `reserve` belongs to. */
  current: z.string().max(16),
  /** Bytes that may be used before this file is written again; 0 after a proper end. */
  reserve: bytes,
  months: bounded(monthSchema, MOST_MONTHS),
  days: bounded(countSchema, MOST_DAYS),
  hours: bounded(countSchema, MOST_HOURS),
});
export type UsageFile = z.infer<typeof usageFileSchema>;

/** @returns null when there is none, or none that can be read as one: a disk comes from outside */
export async function readUsage(file: string): Promise<UsageFile | null> {
  const text = await readTextIfAny(file, MOST_FILE_BYTES);
  if (text === null) return null;
  try {
    return usageFileSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

export async function writeUsage(file: string, usage: UsageFile): Promise<void> {
  await writeFileDurably(file, `${JSON.stringify(usage)}\n`);
}
