import { errnoOf } from '#agent/durable/durable-file.ts';
import { FULL } from './disk-finding.ts';
import type { DiskSpot } from './disk-place.ts';
import { DiskLayout } from './layout.ts';
import type { DiskMemory, Marker, Self } from './marker.ts';
import { markerFor, readMarker, writeMarker } from './marker.ts';
import { pinned } from './pinned.ts';

/** Sees to it that this box's disk carries its mark, and a copy of that. */
export class Marking {
  readonly #memory: DiskMemory;
  readonly #stamp: () => string;
  /** What the copy is known to say. */
  #copied = '';

  constructor(memory: DiskMemory, stamp: () => string) {
    this.#memory = memory;
    this.#stamp = stamp;
  }

  /** What the disk at this folder says of itself. */
  async read(layout: DiskLayout): Promise<{
    marker: Marker | 'damaged' | null;
    copy: Marker | 'damaged' | null;
  }> {
    const marker = await readMarker(layout.marker);
    return { marker, copy: marker === null ? await readMarker(layout.markerCopy) : null };
  }

  /**
   * Marks a disk that is ours or may become ours, as far as it is not marked yet. The disk first, then our memory of it:
   * killed in between, the next look finds a disk marked for us.
   * @returns what it is marked with
   * @throws Error from the disk
   */
  async mark(spot: DiskSpot, known: Marker | null, self: Self): Promise<Marker> {
    let marker = markerFor(self, this.#stamp(), known);
    if (known === null || known.agentId !== marker.agentId || known.boxId !== marker.boxId) {
      try {
        await pinned(spot.root, spot.device, (root) => writeMarker(new DiskLayout(root).marker, marker));
      } catch (error) {
        // Ours all the same; it gets our name when there is room.
        if (known === null || !FULL.includes(errnoOf(error))) throw error;
        marker = known;
      }
    }
    if (self.remembered !== marker.diskId) await this.#memory.write(marker.diskId);
    return marker;
  }

  /** To be called when Hearth's folders are there. @throws Error from the disk, unless it is full */
  async copy(spot: DiskSpot, marker: Marker): Promise<void> {
    const text = JSON.stringify(marker);
    if (this.#copied === text) return;
    await pinned(spot.root, spot.device, async (root) => {
      const { markerCopy } = new DiskLayout(root);
      if (JSON.stringify(await readMarker(markerCopy)) !== text) await writeMarker(markerCopy, marker);
    }).catch((error) => {
      if (!FULL.includes(errnoOf(error))) throw error;
    });
    this.#copied = text;
  }

  /** The disk has gone: another may come with the same mark. */
  forget(): void {
    this.#copied = '';
  }
}
