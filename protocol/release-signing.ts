import { createHash, createPublicKey, type KeyObject, sign } from 'node:crypto';
import {
  Key,
  Metadata,
  MetaFile,
  Root,
  Signature,
  Snapshot,
  TargetFile,
  Targets,
  Timestamp,
} from '@tufjs/models';
import type { Artefact } from './release.ts';
import { artefactName } from './release.ts';

/** Making what `release-trust.ts` checks. For whoever holds the keys, away from the fleet. */

export const ROLES = ['root', 'targets', 'snapshot', 'timestamp'] as const;
export type Role = (typeof ROLES)[number];
/** Who may sign what, and how many of them it takes. */
export type Signers = Record<Role, { keys: KeyObject[]; threshold: number }>;

const SPEC_VERSION = '1.0.31';
/** Metadata says whole seconds. */
const stamp = (ms: number) => new Date(Math.floor(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z');

/** The public half of an Ed25519 key, private or public, as TUF names it. */
export function tufKey(key: KeyObject): Key {
  const der = (key.type === 'private' ? createPublicKey(key) : key).export({ type: 'spki', format: 'der' });
  const publicHex = der.subarray(-32).toString('hex');
  const fields = { keyType: 'ed25519', scheme: 'ed25519', keyVal: { public: publicHex } };
  // The identifier is the hash of the key's canonical form (specification 4.2).
  const canonical = `{"keytype":"ed25519","keyval":{"public":"${publicHex}"},"scheme":"ed25519"}`;
  return new Key({ keyID: createHash('sha256').update(canonical).digest('hex'), ...fields });
}

function signed<T extends Root | Targets | Snapshot | Timestamp>(content: T, keys: KeyObject[]): string {
  const metadata = new Metadata<T>(content);
  for (const key of keys) {
    const { keyID } = tufKey(key);
    metadata.sign((data) => new Signature({ keyID, sig: sign(null, data, key).toString('hex') }));
  }
  return `${JSON.stringify(metadata.toJSON(), null, 1)}\n`;
}

/**
 * A root. Its successor is signed by the keys of both.
 * @param signers the new root's; @param alsoBy private keys of the root before
 */
export function makeRoot(
  version: number,
  expiresMs: number,
  signers: Signers,
  alsoBy: KeyObject[] = [],
): string {
  const root = new Root({
    version,
    specVersion: SPEC_VERSION,
    expires: stamp(expiresMs),
    consistentSnapshot: true,
  });
  for (const role of ROLES) {
    for (const key of signers[role].keys) root.addKey(tufKey(key), role);
    const named = root.roles[role];
    // The library lets a role's threshold be set only when it is made.
    if (named) Object.assign(named, { threshold: signers[role].threshold });
  }
  const by = new Map([...signers.root.keys, ...alsoBy].map((key) => [tufKey(key).keyID, key]));
  return signed(
    root,
    [...by.values()].filter((key) => key.type === 'private'),
  );
}

export function makeTargets(
  version: number,
  expiresMs: number,
  artefacts: Artefact[],
  keys: KeyObject[],
): string {
  const targets: Record<string, TargetFile> = {};
  for (const { sizeBytes, sha256, ...terms } of artefacts) {
    const path = artefactName(terms.version, terms.architecture);
    targets[path] = new TargetFile({
      path,
      length: sizeBytes,
      hashes: { sha256 },
      unrecognizedFields: { custom: { ...terms } },
    });
  }
  return signed(
    new Targets({ version, specVersion: SPEC_VERSION, expires: stamp(expiresMs), targets }),
    keys,
  );
}

export function makeSnapshot(
  version: number,
  expiresMs: number,
  targets: { version: number; text: string },
  keys: KeyObject[],
): string {
  const meta = { 'targets.json': fileOf(targets) };
  return signed(new Snapshot({ version, specVersion: SPEC_VERSION, expires: stamp(expiresMs), meta }), keys);
}

export function makeTimestamp(
  version: number,
  expiresMs: number,
  snapshot: { version: number; text: string },
  keys: KeyObject[],
): string {
  const snapshotMeta = fileOf(snapshot);
  return signed(
    new Timestamp({ version, specVersion: SPEC_VERSION, expires: stamp(expiresMs), snapshotMeta }),
    keys,
  );
}

function fileOf({ version, text }: { version: number; text: string }): MetaFile {
  const bytes = Buffer.from(text);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return new MetaFile({ version, length: bytes.length, hashes: { sha256 } });
}
