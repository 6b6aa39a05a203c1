import { randomUUID } from 'node:crypto';
import { LIMITS } from '#protocol/limits.ts';
import type { AssetReport, UpMessage } from '#protocol/messages.ts';
import { PROTOCOL_VERSION } from '#protocol/messages.ts';

/** Fewer than the protocol allows: with the longest of reasons a page still fits a message. */
const ENTRIES = Math.min(200, LIMITS.indexEntriesPerPage);

/**
 * The index of what the box holds, in pages, each made when it is asked for, with as many as there are now. What comes while they are being made
 * is on the last page, as far as that has room, and has a report of its own. An empty index has one page.
 */
export function* indexPages(
  reports: Iterable<AssetReport>,
  count: number,
  at: string,
): Generator<UpMessage<'index'>> {
  const indexId = randomUUID();
  const entries = reports[Symbol.iterator]();
  const pages = Math.min(LIMITS.indexPages, Math.max(1, Math.ceil(count / ENTRIES)));
  for (let page = 0; page < pages; page++) {
    const assets: AssetReport[] = [];
    while (assets.length < ENTRIES) {
      const { value: report, done } = entries.next();
      if (done) break;
      assets.push(report);
    }
    yield { v: PROTOCOL_VERSION, at, indexId, page, pages, assets };
  }
}
