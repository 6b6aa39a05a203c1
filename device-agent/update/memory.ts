import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { readTextIfAny, removeDurably, writeFileDurably } from '#agent/durable/durable-file.ts';
import { HearthError } from '#protocol/errors.ts';
import { releaseVersionSchema, updateIdSchema } from '#protocol/release.ts';
import type { TrustedMetadata } from '#protocol/release-trust.ts';

/** An installed executable. */
export interface Slot {
  sha256: string;
  version: string;
  file: string;
}

/** What the launcher goes by. */
export interface Choice {
  /** To prove itself. */
  trial: Slot | null;
  /** Has proved itself; null: the packaged version. */
  kept: Slot | null;
}

const recordSchema = z.object({
  v: z.literal(1),
  /** The highest version that ever proved itself here. */
  highest: releaseVersionSchema,
  /** What was kept before: a way back that need not be fetched. */
  before: z.object({ sha256: z.string(), version: releaseVersionSchema, file: z.string() }).nullable(),
  /** The switch under way or the last that ended. */
  update: z
    .object({
      updateId: updateIdSchema,
      version: releaseVersionSchema,
      sha256: z.string(),
      state: z.enum(['trial', 'updated', 'failed']),
      reason: z.object({ code: z.string(), message: z.string() }).nullable(),
    })
    .nullable(),
});
/** What is remembered of updates. */
export type UpdateRecord = z.infer<typeof recordSchema>;

const trustSchema = z.object({
  root: z.string(),
  timestamp: z.string().nullable(),
  snapshot: z.string().nullable(),
  targets: z.string().nullable(),
});

const LINE = /^(trial|kept) ([0-9a-f]{64}) (\S+) (\/.+)$/;

/**
 * What the box remembers of updates, in `update/` of the state directory: on internal flash, and so written a few
 * times for each update and never otherwise. Each file is replaced whole.
 */
export class UpdateMemory {
  readonly #dir: string;

  constructor(stateDir: string) {
    this.#dir = path.join(stateDir, 'update');
  }

  async readChoice(): Promise<Choice> {
    const lines = ((await readTextIfAny(this.#at('choice'))) ?? '').split('\n');
    const slots = new Map<string, Slot>();
    // As the launcher reads it: without its end it is none.
    for (const line of lines.includes('end') ? lines : []) {
      const [, kind = '', sha256 = '', version = '', file = ''] = LINE.exec(line) ?? [];
      if (kind) slots.set(kind, { sha256, version, file });
    }
    return { trial: slots.get('trial') ?? null, kept: slots.get('kept') ?? null };
  }

  /** @throws HearthError `bad_request` for a folder whose name no line can hold */
  async writeChoice({ trial, kept }: Choice): Promise<void> {
    const line = (kind: string, slot: Slot | null) => {
      if (!slot) return [];
      const text = `${kind} ${slot.sha256} ${slot.version} ${slot.file}`;
      // A shell reads it: what it would take apart differently is not written.
      if (!LINE.test(text) || /[\\\n\r]|\s$/.test(text)) {
        throw new HearthError(
          'bad_request',
          `${path.dirname(slot.file)} cannot hold updates: rename the mount point`,
        );
      }
      return [text];
    };
    const lines = ['hearth-choice 1', ...line('trial', trial), ...line('kept', kept), 'end', ''];
    await this.#write('choice', lines.join('\n'));
  }

  /** Starts on trial are counted anew. */
  async forgetStarts(): Promise<void> {
    await this.#open();
    await removeDurably(this.#at('starts'));
  }

  /** @param packaged the version that counts as the highest where nothing is remembered */
  async readRecord(packaged: string): Promise<UpdateRecord> {
    const text = await readTextIfAny(this.#at('record.json'));
    const read = recordSchema.safeParse(parsed(text));
    return read.success ? read.data : { v: 1, highest: packaged, before: null, update: null };
  }
  async writeRecord(record: UpdateRecord): Promise<void> {
    await this.#write('record.json', JSON.stringify(record));
  }

  async readTrust(): Promise<TrustedMetadata | null> {
    const read = trustSchema.safeParse(parsed(await readTextIfAny(this.#at('trust.json'), 4 * 1024 * 1024)));
    return read.success ? read.data : null;
  }
  async writeTrust(trust: TrustedMetadata): Promise<void> {
    await this.#write('trust.json', JSON.stringify(trust));
  }

  #at(name: string): string {
    return path.join(this.#dir, name);
  }
  async #open(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
  }
  async #write(name: string, text: string): Promise<void> {
    await this.#open();
    await writeFileDurably(this.#at(name), text);
  }
}

function parsed(text: string | null): unknown {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return null;
  }
}
