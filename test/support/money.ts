import assert from 'node:assert/strict';
import pg from 'pg';

/** What the books say, read straight from the database. */
export interface Books {
  acceptedBytes: number;
  claimedBytes: number;
  batches: number;
  /** Lines that were paid less than claimed, by reason. */
  cut: Record<string, number>;
}

/**
 * Audits the books: every transfer balanced, no token paid beyond what it entitles to, each batch paid once, and
 * what boxes are owed equal to what was accepted of their deliveries.
 */
export async function audit(databaseUrl: string): Promise<Books> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const number = async (sql: string): Promise<number> => Number((await client.query(sql)).rows[0]?.n ?? 0);
  try {
    // One snapshot: settlement goes on meanwhile.
    await client.query('begin isolation level repeatable read read only');
    assert.equal(
      await number(
        'select count(*) n from (select transfer_id from ledger_entries group by 1 having sum(amount) <> 0) t',
      ),
      0,
      'a transfer does not balance',
    );
    assert.equal(
      await number(
        'select count(*) n from delivery_tokens where accepted_bytes > max_bytes or accepted_bytes < 0',
      ),
      0,
      'a token was paid beyond what it entitles to',
    );
    const acceptedBytes = await number('select coalesce(sum(accepted_bytes), 0) n from delivery_lines');
    assert.equal(
      await number('select coalesce(sum(accepted_bytes), 0) n from delivery_batches'),
      acceptedBytes,
      'batches and their lines differ',
    );
    assert.equal(
      await number('select coalesce(sum(accepted_bytes), 0) n from delivery_tokens'),
      acceptedBytes,
      'tokens and lines differ',
    );
    assert.equal(
      await number(
        `select coalesce(sum(e.amount), 0) n from ledger_entries e join ledger_accounts a on a.id = e.account_id
         where a.kind = 'box'`,
      ),
      await number('select coalesce(sum(micro_credits), 0) n from delivery_lines'),
      'what boxes are owed is not what was accepted',
    );
    const cut = await client.query(
      `select reason, count(*)::int n from delivery_lines where reason <> 'claimed' group by 1`,
    );
    return {
      acceptedBytes,
      claimedBytes: await number('select coalesce(sum(claimed_bytes), 0) n from delivery_lines'),
      batches: await number('select count(*) n from delivery_batches'),
      cut: Object.fromEntries(cut.rows.map((row) => [row.reason, row.n])),
    };
  } finally {
    await client.end();
  }
}
