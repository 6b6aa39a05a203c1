import type { Logger } from 'pino';
import type { Database } from '#fleet/database/database.ts';
import { openAcmeAccountKey } from '#fleet/keys/fleet-keys.ts';
import type { Options } from '#fleet/options.ts';
import { AcmeIssuer } from './acme.ts';
import { issueNext, sweepChallenges } from './requests.ts';

/** What brings waiting requests to their end, one at each call; null when this fleet has no domain or no CA. */
export async function startIssuance(
  db: Database,
  options: Options,
  log: Logger,
): Promise<(() => Promise<boolean>) | null> {
  const { HEARTH_BOX_DOMAIN: domain, HEARTH_ACME_DIRECTORY: directoryUrl } = options;
  if (!domain || !directoryUrl) return null;
  const issuer = await AcmeIssuer.open({
    directoryUrl,
    accountKey: await openAcmeAccountKey(options.HEARTH_KEYS_DIR),
    contact: options.HEARTH_ACME_CONTACT ?? null,
    caFile: options.HEARTH_ACME_CA_FILE ?? null,
  });
  return async () => {
    await sweepChallenges(db);
    return issueNext(db, issuer, { domain, perThreeHours: options.HEARTH_ACME_PER_3_HOURS }, log);
  };
}
