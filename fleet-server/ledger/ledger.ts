import { createHash } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import type { Queryable } from '#fleet/database/database.ts';
import { ledgerAccounts, ledgerEntries, ledgerTransfers } from '#fleet/database/schema.ts';
import { HearthError } from '#protocol/errors.ts';
import { newId } from '#protocol/ids.ts';

/** Accounts: `tenant:<tenant id>`, `box:<box id>`, `fleet:fees`. A credit (above zero) is what the account is owed. */
export const accountOf = {
  tenant: (tenantId: string) => `tenant:${tenantId}`,
  box: (boxId: string) => `box:${boxId}`,
  fees: () => 'fleet:fees',
};

export interface TransferRequest {
  kind: 'delivery' | 'correction';
  /** Who asks again with the same key and the same content gets the first transfer; other content is refused. */
  idempotencyKey: string;
  /** For people. */
  memo: string;
  /** Micro-credits by account id, whole, summing to zero. Entries of zero are left out. */
  entries: Map<string, bigint>;
}

/**
 * Writes a balanced transfer. Call it in the transaction whose effect it pays for.
 * @returns the transfer's id, and whether it was there already
 * @throws HearthError `ledger_unbalanced`, `idempotency_conflict`
 */
export async function post(
  db: Queryable,
  request: TransferRequest,
): Promise<{ id: string; repeated: boolean }> {
  const entries = [...request.entries]
    .filter(([, amount]) => amount !== 0n)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const total = entries.reduce((sum, [, amount]) => sum + amount, 0n);
  if (total !== 0n || entries.length < 2) {
    throw new HearthError(
      'ledger_unbalanced',
      `a transfer of ${entries.length} entries sums to ${total}, not to 0`,
    );
  }
  const requestSha256 = createHash('sha256')
    .update(JSON.stringify([request.kind, request.memo, entries.map(([id, amount]) => [id, String(amount)])]))
    .digest();
  const id = newId('xfr');
  const written = await db
    .insert(ledgerTransfers)
    .values({
      id,
      kind: request.kind,
      idempotencyKey: request.idempotencyKey,
      requestSha256,
      memo: request.memo,
    })
    .onConflictDoNothing({ target: ledgerTransfers.idempotencyKey })
    .returning({ id: ledgerTransfers.id });
  if (written.length === 0) {
    const [first] = await db
      .select()
      .from(ledgerTransfers)
      .where(eq(ledgerTransfers.idempotencyKey, request.idempotencyKey));
    if (first?.requestSha256.equals(requestSha256)) return { id: first.id, repeated: true };
    throw new HearthError('idempotency_conflict', `${request.idempotencyKey} was used for another transfer`);
  }
  await db
    .insert(ledgerAccounts)
    .values(entries.map(([account]) => ({ id: account, kind: kindOf(account) })))
    .onConflictDoNothing();
  await db
    .insert(ledgerEntries)
    .values(entries.map(([accountId, amount]) => ({ transferId: id, accountId, amount })));
  return { id, repeated: false };
}

/** The balance of an account in micro-credits: the sum of its entries, 0 when it has none. */
export async function balanceOf(db: Queryable, accountId: string): Promise<bigint> {
  const [row] = await db
    .select({ balance: sql<string>`coalesce(sum(${ledgerEntries.amount}), 0)` })
    .from(ledgerEntries)
    .where(eq(ledgerEntries.accountId, accountId));
  return BigInt(row?.balance ?? '0');
}

function kindOf(accountId: string): 'tenant' | 'box' | 'fleet' {
  const kind = accountId.split(':')[0];
  if (kind === 'tenant' || kind === 'box' || kind === 'fleet') return kind;
  throw new HearthError('bad_request', `"${accountId}" is not an account`);
}
