import { and, asc, eq, sql } from 'drizzle-orm';
import type { Database, Queryable } from '#fleet/database/database.ts';
import { notify } from '#fleet/database/listen.ts';
import { placements } from '#fleet/database/schema.ts';
import { LIMITS } from '#protocol/limits.ts';
import type { AssetReport, UpMessage } from '#protocol/messages.ts';

/**
 * Writes what a box reported of its assets. Assets it was never asked to hold are left out here: the index shows
 * them, and they are deleted by the reconciler's word only.
 */
export async function applyReports(db: Database, boxId: string, reports: AssetReport[]): Promise<void> {
  if (reports.length === 0) return;
  await db.transaction(async (tx) => {
    const changed = await writeReports(tx, boxId, reports);
    await tellRouters(tx, changed);
    await notify(tx, 'desired', boxId);
  });
}

async function writeReports(tx: Queryable, boxId: string, reports: AssetReport[]): Promise<string[]> {
  // A box may name an asset twice: its last word counts.
  const last = new Map(reports.map((report) => [report.assetId, report]));
  const rows = JSON.stringify(
    Array.from(last.values(), (report) => ({
      asset_id: report.assetId,
      sha256: report.sha256,
      state: report.state,
      bytes_done: report.bytesDone,
      code: report.reason?.code ?? null,
      message: report.reason?.message ?? null,
    })),
  );
  const result = await tx.execute<{ asset_id: string; was: string | null; now: string }>(sql`
    WITH new AS (SELECT * FROM jsonb_to_recordset(${rows}::jsonb)
      AS r (asset_id text, sha256 text, state text, bytes_done bigint, code text, message text)),
    old AS (SELECT p.asset_id, p.reported, p.reported_sha256 FROM placements p JOIN new USING (asset_id)
      WHERE p.box_id = ${boxId} ORDER BY p.asset_id FOR UPDATE OF p)
    UPDATE placements p SET reported = new.state, reported_sha256 = new.sha256, bytes_done = new.bytes_done,
      reason_code = new.code, reason_message = new.message, updated_at = now()
    FROM new, old
    WHERE p.box_id = ${boxId} AND p.asset_id = new.asset_id AND old.asset_id = new.asset_id
    RETURNING p.asset_id, old.reported AS was, p.reported AS now`);
  return result.rows.filter((row) => row.was !== row.now).map((row) => row.asset_id);
}

interface OpenIndex {
  indexId: string;
  pages: (AssetReport[] | undefined)[];
  missing: number;
  entries: number;
}

/**
 * Collects the pages of each box's newest index. Older, unfinished ones are dropped, and so are those begun longest
 * ago when all of them together grow too large: boxes may begin an index and never end it.
 */
export class IndexAssembly {
  readonly #open = new Map<string, OpenIndex>();
  readonly #maxEntries: number;
  #entries = 0;

  constructor(maxEntries: number = LIMITS.indexPages * LIMITS.indexEntriesPerPage) {
    this.#maxEntries = maxEntries;
  }

  /** @returns the whole index once its last page has come, and the boxes whose indexes were dropped */
  add(boxId: string, message: UpMessage<'index'>): { whole: AssetReport[] | null; dropped: string[] } {
    let open = this.#open.get(boxId);
    if (open?.indexId !== message.indexId || open.pages.length !== message.pages) {
      this.forget(boxId);
      open = {
        indexId: message.indexId,
        pages: new Array(message.pages),
        missing: message.pages,
        entries: 0,
      };
      this.#open.set(boxId, open);
    }
    if (message.page < message.pages && open.pages[message.page] === undefined) {
      open.pages[message.page] = message.assets;
      open.missing--;
      open.entries += message.assets.length;
      this.#entries += message.assets.length;
    }
    if (open.missing === 0) {
      this.forget(boxId);
      return { whole: open.pages.flatMap((page) => page ?? []), dropped: [] };
    }
    const dropped: string[] = [];
    for (const other of this.#open.keys()) {
      if (this.#entries <= this.#maxEntries) break;
      if (other === boxId) continue;
      this.forget(other);
      dropped.push(other);
    }
    return { whole: null, dropped };
  }

  forget(boxId: string): void {
    this.#entries -= this.#open.get(boxId)?.entries ?? 0;
    this.#open.delete(boxId);
  }
}

/**
 * Takes a whole index as the truth: what is not in it is not there.
 * @returns assets the box holds that nobody placed there: to be deleted
 */
export async function applyIndex(db: Database, boxId: string, index: AssetReport[]): Promise<AssetReport[]> {
  return db.transaction(async (tx) => {
    const before = await tx
      .select({ assetId: placements.assetId, reported: placements.reported })
      .from(placements)
      .where(eq(placements.boxId, boxId))
      .orderBy(asc(placements.assetId))
      .for('update');
    const present = new Set(index.map((entry) => entry.assetId));
    const changed = await writeReports(tx, boxId, index);
    const gone = before
      .filter((row) => !present.has(row.assetId) && row.reported !== null && row.reported !== 'deleted')
      .map((row) => row.assetId);
    if (gone.length > 0) {
      await tx
        .update(placements)
        .set({
          reported: 'deleted',
          bytesDone: 0,
          reasonCode: null,
          reasonMessage: null,
          updatedAt: new Date(),
        })
        .where(
          and(eq(placements.boxId, boxId), sql`${placements.assetId} = ANY(${sql.param(gone)}::text[])`),
        );
      changed.push(...gone);
    }
    await tellRouters(tx, changed);
    await notify(tx, 'desired', boxId);
    const placed = new Set(before.map((row) => row.assetId));
    return index.filter((entry) => !placed.has(entry.assetId));
  });
}

async function tellRouters(tx: Queryable, assetIds: string[]): Promise<void> {
  if (assetIds.length > 100) return notify(tx, 'routes');
  for (const assetId of assetIds) await notify(tx, 'routes', assetId);
}
