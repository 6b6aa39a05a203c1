import { randomUUID } from 'node:crypto';
import { LIMITS } from '#protocol/limits.ts';
import type { AssetReport, UpMessage } from '#protocol/messages.ts';
import { PROTOCOL_VERSION } from '#protocol/messages.ts';

/** Fewer than the protocol allows: with the longest of reasons a page still fits a message. */
const ENTRIES = Math.min(200, LIMITS.indexEntriesPerPage);

/** The index of what the box holds, in pages. An empty one has one page. */
export function* indexPages(reports: readonly AssetReport[], at: string): Generator<UpMessage<'index'>> {
  const indexId = randomUUID();
  const pages = Math.min(LIMITS.indexPages, Math.max(1, Math.ceil(reports.length / ENTRIES)));
  for (let page = 0; page < pages; page++) {
    const assets = reports.slice(page * ENTRIES, (page + 1) * ENTRIES);
    yield { v: PROTOCOL_VERSION, at, indexId, page, pages, assets };
  }
}
