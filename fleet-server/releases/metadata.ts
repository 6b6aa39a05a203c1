import { eq, inArray, sql } from 'drizzle-orm';
import type { Database, Queryable } from '#fleet/database/database.ts';
import { HearthError } from '#protocol/errors.ts';
import type { Architecture, Artefact } from '#protocol/release.ts';
import { compareVersions } from '#protocol/release.ts';
import type { TrustedMetadata } from '#protocol/release-trust.ts';
import { ReleaseTrust } from '#protocol/release-trust.ts';
import type { Releases } from '#protocol/rollout.ts';
import { releaseArtefacts, releaseMetadata } from './tables.ts';

/** Any number that no other lock has: publications come one after another. */
const LOCK = 7_216_000_061;

/**
 * Stores signed metadata, after a look at it with the eyes of a box that had seen everything before: what would be
 * refused there is refused here, and so is a release whose artefacts have not been uploaded.
 * @throws HearthError `release_*`, `conflict` (an artefact is missing), `bad_request`
 */
export async function publish(
  db: Database,
  files: Record<string, string>,
  nowMs = Date.now(),
): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.execute(sql`SELECT pg_advisory_xact_lock(${LOCK})`);
    const stored = await everything(tx);
    const all = new Map([...stored, ...Object.entries(files)]);
    for (const [name, content] of Object.entries(files)) {
      const before = stored.get(name);
      if (before !== undefined && before !== content && name !== 'timestamp.json') {
        throw new HearthError(
          'conflict',
          `${name} was published before with other content: sign a higher version`,
        );
      }
    }
    const trust = trustOf(stored) ?? firstTrust(all);
    await trust.refresh(async (name) => all.get(name) ?? null, nowMs);
    const artefacts = trust.artefacts();
    await assertUploaded(tx, artefacts);
    for (const [name, content] of Object.entries(files)) {
      await tx
        .insert(releaseMetadata)
        .values({ name, content })
        .onConflictDoUpdate({ target: releaseMetadata.name, set: { content, publishedAt: new Date() } });
    }
  });
}

/** One metadata file as a box asks for it; null: there is none of that name. */
export async function metadataFile(db: Queryable, name: string): Promise<string | null> {
  const [row] = await db
    .select({ content: releaseMetadata.content })
    .from(releaseMetadata)
    .where(eq(releaseMetadata.name, name));
  return row?.content ?? null;
}

/** What is published, as it was believed when it was published; expiry is told and not judged. */
export async function published(db: Queryable): Promise<ReleaseTrust | null> {
  return trustOf(await everything(db));
}

/** `GET /releases` */
export async function listReleases(db: Queryable): Promise<Releases> {
  const trust = await published(db);
  const artefacts = trust?.artefacts() ?? [];
  const versions = [...new Set(artefacts.map(({ version }) => version))].sort((a, b) =>
    compareVersions(b, a),
  );
  const expiries = Object.values(trust?.expiries ?? {}).flatMap((expiry) =>
    expiry ? [Date.parse(expiry)] : [],
  );
  return {
    releases: versions.map((version) => ({
      version,
      artefacts: artefacts.filter((artefact) => artefact.version === version),
    })),
    rootVersion: trust?.rootVersion ?? null,
    freshUntil: expiries.length > 0 ? new Date(Math.min(...expiries)).toISOString() : null,
  };
}

/** The artefacts of a version, by architecture. */
export function artefactsOf(trust: ReleaseTrust, version: string): Map<Architecture, Artefact> {
  const all = trust.artefacts().filter((artefact) => artefact.version === version);
  return new Map(all.map((artefact) => [artefact.architecture, artefact]));
}

async function everything(db: Queryable): Promise<Map<string, string>> {
  const rows = await db.select().from(releaseMetadata);
  return new Map(rows.map(({ name, content }) => [name, content]));
}

/** The newest of each, with everything between: the chain was verified when it was published. */
function trustOf(files: Map<string, string>): ReleaseTrust | null {
  const newest = (role: string) => {
    const numbers = [...files.keys()].flatMap((name) =>
      name.endsWith(`.${role}.json`) ? [Number.parseInt(name, 10)] : [],
    );
    return numbers.length === 0 ? null : (files.get(`${Math.max(...numbers)}.${role}.json`) ?? null);
  };
  const root = newest('root');
  if (root === null) return null;
  const texts: TrustedMetadata = {
    root,
    timestamp: files.get('timestamp.json') ?? null,
    snapshot: newest('snapshot'),
    targets: newest('targets'),
  };
  return new ReleaseTrust(texts);
}

function firstTrust(files: Map<string, string>): ReleaseTrust {
  const root = files.get('1.root.json');
  if (root === undefined) {
    throw new HearthError('bad_request', 'the first publication must bring 1.root.json');
  }
  return new ReleaseTrust({ root, timestamp: null, snapshot: null, targets: null });
}

async function assertUploaded(db: Queryable, artefacts: Artefact[]): Promise<void> {
  const wanted = [...new Set(artefacts.map(({ sha256 }) => sha256))];
  if (wanted.length === 0) return;
  const rows = await db.select().from(releaseArtefacts).where(inArray(releaseArtefacts.sha256, wanted));
  const sizes = new Map(rows.map(({ sha256, sizeBytes }) => [sha256, sizeBytes]));
  const missing = artefacts.find(({ sha256, sizeBytes }) => sizes.get(sha256) !== sizeBytes);
  if (missing) {
    const { version, architecture, sha256 } = missing;
    throw new HearthError(
      'conflict',
      `the artefact ${version} for ${architecture} (${sha256}) has not been uploaded`,
    );
  }
}
