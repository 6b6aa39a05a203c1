import { adoptContent } from '#agent/store/adoption.ts';
import { DiskLayout } from '#agent/store/layout.ts';
import type { Marker, Self } from '#agent/store/marker.ts';
import { markerFor, readMarker, whose, writeMarker } from '#agent/store/marker.ts';
import { isFolder } from '#agent/store/object-file.ts';
import { pinned } from '#agent/store/pinned.ts';

/** A folder a disk is at. */
export interface TakenSpot {
  root: string;
  /** `major:minor`; null when it has none. */
  device: string | null;
}

/** What was found on a disk that is to be used. */
export interface Found {
  /** Why somebody must agree first: it is another box's, or nothing on it says whose it is; null: nobody need. */
  word: 'foreign' | 'unmarked' | null;
  /** The mark it keeps; null: it gets a new one. */
  known: Marker | null;
  /** What is there was another box's, or may have been: it is verified before it is used. */
  setAside: boolean;
}

/** Looks at a disk that is to be used, without touching it. @throws Error from the disk */
export async function inspect(root: string, self: Self): Promise<Found> {
  const layout = new DiskLayout(root);
  const marker = await readMarker(layout.marker);
  if (marker !== null && marker !== 'damaged') {
    // Another id than it had: the other box must not take it for its own again.
    if (whose(marker, self) === 'foreign') return { word: 'foreign', known: null, setAside: true };
    return { word: null, known: marker, setAside: false };
  }
  const copy = await readMarker(layout.markerCopy);
  const known = copy !== null && copy !== 'damaged' && whose(copy, self) === 'ours' ? copy : null;
  const hasContent = copy !== null || (await isFolder(layout.objects));
  const word = marker === 'damaged' ? 'foreign' : hasContent ? 'unmarked' : null;
  return { word, known, setAside: hasContent && known === null };
}

/**
 * Makes it this box's. What is known to be this box's stays as it is, to be verified by the check of everything held;
 * all else is set aside. Killed in between, it can be done again.
 * @returns the mark it has now
 */
export async function take(spot: TakenSpot, found: Found, self: Self, stamp: string): Promise<Marker> {
  const marker = markerFor(self, stamp, found.known);
  await pinned(spot.root, spot.device, async (root) => {
    const layout = new DiskLayout(root);
    if (found.setAside) await adoptContent(layout);
    await writeMarker(layout.marker, marker);
  });
  return marker;
}
