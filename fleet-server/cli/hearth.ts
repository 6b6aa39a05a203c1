#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { FleetApi } from '#fleet/client/fleet-api.ts';
import { isHearthError, messageOf } from '#protocol/errors.ts';
import { COMMANDS } from './commands.ts';
import { findConnection } from './connection.ts';
import { checkUsage, UsageError } from './usage.ts';

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

SITE is a hostname or id, BOX a label or id. Instead of SITE and PREFIX: --asset ID, more than once if need be.

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
      },
    });
    const [name, ...words] = positionals;
    if (values.help || name === undefined || name === 'help') {
      process.stdout.write(USAGE);
      return name === undefined && !values.help ? 2 : 0;
    }
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (!command)
      throw new UsageError(`there is no command "${name}"; ${Object.keys(COMMANDS).join(', ')} there are`);
    checkUsage(name, words, values);
    const connection = findConnection(values, process.env, process.cwd());
    if ('missing' in connection) throw new UsageError(connection.missing);
    await command(
      new FleetApi(connection.url, connection.token),
      { ...values, words },
      {
        print: (text) => void process.stdout.write(text),
        progress: (text) => void process.stderr.write(text),
      },
    );
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
