import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { pino } from 'pino';
import { makeKeyAndCsr } from '#agent/identity/csr.ts';
import { AcmeIssuer } from '#fleet/certificates/acme.ts';
import { issueNext, requestCertificate } from '#fleet/certificates/requests.ts';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { openAcmeAccountKey } from '#fleet/keys/fleet-keys.ts';
import type { FleetDatabase } from '#fleet/testing/fleet-database.ts';
import { addBox, fleetDatabase } from '#fleet/testing/fleet-database.ts';
import { Program } from '#local/program.ts';
import { startPebble } from '#test/support/pebble.ts';
import { testPort } from '#test/support/system.ts';
import { needsTool, requireTool } from '#test/support/tools.ts';

const DOMAIN = 'boxes.example.org';
const PATIENCE = { timeoutMs: 60_000 };

/** The fleet's database, and as many DNS roles as a test wants, in processes of their own. */
async function rig(t: TestContext) {
  const database = await fleetDatabase();
  const folder = await mkdtemp(path.join(tmpdir(), 'hearth-dns-'));
  const programs: Program[] = [];
  t.after(async () => {
    for (const program of programs) await program.stop();
    await database.close();
    await rm(folder, { recursive: true, force: true });
  });
  const start = async (port: number): Promise<Program> => {
    const program = await Program.start({
      name: 'dns',
      args: ['fleet-server/main.ts'],
      env: {
        DATABASE_URL: database.url,
        HEARTH_KEYS_DIR: path.join(folder, 'keys'),
        HEARTH_ROLES: 'dns',
        HEARTH_BOX_DOMAIN: DOMAIN,
        HEARTH_DNS_PORT: String(port),
        HEARTH_ACME_ISSUER: 'pebble.letsencrypt.org',
        HEARTH_LOG_LEVEL: 'warn',
      },
    });
    programs.push(program);
    return program;
  };
  return { ...database, folder, start };
}

/** A box that is reached at that address. @returns its name */
async function boxAt({ db, query }: FleetDatabase, address: string): Promise<string> {
  const id = await addBox(db);
  const url = `http://${address}:7090`;
  const [row] = await query(
    `UPDATE boxes SET online = true, dial_ok = true, dialled_url = $2, heartbeat = jsonb_build_object('contentUrl', $2::text)
      WHERE id = $1 RETURNING name_label`,
    [id, url],
  );
  return `${row?.name_label}.${DOMAIN}`;
}

function resolverOf(...ports: number[]): Resolver {
  const resolver = new Resolver({ timeout: 1_000, tries: 2 });
  resolver.setServers(ports.map((port) => `127.0.0.1:${port}`));
  return resolver;
}

/** A resolver as providers run them: it caches, and keeps what it has while the zone's servers are away (RFC 8767). */
async function startResolver(t: TestContext, zonePorts: number[]): Promise<number> {
  const port = await testPort();
  const child: ChildProcess = spawn(
    requireTool('dnsmasq'),
    [
      ...['--keep-in-foreground', '--no-hosts', '--no-resolv', '--conf-file=/dev/null', '--pid-file='],
      ...['--listen-address=127.0.0.1', '--bind-interfaces', `--port=${port}`, '--user=root'],
      ...['--cache-size=100', '--use-stale-cache', '--all-servers'],
      ...zonePorts.map((zonePort) => `--server=/${DOMAIN}/127.0.0.1#${zonePort}`),
    ],
    { stdio: 'ignore' },
  );
  const exited = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGTERM');
    await exited;
  });
  return port;
}

test('DNS servers down: the second answers; both down: resolvers keep what they had; back: everything is answered again', {
  ...needsTool('dnsmasq'),
  timeout: 180_000,
}, async (t) => {
  const parts = await rig(t);
  const ports = [await testPort(), await testPort()];
  const [first, second] = [await parts.start(ports[0] ?? 0), await parts.start(ports[1] ?? 0)];
  const known = await boxAt(parts, '198.51.100.7');
  const other = await boxAt(parts, '198.51.100.8');
  const late = await boxAt(parts, '198.51.100.9');
  const cache = resolverOf(await startResolver(t, ports));
  const answers = (resolver: Resolver, name: string) =>
    waitFor(() => resolver.resolve4(name).catch(() => null), `${name} is not answered`, PATIENCE);
  assert.deepEqual(await answers(cache, known), ['198.51.100.7']);

  await first.kill();
  // A resolver that knows both servers of the zone, as they stand in its NS records, goes to the other one.
  assert.deepEqual(await answers(resolverOf(...ports), other), ['198.51.100.8']);

  await second.kill();
  assert.deepEqual(await answers(cache, known), ['198.51.100.7']);
  await assert.rejects(resolverOf(...ports).resolve4(late));

  await parts.start(ports[0] ?? 0);
  assert.deepEqual(await answers(resolverOf(...ports), late), ['198.51.100.9']);
  assert.deepEqual(await answers(cache, late), ['198.51.100.9']);
});

test("a box's certificate while the fleet's DNS is down: not had, said why, and had by itself once it is back", {
  ...needsTool('pebble'),
  timeout: 180_000,
}, async (t) => {
  const parts = await rig(t);
  const { db, query, folder } = parts;
  const port = await testPort();
  const pebble = await startPebble(folder, `127.0.0.1:${port}`);
  t.after(() => pebble.stop());
  const issuer = await AcmeIssuer.open({
    directoryUrl: pebble.directoryUrl,
    accountKey: await openAcmeAccountKey(folder),
    contact: null,
    caFile: pebble.caFile,
  });
  const boxId = await addBox(db);
  const [row] = await query('SELECT name_label FROM boxes WHERE id = $1', [boxId]);
  const { csr } = await makeKeyAndCsr(`${row?.name_label}.${DOMAIN}`);
  await requestCertificate(db, boxId, csr, DOMAIN);
  const issue = () =>
    issueNext(db, issuer, { domain: DOMAIN, perThreeHours: 200 }, pino({ level: 'silent' }));
  const state = async () => (await query('SELECT state, problem, failing_since FROM box_certificates'))[0];
  assert.equal(await issue(), true);
  assert.equal((await state())?.state, 'waiting');
  assert.ok((await state())?.problem);
  assert.ok((await state())?.failing_since);

  await parts.start(port);
  await query('UPDATE box_certificates SET next_try_at = now()');
  assert.equal(await issue(), true);
  assert.deepEqual(await state(), { state: 'issued', problem: null, failing_since: null });
});
