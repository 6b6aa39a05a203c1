import path from 'node:path';

/** Where everything lies on the disk folder. Nothing outside these names is ever touched. */
export class DiskLayout {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** Says whose disk it is. */
  get marker(): string {
    return path.join(this.root, '.hearth-disk.json');
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
  manifest(assetId: string): string {
    return path.join(this.assets, `${assetId}.json`);
  }
}
