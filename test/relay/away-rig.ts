import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { TestContext } from 'node:test';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { createCa, openCa } from '#fleet/keys/certificate-authority.ts';
import { awayKeyHash, newAwayKey } from '#protocol/ids.ts';
import type { BoxServing } from './fixture.ts';
import { type RigBox, relayRig } from './fixture.ts';

export const PAGE = '<!doctype html><title>the fleet’s own page</title>';

/** Relays with a certificate, and boxes whose dashboards are whatever a test says. */
export async function awayRig(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'hearth-away-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const issuer = openCa(await createCa());
  const made = await relayRig(t);
  await writeFile(join(folder, 'index.html'), PAGE);
  await writeFile(join(folder, 'app-ABCDEFGH.js'), 'true');
  const relayNamed = async (name: string) => {
    const { certificatePem, keyPem } = await issuer.issueServer([name]);
    const ownTls = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
    await writeFile(ownTls.cert, certificatePem);
    await writeFile(ownTls.key, keyPem);
    const relay = await made.relay({ own: { ownTls, webuiDir: folder } });
    return { relay, base: `https://${name}:${relay.urls.tlsPort}` };
  };
  const boxServing = async (
    page: RequestListener | ((connection: Duplex) => void),
    raw = false,
    onRequest: BoxServing['onRequest'] = (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'text/plain' });
      stream.end('content');
    },
  ) => {
    const server = createServer(raw ? undefined : (page as RequestListener));
    t.after(() => server.close());
    const box = await made.box({
      onRequest,
      onDashboard: {
        admit: () => 200,
        serve: (connection) =>
          raw
            ? (page as (connection: Duplex) => void)(connection)
            : void server.emit('connection', connection),
      },
    });
    return box;
  };
  const key = newAwayKey();
  const letIn = ({ id }: RigBox) =>
    made.database.query(
      "UPDATE boxes SET heartbeat = jsonb_build_object('away', jsonb_build_object('keySha256', $2::text)) WHERE id = $1",
      [id, awayKeyHash(key)],
    );
  return { ...made, relayNamed, boxServing, key, letIn, ca: issuer.certificatePem };
}

export const until = (what: string, holds: () => boolean) =>
  waitFor(async () => holds() || null, `still not: ${what}`, { timeoutMs: 20_000 });
