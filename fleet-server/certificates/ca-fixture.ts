import type { TestContext } from 'node:test';
import { pino } from 'pino';
import type { Database } from '#fleet/database/database.ts';
import { boxRecords } from '#fleet/dns/role.ts';
import { DnsServer } from '#fleet/dns/server.ts';
import { answer } from '#fleet/dns/zone.ts';
import type { Pebble } from '#test/support/pebble.ts';
import { startPebble } from '#test/support/pebble.ts';

/** A real CA that checks what it is asked for at our own DNS; both end with the test. */
export async function caByOwnDns(
  t: TestContext,
  db: Database,
  domain: string,
  folder: string,
): Promise<Pebble> {
  const zone = {
    domain,
    nameServers: [{ name: `ns.${domain}`, a: ['127.0.0.1'], aaaa: [] }],
    contact: `hostmaster.${domain}`,
    // The name this test server goes by in CAA records.
    issuer: 'pebble.letsencrypt.org',
    ttlS: 1,
  };
  const find = boxRecords(db);
  const dns = await DnsServer.start(
    { answer: (question) => answer(zone, question, 1, find), log: pino({ level: 'silent' }) },
    '127.0.0.1',
    0,
  );
  t.after(() => dns.close());
  const pebble = await startPebble(folder, `127.0.0.1:${dns.port}`);
  t.after(() => pebble.stop());
  return pebble;
}
