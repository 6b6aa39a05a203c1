import { z } from 'zod';
import { overview } from '#fleet/ledger/overview.ts';
import { listAccounts, listTransfers } from '#fleet/ledger/statements.ts';
import {
  accountSchema,
  overviewSchema,
  pageOf,
  pageQuerySchema,
  transferSchema,
} from '#protocol/http-fleet.ts';
import type { ApiContext, ApiScope } from '../context.ts';

/** The ledger, read only: money moves by settlement alone. */
export function ledgerRoutes(api: ApiScope, { db }: ApiContext): void {
  const tags = ['ledger'];
  api.get(
    '/ledger/accounts',
    {
      schema: {
        tags,
        summary: 'Accounts and balances',
        querystring: pageQuerySchema,
        response: { 200: pageOf(accountSchema) },
      },
    },
    async (request) => listAccounts(db, request.query),
  );
  api.get(
    '/ledger/transfers',
    {
      schema: {
        tags,
        summary: 'Transfers, newest first',
        querystring: pageQuerySchema.extend({ accountId: z.string().max(100).optional() }),
        response: { 200: pageOf(transferSchema) },
      },
    },
    async (request) => listTransfers(db, request.query),
  );
  api.get(
    '/overview',
    { schema: { tags, summary: 'The fleet in a few numbers', response: { 200: overviewSchema } } },
    async () => overview(db),
  );
}
