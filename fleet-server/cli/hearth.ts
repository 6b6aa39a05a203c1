#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { FleetApi } from '#fleet/client/fleet-api.ts';
import { OFFLINE, releaseOffline, releaseOnline } from '#fleet/releases/cli.ts';
import { rollout } from '#fleet/rollouts/cli.ts';
import { isHearthError, messageOf } from '#protocol/errors.ts';
import { COMMANDS as BASIC, type Command } from './commands.ts';
import { findConnection } from './connection.ts';
import { checkUsage, UsageError } from './usage.ts';

const COMMANDS: Record<string, Command> = { ...BASIC, release: releaseOnline, rollout };

const USAGE = `hearth: the fleet from the command line

  hearth boxes                              list boxes
  hearth boxes show BOX                     one box and what it holds
  hearth boxes claim [--label NAME]         a claim code for a new box
  hearth boxes rename BOX NAME
  hearth boxes ask BOX index|hardware|spot-check
  hearth boxes revoke BOX --yes             end a box for good
  hearth sites                              list sites
  hearth sites add HOSTNAME ORIGIN [--tenant NAME]
  hearth assets [--site SITE]               list assets
  hearth assets add SITE PATH... [--wait]   read assets from the origin
  hearth assets ingest ASSET                read one again
  hearth assign SITE [PREFIX] --boxes COUNT | --box BOX... [--ttl 7d] [--wait]
  hearth unassign SITE [PREFIX] [--box BOX...]
  hearth purge SITE [PREFIX]                off all boxes; clients go to the origin
  hearth ledger                             accounts and balances
  hearth ledger transfers [--account ACCOUNT]
  hearth release keygen FILE                a key to sign releases with; offline, as the next four
  hearth release init FOLDER --key FILE... [--threshold N] [--fresh-key FILE...]
  hearth release add FOLDER VERSION --artefact ARCH=FILE... --key FILE... [--minimum-from VERSION]
                     [--rollback-to VERSION...] [--days N]
  hearth release refresh FOLDER --key FILE... [--days N]
  hearth release rotate FOLDER --key OLD... --new-key NEW... [--threshold N] [--fresh-key FILE...]
  hearth release publish FOLDER             give the fleet what was signed
  hearth release list
  hearth rollout [list] | show [ID]
  hearth rollout start VERSION [--waves 5,25,100] [--soak 1h] [--success 90] [--canary BOX...] [--box BOX...]
                     [--label PATTERN] [--architecture ARCH...] [--window 2-5] [--no-roll-back]
  hearth rollout pause|resume|halt [ID]
  hearth rollout roll-back|cancel [ID] --yes

SITE is a hostname or id, BOX a label or id, ARCH armv7, arm64 or x64. Keys with a passphrase: HEARTH_KEY_PASSPHRASE. Instead of SITE and PREFIX: --asset ID, more than once if need be.

  --json          machine-readable output
  --url, --token  which fleet, and your API token (or HEARTH_URL and HEARTH_TOKEN)
  --help          this text

Exit code: 0 done, 1 refused or failed, 2 wrong arguments.
`;

process.exitCode = await main(process.argv.slice(2));

async function main(argv: string[]): Promise<number> {
  try {
    const { values, positionals } = parseArgs({
      args: argv,
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        wait: { type: 'boolean', default: false },
        yes: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
        url: { type: 'string' },
        token: { type: 'string' },
        site: { type: 'string' },
        prefix: { type: 'string' },
        asset: { type: 'string', multiple: true, default: [] },
        box: { type: 'string', multiple: true, default: [] },
        boxes: { type: 'string' },
        ttl: { type: 'string' },
        pin: { type: 'boolean' },
        label: { type: 'string' },
        tenant: { type: 'string' },
        account: { type: 'string' },
        key: { type: 'string', multiple: true, default: [] },
        'new-key': { type: 'string', multiple: true, default: [] },
        'fresh-key': { type: 'string', multiple: true, default: [] },
        threshold: { type: 'string' },
        artefact: { type: 'string', multiple: true, default: [] },
        'minimum-from': { type: 'string' },
        'rollback-to': { type: 'string', multiple: true, default: [] },
        days: { type: 'string' },
        canary: { type: 'string', multiple: true, default: [] },
        architecture: { type: 'string', multiple: true, default: [] },
        waves: { type: 'string' },
        soak: { type: 'string' },
        success: { type: 'string' },
        window: { type: 'string' },
        'no-roll-back': { type: 'boolean' },
      },
    });
    const [name, ...words] = positionals;
    if (values.help || name === undefined || name === 'help') {
      process.stdout.write(USAGE);
      return name === undefined && !values.help ? 2 : 0;
    }
    const output = {
      print: (text: string) => void process.stdout.write(text),
      progress: (text: string) => void process.stderr.write(text),
    };
    if (name === 'release' && OFFLINE.includes(words[0] ?? '')) {
      checkUsage(name, words, values);
      await releaseOffline({ ...values, words }, output);
      return 0;
    }
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (!command)
      throw new UsageError(`there is no command "${name}"; ${Object.keys(COMMANDS).join(', ')} there are`);
    checkUsage(name, words, values);
    const connection = findConnection(values, process.env, process.cwd());
    if ('missing' in connection) throw new UsageError(connection.missing);
    await command(new FleetApi(connection.url, connection.token), { ...values, words }, output);
    return 0;
  } catch (error) {
    const usage =
      error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
    process.stderr.write(
      `hearth: ${isHearthError(error) || usage ? messageOf(error) : `failed: ${messageOf(error)}`}\n`,
    );
    if (usage) process.stderr.write('"hearth --help" shows how it is used\n');
    return usage ? 2 : 1;
  }
}
