import { and, asc, desc, eq, gt, inArray, lt, sql } from 'drizzle-orm';
import type { Queryable } from '#fleet/database/database.ts';
import { boxes, ledgerAccounts, ledgerEntries, ledgerTransfers, tenants } from '#fleet/database/schema.ts';
import { HearthError } from '#protocol/errors.ts';
import type { Account, Transfer } from '#protocol/http-fleet.ts';

/**
 * What people call an account: the box's label, the tenant's name. Columns are written out: in a select from
 * one table drizzle leaves the table's name away, and "id" would be the inner table's own.
 */
const accountName = sql<string>`coalesce(
  (SELECT b.label FROM ${boxes} b WHERE 'box:' || b.id = ledger_accounts.id),
  (SELECT t.name FROM ${tenants} t WHERE 'tenant:' || t.id = ledger_accounts.id),
  'Fleet fees')`;

interface Page {
  after?: string | undefined;
  limit: number;
}

/** Accounts with their balances, by id. */
export async function listAccounts(
  db: Queryable,
  page: Page,
): Promise<{ items: Account[]; next: string | null }> {
  const rows = await db
    .select({
      id: ledgerAccounts.id,
      kind: ledgerAccounts.kind,
      name: accountName,
      balance: sql<string>`(SELECT coalesce(sum(${ledgerEntries.amount}), 0) FROM ${ledgerEntries} WHERE ${ledgerEntries.accountId} = ${ledgerAccounts.id})`,
    })
    .from(ledgerAccounts)
    .where(page.after ? gt(ledgerAccounts.id, page.after) : undefined)
    .orderBy(asc(ledgerAccounts.id))
    .limit(page.limit + 1);
  const items = rows.slice(0, page.limit);
  return { items, next: rows.length > page.limit ? (items.at(-1)?.id ?? null) : null };
}

/** Transfers with their entries, newest first, of one account or of all. @throws HearthError `bad_request` */
export async function listTransfers(
  db: Queryable,
  page: Page & { accountId?: string | undefined },
): Promise<{ items: Transfer[]; next: string | null }> {
  if (page.after !== undefined && !/^\d{1,18}$/.test(page.after)) {
    throw new HearthError('bad_request', 'after: must be the "next" of an earlier page');
  }
  const rows = await db
    .select()
    .from(ledgerTransfers)
    .where(
      and(
        page.after ? lt(ledgerTransfers.seq, BigInt(page.after)) : undefined,
        page.accountId
          ? sql`EXISTS (SELECT 1 FROM ${ledgerEntries} WHERE ${ledgerEntries.transferId} = ${ledgerTransfers.id}
              AND ${ledgerEntries.accountId} = ${page.accountId})`
          : undefined,
      ),
    )
    .orderBy(desc(ledgerTransfers.seq))
    .limit(page.limit + 1);
  const transfers = rows.slice(0, page.limit);
  const entries = transfers.length
    ? await db
        .select({
          transferId: ledgerEntries.transferId,
          accountId: ledgerEntries.accountId,
          accountName,
          amount: ledgerEntries.amount,
        })
        .from(ledgerEntries)
        .innerJoin(ledgerAccounts, eq(ledgerAccounts.id, ledgerEntries.accountId))
        .where(
          inArray(
            ledgerEntries.transferId,
            transfers.map((row) => row.id),
          ),
        )
        .orderBy(asc(ledgerEntries.amount))
    : [];
  const items = transfers.map((transfer) => ({
    id: transfer.id,
    kind: transfer.kind,
    createdAt: transfer.createdAt.toISOString(),
    memo: transfer.memo,
    entries: entries
      .filter((entry) => entry.transferId === transfer.id)
      .map(({ accountId, accountName: name, amount }) => ({
        accountId,
        accountName: name,
        amount: String(amount),
      })),
  }));
  return { items, next: rows.length > page.limit ? String(transfers.at(-1)?.seq) : null };
}
