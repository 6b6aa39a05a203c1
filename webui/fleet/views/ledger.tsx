import { useState } from 'preact/hooks';
import type { Account, Transfer } from '#protocol/http-fleet.ts';
import { Badge } from '../../shared/components/basics.tsx';
import { ListCard } from '../../shared/components/list.tsx';
import { formatBytes, formatCreditsFixed, formatDateTime } from '../../shared/format.ts';
import { usePages } from '../../shared/query.ts';
import { href, navigate, route } from '../../shared/router.ts';
import { api } from '../state.ts';
import { hasText, t } from '../text.ts';
import { Head, LIST_INTERVAL_MS } from './parts.tsx';

export function Ledger() {
  const accountId = route.value.query.get('account');
  const [accountPages, setAccountPages] = useState(1);
  const accounts = usePages<Account>(api, '/ledger/accounts', LIST_INTERVAL_MS, accountPages);
  const chosen = accounts.data?.items.find((account) => account.id === accountId);
  return (
    <>
      <Head title={t('nav.ledger')} lead={t('ledger.lead')} />
      <ListCard
        query={accounts}
        title={t('ledger.accounts')}
        empty={{ title: t('ledger.none.title'), text: t('ledger.none.text') }}
        onMore={() => setAccountPages(accountPages + 1)}
      >
        {(items) => <Accounts items={items} />}
      </ListCard>
      <Transfers
        key={accountId ?? ''}
        accountId={accountId}
        name={chosen ? nameOf(chosen.id, chosen.name) : (accountId ?? '')}
      />
    </>
  );
}

function Accounts({ items }: { items: Account[] }) {
  const most = Math.max(...items.map((account) => Math.abs(Number(BigInt(account.balance)))), 1);
  return (
    <table class="table">
      <thead>
        <tr>
          <th scope="col">{t('ledger.account')}</th>
          <th scope="col">{t('ledger.kind')}</th>
          <th scope="col" class="right">
            {t('ledger.balance')}
          </th>
        </tr>
      </thead>
      <tbody>
        {items.map((account) => (
          <tr key={account.id}>
            <td class="lead break">
              <button
                type="button"
                class="link-button"
                aria-label={t('ledger.showTransfers', { name: nameOf(account.id, account.name) })}
                onClick={() => navigate(`${href('ledger')}?account=${encodeURIComponent(account.id)}`)}
              >
                {nameOf(account.id, account.name)}
              </button>
            </td>
            <td data-label={t('ledger.kind')}>
              <Badge>{t(`ledger.kind.${account.kind}`)}</Badge>
            </td>
            <td class="right wide" data-label={t('ledger.balance')}>
              <strong>{formatCreditsFixed(account.balance)}</strong>
              <Balance balance={account.balance} most={most} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Owed to the left, earned to the right, on one scale for all accounts. */
function Balance({ balance, most }: { balance: string; most: number }) {
  const value = Number(BigInt(balance));
  const width = `${(100 * Math.abs(value)) / most}%`;
  return (
    <div class="balance" aria-hidden="true">
      <span>{value < 0 ? <i style={{ width }} /> : null}</span>
      <span>{value > 0 ? <i style={{ width }} /> : null}</span>
    </div>
  );
}

function Transfers({ accountId, name }: { accountId: string | null; name: string }) {
  const [pages, setPages] = useState(1);
  const path =
    accountId === null ? '/ledger/transfers' : `/ledger/transfers?accountId=${encodeURIComponent(accountId)}`;
  const transfers = usePages<Transfer>(api, path, LIST_INTERVAL_MS, pages);
  return (
    <ListCard
      query={transfers}
      title={accountId === null ? t('ledger.transfers') : t('ledger.transfersOf', { name })}
      aside={accountId === null ? null : <a href={href('ledger')}>{t('ledger.allTransfers')}</a>}
      empty={t('ledger.transfers.none')}
      onMore={() => setPages(pages + 1)}
    >
      {(items) => (
        <ul>
          {items.map((transfer) => (
            <li key={transfer.id} class="transfer">
              <div>
                <p class="strong">{kindText(transfer.kind)}</p>
                {transfer.memo ? <p class="soft small break">{memoText(transfer.memo)}</p> : null}
                <time class="soft small" dateTime={transfer.createdAt}>
                  {formatDateTime(transfer.createdAt)}
                </time>
              </div>
              <ul class="entries">
                {transfer.entries.map((entry) => (
                  <li key={entry.accountId}>
                    <span class="break">{nameOf(entry.accountId, entry.accountName)}</span>
                    <span class={BigInt(entry.amount) > 0n ? 'strong' : 'soft'}>
                      {BigInt(entry.amount) > 0n ? '+' : ''}
                      {formatCreditsFixed(entry.amount)}
                    </span>
                  </li>
                ))}
              </ul>
            </li>
          ))}
        </ul>
      )}
    </ListCard>
  );
}

/** The fleet's own account has a name of ours; boxes and tenants have theirs. */
function nameOf(accountId: string, name: string): string {
  return accountId === 'fleet:fees' ? t('ledger.fees') : name;
}

/** The memo of a delivery in the chosen language; any other memo as it was written. */
function memoText(memo: string): string {
  const bytes = /^(\d+) bytes delivered$/.exec(memo)?.[1];
  return bytes === undefined ? memo : t('ledger.delivered', { n: formatBytes(Number(bytes)) });
}

function kindText(kind: string): string {
  const key = `ledger.kind.${kind}`;
  return hasText(key) ? t(key as 'ledger.kind.delivery') : kind;
}
