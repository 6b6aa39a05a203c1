import path from 'node:path';

/** No file can be made below this: what is written before a disk was found goes nowhere. */
const NOWHERE = '/proc/self/no-disk';

/** Where everything lies on the disk folder. Nothing outside these names is ever touched. */
export class DiskLayout {
  #root: string;

  constructor(root = NOWHERE) {
    this.#root = root;
  }

  /** The folder that stands for the disk. */
  get root(): string {
    return this.#root;
  }
  /** The disk is somewhere else now. Only while nothing on it is in use. */
  moveTo(root: string): void {
    this.#root = root;
  }
  /** Every folder, those above before those below. */
  get folders(): string[] {
    return [this.home, this.objects, this.partial, this.assets, this.deliveries];
  }

  /** Says whose disk it is. */
  get marker(): string {
    return path.join(this.root, '.hearth-disk.json');
  }
  /** A copy of that: by it a disk is known again whose marker was deleted. */
  get markerCopy(): string {
    return path.join(this.home, 'disk.json');
  }
  get home(): string {
    return path.join(this.root, 'hearth');
  }
  /** Complete, verified objects, by SHA-256. */
  get objects(): string {
    return path.join(this.home, 'objects');
  }
  /** Objects being downloaded or repaired, each with a journal of the chunks it has. */
  get partial(): string {
    return path.join(this.home, 'partial');
  }
  /** What is wanted: one manifest for each asset. */
  get assets(): string {
    return path.join(this.home, 'assets');
  }
  /** Objects in other content codings, made here. */
  get encodings(): string {
    return path.join(this.home, 'encodings');
  }
  /** Delivery counts not yet settled. */
  get deliveries(): string {
    return path.join(this.home, 'deliveries');
  }
  /** Objects of a disk that was another box's: believed once they are verified, if they are wanted. */
  get adopted(): string {
    return path.join(this.home, 'adopted');
  }
  /** Written and removed to see whether a disk that failed takes writes again. */
  get probe(): string {
    return path.join(this.home, '.probe');
  }

  objectDirectory(sha256: string): string {
    return path.join(this.objects, sha256.slice(0, 2));
  }
  object(sha256: string): string {
    return path.join(this.objectDirectory(sha256), sha256);
  }
  partialObject(sha256: string): string {
    return path.join(this.partial, sha256);
  }
  journal(sha256: string): string {
    return path.join(this.partial, `${sha256}.journal`);
  }
  /** The parts of a complete object too large for one file. */
  objectParts(sha256: string): string {
    return `${this.object(sha256)}.parts`;
  }
  partialParts(sha256: string): string {
    return `${this.partialObject(sha256)}.parts`;
  }
  adoptedObject(sha256: string): string {
    return path.join(this.adopted, sha256);
  }
  adoptedParts(sha256: string): string {
    return `${this.adoptedObject(sha256)}.parts`;
  }
  /** Manifests lie in folders by the first two letters of what follows `asset-`. */
  manifestShard(assetId: string): string {
    return path.join(this.assets, assetId.slice(6, 8));
  }
  manifest(assetId: string): string {
    return path.join(this.manifestShard(assetId), `${assetId}.json`);
  }
  /** Where it lay before there were those folders. */
  oldManifest(assetId: string): string {
    return path.join(this.assets, `${assetId}.json`);
  }
}
