import { createHash, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import type { Artefact } from '#protocol/release.ts';
import {
  makeRoot,
  makeSnapshot,
  makeTargets,
  makeTimestamp,
  type Signers,
} from '#protocol/release-signing.ts';

const DAY_MS = 86_400_000;

/** Who holds the keys, for tests: makes the files that are published. */
export class RepositoryFixture {
  key: KeyObject = generateKeyPairSync('ed25519').privateKey;
  version = 0;
  rootVersion = 1;
  readonly artefacts: Artefact[] = [];
  readonly bytes = new Map<string, Buffer>();
  readonly roots: Record<string, string> = {};

  constructor() {
    this.roots['1.root.json'] = makeRoot(1, Date.now() + 365 * DAY_MS, this.#signers());
  }

  /** An executable of random bytes. */
  add(version: string, more: Partial<Artefact> = {}, sizeBytes = 3_000_000): Artefact {
    const bytes = randomBytes(sizeBytes);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    this.bytes.set(sha256, bytes);
    const artefact: Artefact = {
      version,
      architecture: 'arm64',
      minimumFrom: '0.0.0',
      rollbackFrom: [],
      sizeBytes,
      sha256,
      ...more,
    };
    this.artefacts.push(artefact);
    return artefact;
  }

  rotate(): void {
    const before = this.key;
    this.key = generateKeyPairSync('ed25519').privateKey;
    this.rootVersion++;
    this.roots[`${this.rootVersion}.root.json`] = makeRoot(
      this.rootVersion,
      Date.now() + 365 * DAY_MS,
      this.#signers(),
      [before],
    );
  }

  /** Everything signed anew at one version higher. */
  files(expiresMs = Date.now() + 30 * DAY_MS, key = this.key): Record<string, string> {
    const version = ++this.version;
    const targets = makeTargets(version, expiresMs, this.artefacts, [key]);
    const snapshot = makeSnapshot(version, expiresMs, { version, text: targets }, [key]);
    return {
      ...this.roots,
      'timestamp.json': makeTimestamp(version, expiresMs, { version, text: snapshot }, [key]),
      [`${version}.snapshot.json`]: snapshot,
      [`${version}.targets.json`]: targets,
    };
  }

  #signers(): Signers {
    const one = { keys: [this.key], threshold: 1 };
    return { root: one, targets: one, snapshot: one, timestamp: one };
  }
}
