import { createHash } from 'node:crypto';
import {
  Metadata,
  MetadataKind,
  type Root,
  type Snapshot,
  type Targets,
  type Timestamp,
} from '@tufjs/models';
import { HearthError, messageOf } from './errors.ts';
import type { Architecture, Artefact } from './release.ts';
import { ARTEFACT_BYTES, artefactName, releaseTermsSchema } from './release.ts';

/** The metadata a box (or fleet) believes, as the very text that was signed. */
export interface TrustedMetadata {
  root: string;
  timestamp: string | null;
  snapshot: string | null;
  targets: string | null;
}

/** Largest metadata files, bytes; a file that is longer is refused unread. */
export const METADATA_BYTES = {
  root: 64 * 1024,
  timestamp: 16 * 1024,
  snapshot: 16 * 1024,
  targets: 512 * 1024,
};
/** Successors of a root that are followed in one go. */
export const MOST_ROOTS = 256;

/** Gets a metadata file of at most `mostBytes`; null: there is none of that name. */
export type FetchMetadata = (name: string, mostBytes: number) => Promise<string | null>;

interface Trusted {
  root: Metadata<Root>;
  timestamp: Metadata<Timestamp> | null;
  snapshot: Metadata<Snapshot> | null;
  targets: Metadata<Targets> | null;
}

/**
 * The client workflow of The Update Framework (TUF specification 1.0, section 5): a root of trust that only its
 * holders can hand on, versions that never go back, and a timestamp that must be fresh. The format is TUF's own, so
 * any TUF client can check a release.
 */
export class ReleaseTrust {
  readonly #trusted: Trusted;
  #texts: TrustedMetadata;

  /** @throws HearthError `release_malformed`, `release_signature`: what was kept is no root that signs itself */
  constructor(kept: TrustedMetadata) {
    this.#texts = { ...kept };
    const root = readRoot(kept.root);
    verify(root, 'root', root);
    this.#trusted = { root, timestamp: null, snapshot: null, targets: null };
    // What was kept was verified when it came. If the disk has damaged it, it is as if it had never come.
    this.#trusted.timestamp = quietly(() => read(MetadataKind.Timestamp, kept.timestamp));
    this.#trusted.snapshot = quietly(() => read(MetadataKind.Snapshot, kept.snapshot));
    this.#trusted.targets = quietly(() => read(MetadataKind.Targets, kept.targets));
  }

  get texts(): TrustedMetadata {
    return { ...this.#texts };
  }
  get rootVersion(): number {
    return this.#trusted.root.signed.version;
  }
  /** Versions of all four, for who wants to see whether something is new. */
  get versions() {
    const { root, timestamp, snapshot, targets } = this.#trusted;
    return {
      root: root.signed.version,
      timestamp: timestamp?.signed.version ?? 0,
      snapshot: snapshot?.signed.version ?? 0,
      targets: targets?.signed.version ?? 0,
    };
  }
  /** When each ends to be believed, ISO 8601; null: not there. */
  get expiries() {
    const { root, timestamp, snapshot, targets } = this.#trusted;
    const of = (metadata: Metadata<Root | Timestamp | Snapshot | Targets> | null) =>
      metadata?.signed.expires ?? null;
    return { root: of(root), timestamp: of(timestamp), snapshot: of(snapshot), targets: of(targets) };
  }

  /**
   * Brings what is believed up to date.
   * @param nowMs the time, as it is known and not as an unset clock says
   * @throws HearthError `release_signature`, `release_expired`, `release_rollback`, `release_malformed`; what was
   *   verified before the fault stays believed, as the specification wants it (5.3.8)
   */
  async refresh(fetch: FetchMetadata, nowMs: number): Promise<void> {
    const at = new Date(nowMs);
    await this.#refreshRoot(fetch);
    const { root } = this.#trusted;
    notExpired('root', root, at);
    const timestamp = await this.#refreshTimestamp(fetch, at);
    const snapshot = await this.#refreshSnapshot(fetch, timestamp, at);
    await this.#refreshTargets(fetch, snapshot, at);
  }

  /** The artefact of a version for an architecture, or null. Of another architecture none is ever returned. */
  artefact(version: string, architecture: Architecture): Artefact | null {
    const name = artefactName(version, architecture);
    return this.artefacts().find((one) => artefactName(one.version, one.architecture) === name) ?? null;
  }

  /** All that is believed to be released. Entries that are not ours, or contradict their own name, are left out. */
  artefacts(): Artefact[] {
    const entries = Object.entries(this.#trusted.targets?.signed.targets ?? {});
    return entries.flatMap(([name, file]) => {
      const terms = releaseTermsSchema.safeParse(file.custom);
      const sha256 = file.hashes.sha256 ?? '';
      if (!terms.success || name !== artefactName(terms.data.version, terms.data.architecture)) return [];
      if (!/^[0-9a-f]{64}$/.test(sha256) || file.length < 1 || file.length > ARTEFACT_BYTES) return [];
      return [{ ...terms.data, sizeBytes: file.length, sha256 }];
    });
  }

  /** 5.3: each successor is signed by its predecessor and by itself, and is one higher. */
  async #refreshRoot(fetch: FetchMetadata): Promise<void> {
    for (let step = 0; step < MOST_ROOTS; step++) {
      const { root } = this.#trusted;
      const next = root.signed.version + 1;
      const text = await fetch(`${next}.root.json`, METADATA_BYTES.root);
      if (text === null) return;
      const successor = readRoot(text);
      verify(root, 'root', successor);
      if (successor.signed.version !== next) {
        throw new HearthError(
          'release_rollback',
          `the root after ${next - 1} says it is ${successor.signed.version}`,
        );
      }
      verify(successor, 'root', successor);
      // 5.3.11: who rotates these keys says that the old ones may have signed versions without end.
      if (!sameKeys(root, successor, 'timestamp') || !sameKeys(root, successor, 'snapshot')) {
        this.#trusted.timestamp = this.#trusted.snapshot = null;
        this.#texts = { ...this.#texts, timestamp: null, snapshot: null };
      }
      this.#trusted.root = successor;
      this.#texts = { ...this.#texts, root: text };
    }
  }

  /** 5.4 */
  async #refreshTimestamp(fetch: FetchMetadata, at: Date): Promise<Metadata<Timestamp>> {
    const { root, timestamp: known } = this.#trusted;
    const text = required('timestamp.json', await fetch('timestamp.json', METADATA_BYTES.timestamp));
    const timestamp = read(MetadataKind.Timestamp, text);
    verify(root, 'timestamp', timestamp);
    if (known) {
      notBack('timestamp', timestamp.signed.version, known.signed.version);
      notBack('snapshot', timestamp.signed.snapshotMeta.version, known.signed.snapshotMeta.version);
    }
    // Of two with one number the first counts (5.4.3.1).
    if (known && known.signed.version === timestamp.signed.version && signedBy(root, 'timestamp', known)) {
      notExpired('timestamp', known, at);
      return known;
    }
    notExpired('timestamp', timestamp, at);
    this.#trusted.timestamp = timestamp;
    this.#texts = { ...this.#texts, timestamp: text };
    return timestamp;
  }

  /** 5.5 */
  async #refreshSnapshot(
    fetch: FetchMetadata,
    timestamp: Metadata<Timestamp>,
    at: Date,
  ): Promise<Metadata<Snapshot>> {
    const { root, snapshot: known } = this.#trusted;
    const { snapshotMeta } = timestamp.signed;
    const name = `${snapshotMeta.version}.snapshot.json`;
    const kept = intact(this.#texts.snapshot, snapshotMeta);
    const text = kept ?? required(name, await fetch(name, METADATA_BYTES.snapshot));
    matches(name, text, snapshotMeta);
    const snapshot = read(MetadataKind.Snapshot, text);
    verify(root, 'snapshot', snapshot);
    sameVersion('snapshot', snapshot.signed.version, snapshotMeta.version);
    for (const [file, { version }] of Object.entries(known?.signed.meta ?? {})) {
      notBack(file, snapshot.signed.meta[file]?.version ?? 0, version);
    }
    notExpired('snapshot', snapshot, at);
    this.#trusted.snapshot = snapshot;
    this.#texts = { ...this.#texts, snapshot: text };
    return snapshot;
  }

  /** 5.6; delegations are not used here, and metadata with some is refused. */
  async #refreshTargets(fetch: FetchMetadata, snapshot: Metadata<Snapshot>, at: Date): Promise<void> {
    const { root } = this.#trusted;
    const meta = snapshot.signed.meta['targets.json'];
    if (!meta) throw new HearthError('release_malformed', 'the snapshot names no targets');
    const name = `${meta.version}.targets.json`;
    const kept = intact(this.#texts.targets, meta);
    const text = kept ?? required(name, await fetch(name, METADATA_BYTES.targets));
    matches(name, text, meta);
    const targets = read(MetadataKind.Targets, text);
    verify(root, 'targets', targets);
    sameVersion('targets', targets.signed.version, meta.version);
    if (targets.signed.delegations) throw new HearthError('release_malformed', 'the targets are delegated');
    notExpired('targets', targets, at);
    this.#trusted.targets = targets;
    this.#texts = { ...this.#texts, targets: text };
  }
}

function read(kind: MetadataKind.Root, text: string | null): Metadata<Root>;
function read(kind: MetadataKind.Timestamp, text: string | null): Metadata<Timestamp>;
function read(kind: MetadataKind.Snapshot, text: string | null): Metadata<Snapshot>;
function read(kind: MetadataKind.Targets, text: string | null): Metadata<Targets>;
function read(kind: MetadataKind, text: string | null): Metadata<Root | Timestamp | Snapshot | Targets> {
  if (text === null) throw new HearthError('release_malformed', `there is no ${kind} metadata`);
  try {
    // The overloads of the library take one literal each.
    const metadata = Metadata.fromJSON(kind as MetadataKind.Root, JSON.parse(text));
    if (!Number.isSafeInteger(metadata.signed.version) || Number.isNaN(Date.parse(metadata.signed.expires))) {
      throw new Error('no version or expiry');
    }
    return metadata;
  } catch (cause) {
    throw new HearthError('release_malformed', `the ${kind} metadata cannot be read: ${messageOf(cause)}`, {
      cause,
    });
  }
}

function readRoot(text: string): Metadata<Root> {
  const root = read(MetadataKind.Root, text);
  for (const [name, { keyIDs, threshold }] of Object.entries(root.signed.roles)) {
    const keys = [...new Set(keyIDs)].map((id) => root.signed.keys[id]);
    const publics = new Set(keys.map((key) => key?.keyVal.public));
    // One key under two names would fill a threshold of two.
    if (threshold < 1 || publics.size !== keys.length || keys.some((key) => key?.scheme !== 'ed25519')) {
      throw new HearthError('release_malformed', `the root's keys for ${name} are not distinct Ed25519 keys`);
    }
  }
  return root;
}

type Any = Metadata<Root | Timestamp | Snapshot | Targets>;

function verify(root: Metadata<Root>, role: string, metadata: Any): void {
  try {
    root.verifyDelegate(role, metadata);
  } catch (cause) {
    throw new HearthError(
      'release_signature',
      `the ${role} metadata is not signed as it must be: ${messageOf(cause)}`,
      {
        cause,
      },
    );
  }
}

function signedBy(root: Metadata<Root>, role: string, metadata: Any): boolean {
  try {
    verify(root, role, metadata);
    return true;
  } catch {
    return false;
  }
}

function sameKeys(one: Metadata<Root>, other: Metadata<Root>, role: string): boolean {
  const ids = (root: Metadata<Root>) => [...(root.signed.roles[role]?.keyIDs ?? [])].sort().join();
  return ids(one) === ids(other);
}

function notExpired(role: string, metadata: Any, at: Date): void {
  if (metadata.signed.isExpired(at)) {
    throw new HearthError(
      'release_expired',
      `the ${role} metadata expired at ${metadata.signed.expires}: sign it anew`,
    );
  }
}

function notBack(what: string, version: number, known: number): void {
  if (version < known) {
    throw new HearthError('release_rollback', `${what} is version ${version}, ${known} was seen before`);
  }
}

function sameVersion(role: string, version: number, named: number): void {
  if (version !== named) {
    throw new HearthError(
      'release_rollback',
      `the ${role} metadata is version ${version}, ${named} was announced`,
    );
  }
}

type Announced = { length?: number | undefined; hashes?: Record<string, string> | undefined };

/** Length and SHA-256 as another file announced them; both must be announced. */
function isAnnounced(text: string, { length, hashes }: Announced): boolean {
  const bytes = Buffer.from(text);
  return length === bytes.length && hashes?.sha256 === createHash('sha256').update(bytes).digest('hex');
}

function matches(name: string, text: string, meta: Announced): void {
  if (isAnnounced(text, meta)) return;
  throw new HearthError('release_signature', `${name} is not the file that was announced`);
}

/** What was kept, unless it is another by now: then it is fetched again. */
function intact(kept: string | null, meta: Announced): string | null {
  return kept !== null && isAnnounced(kept, meta) ? kept : null;
}

function required(name: string, text: string | null): string {
  if (text === null) throw new HearthError('not_found', `${name} is not there`);
  return text;
}

function quietly<T>(work: () => T): T | null {
  try {
    return work();
  } catch {
    return null;
  }
}
