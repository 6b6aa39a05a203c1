import type { UpdateOrder, UpdateProgress } from '#protocol/release.ts';
import { compareVersions } from '#protocol/release.ts';
import type { Launched } from './launched.ts';
import type { Choice, Slot, UpdateMemory, UpdateRecord } from './memory.ts';
import { settle } from './settle.ts';

type Reason = UpdateProgress['reason'];

/** What is installed and what came of updates, in memory as it is on flash: written first, believed then. */
export class Standing {
  readonly #memory: UpdateMemory;
  readonly #version: string;
  readonly #launched: Launched;
  #record: UpdateRecord;
  #choice: Choice = { trial: null, kept: null };

  constructor(memory: UpdateMemory, version: string, launched: Launched) {
    this.#memory = memory;
    this.#version = version;
    this.#launched = launched;
    this.#record = { v: 1, highest: launched.packagedVersion, before: null, update: null };
  }

  get record(): UpdateRecord {
    return this.#record;
  }

  /** What must not be removed from the disk, by SHA-256. */
  needed(): Set<string> {
    const { trial, kept } = this.#choice;
    return new Set([trial, kept, this.#record.before].flatMap((slot) => slot?.sha256 ?? []));
  }

  /** Takes up what the launcher left. */
  async open(): Promise<{ onTrial: boolean; awaited: Slot | null }> {
    const choice = await this.#memory.readChoice();
    const record = await this.#memory.readRecord(this.#launched.packagedVersion);
    const settled = settle(this.#version, this.#launched, choice, record);
    // What came of a trial is noted before the choice forgets it.
    if (JSON.stringify(settled.record) !== JSON.stringify(record)) await this.#remember(settled.record);
    this.#record = settled.record;
    if (JSON.stringify(settled.choice) !== JSON.stringify(choice)) await this.#choose(settled.choice);
    this.#choice = settled.choice;
    return settled;
  }

  /**
   * Puts a version on trial; from then on it is the launcher's.
   * @param slot null: the packaged version
   */
  async beginTrial({ updateId, version }: UpdateOrder, slot: Slot | null, sha256: string): Promise<void> {
    const { kept } = this.#choice;
    const update = { updateId, version, sha256, state: 'trial' as const, reason: null };
    await this.#remember({ ...this.#record, before: kept ?? this.#record.before, update });
    await this.#memory.forgetStarts();
    await this.#choose(slot ? { trial: slot, kept } : { trial: null, kept: null });
  }

  /** This version has proved itself: it is kept. The choice is what counts, and is written first. */
  async keep(): Promise<void> {
    await this.#choose({ trial: null, kept: this.#choice.trial });
    const { update, highest } = this.#record;
    const isHighest = compareVersions(this.#version, highest) > 0;
    await this.#remember({
      ...this.#record,
      highest: isHighest ? this.#version : highest,
      update: update && { ...update, state: 'updated', reason: null },
    });
  }

  /** This version could not prove itself: what was kept before is started the next time. */
  async giveUp(reason: Reason): Promise<void> {
    const { update } = this.#record;
    await this.#remember({ ...this.#record, update: update && { ...update, state: 'failed', reason } });
    await this.#choose({ ...this.#choice, trial: null });
  }

  /** An order has ended without a switch. */
  async ended(
    { updateId, version }: UpdateOrder,
    state: 'updated' | 'failed',
    reason: Reason,
  ): Promise<void> {
    await this.#remember({ ...this.#record, update: { updateId, version, sha256: '', state, reason } });
  }

  async #choose(choice: Choice): Promise<void> {
    await this.#memory.writeChoice(choice);
    this.#choice = choice;
  }

  async #remember(record: UpdateRecord): Promise<void> {
    await this.#memory.writeRecord(record);
    this.#record = record;
  }
}
