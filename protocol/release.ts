import * as z from 'zod';
import { HearthError } from './errors.ts';

/** What a box's executable runs on; as packages and artefacts are named. */
export const ARCHITECTURES = ['armv7', 'arm64', 'x64'] as const;
export const architectureSchema = z.enum(ARCHITECTURES);
export type Architecture = z.infer<typeof architectureSchema>;

/** The architecture of a Node's `process.arch`; null for one no artefact is made for. */
export function architectureOf(processArch: string): Architecture | null {
  const known: Record<string, Architecture> = { arm: 'armv7', arm64: 'arm64', x64: 'x64' };
  return known[processArch] ?? null;
}

/** Three numbers: what packages of every format can say. */
export const releaseVersionSchema = z
  .string()
  .regex(/^(0|[1-9]\d{0,5})(\.(0|[1-9]\d{0,5})){2}$/, 'must be a version such as 1.4.0');

/** Below zero: `a` is older than `b`. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number));
  for (let at = 0; at < 3; at++) {
    const difference = (left?.[at] ?? 0) - (right?.[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Metadata files as boxes ask for them. */
export const METADATA_NAME = /^(timestamp|[1-9]\d{0,15}\.(root|snapshot|targets))\.json$/;

/** Largest artefact a box fetches, bytes. */
export const ARTEFACT_BYTES = 256 * 1024 * 1024;
/** Versions that one may go back from. */
export const ROLLBACKS_PER_RELEASE = 100;

/** What is signed of an artefact beside its length and SHA-256: `custom` of its TUF target. */
export const releaseTermsSchema = z.object({
  version: releaseVersionSchema,
  architecture: architectureSchema,
  /** The oldest version that can be replaced by this one. */
  minimumFrom: releaseVersionSchema,
  /** Newer versions that may be replaced by this one: the only way back there is. */
  rollbackFrom: z.array(releaseVersionSchema).max(ROLLBACKS_PER_RELEASE).default([]),
});
export type ReleaseTerms = z.infer<typeof releaseTermsSchema>;

/** One executable of one version, as verified metadata names it. */
export interface Artefact extends ReleaseTerms {
  sizeBytes: number;
  sha256: string;
}

/** An artefact's name in the targets metadata. The architecture is part of it, and of the signed terms as well. */
export function artefactName(version: string, architecture: Architecture): string {
  return `hearth-agent/${version}/${architecture}`;
}

/** What a box knows of itself when it is to judge a release. */
export interface Installed {
  architecture: Architecture;
  version: string;
  /** The highest version that ever proved healthy here, or was packaged. */
  highest: string;
}

/**
 * Whether a box may go to an artefact.
 * @throws HearthError `release_unsuitable` (another architecture, or too far a step), `release_rollback`
 */
export function assertSuitable(artefact: ReleaseTerms, box: Installed): void {
  const { version, architecture, minimumFrom, rollbackFrom } = artefact;
  if (architecture !== box.architecture) {
    throw new HearthError(
      'release_unsuitable',
      `${version} for ${architecture} cannot run on ${box.architecture}`,
    );
  }
  if (compareVersions(version, box.version) < 0 || compareVersions(version, box.highest) < 0) {
    if (rollbackFrom.includes(box.version)) return;
    throw new HearthError(
      'release_rollback',
      `${version} is older than ${box.highest}, and is not signed as a way back from ${box.version}`,
    );
  }
  if (compareVersions(box.version, minimumFrom) < 0) {
    throw new HearthError(
      'release_unsuitable',
      `${version} needs ${minimumFrom} first; this box has ${box.version}`,
    );
  }
}

// ---------------------------------------------------------------------------------------------- on the wire

export const updateIdSchema = z.string().regex(/^[a-z0-9-]{1,60}$/, 'must be an update id');

export const UPDATE_STATES = [
  /** Nothing is wanted, or what was wanted has ended. */
  'idle',
  /** Something must be so before it goes on: `reason` says what. */
  'waiting',
  'downloading',
  /** Verified and beside the running version; it is about to be switched to. */
  'installed',
  /** It runs, and has not proved itself yet. */
  'trial',
  'updated',
  'failed',
] as const;
export const updateStateSchema = z.enum(UPDATE_STATES);
export type UpdateState = z.infer<typeof updateStateSchema>;

const text = z.string().max(200);

/** How an update stands; what it says is the whole of it, so one that comes twice or late does no harm. */
export const updateProgressSchema = z.object({
  updateId: updateIdSchema,
  version: releaseVersionSchema,
  state: updateStateSchema,
  bytesDone: z.int().min(0),
  sizeBytes: z.int().min(0),
  reason: z.object({ code: text, message: text }).nullable(),
});
export type UpdateProgress = z.infer<typeof updateProgressSchema>;

/** From a box that can be updated: after hello, and on each change. A box that never says it is never ordered to. */
export const updateReportSchema = z.object({
  architecture: architectureSchema,
  version: releaseVersionSchema,
  /** What runs: the package's own version, or one that was installed beside it. */
  runs: z.enum(['packaged', 'installed']),
  packaged: releaseVersionSchema,
  /** The version of the root of trust it has; null: none, so that it takes no update. */
  rootVersion: z.int().min(1).nullable(),
  /** The update under way, or the last that ended. */
  update: updateProgressSchema.nullable(),
});
export type UpdateReport = z.infer<typeof updateReportSchema>;

const httpUrl = z.url({ protocol: /^https?$/ }).max(300);

/** The order: come to this version. Null: nothing is wanted any more; what has not been switched to is dropped. */
export const updateOrderSchema = z
  .object({
    updateId: updateIdSchema,
    version: releaseVersionSchema,
    /** Files are at `<this>/<name>`: `timestamp.json`, `2.root.json`, ... */
    metadataUrl: httpUrl,
    /** Artefacts are at `<this>/<SHA-256>`. */
    artefactsUrl: httpUrl,
    /** Hours of the household's day in which it may be switched; from = to: any. */
    window: z.object({ fromHour: z.int().min(0).max(23), toHour: z.int().min(0).max(23) }).nullable(),
  })
  .nullable();
export type UpdateOrder = NonNullable<z.infer<typeof updateOrderSchema>>;
