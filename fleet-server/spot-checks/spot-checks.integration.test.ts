import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { ingestAsset } from '#fleet/assets/assets.ts';
import { assign } from '#fleet/assignments/assignments.ts';
import { applyReports } from '#fleet/broker/reported-state.ts';
import { addBox, addSite, type FleetDatabase, fleetDatabase } from '#fleet/testing/fleet-database.ts';
import { isHearthError } from '#protocol/errors.ts';
import { newId } from '#protocol/ids.ts';
import { askSpotCheck, judge } from './spot-checks.ts';

const body = randomBytes(1024 * 1024 + 1000);
const proof = (nonce: string, index: number) =>
  createHash('sha256')
    .update(Buffer.from(nonce, 'hex'))
    .update(index === 0 ? body.subarray(0, 1024 * 1024) : body.subarray(1024 * 1024))
    .digest('hex');
let own: FleetDatabase;
let endless = false;
let sent = 0;
/** Serves the body, by Range too; when endless, far more than was asked for. */
const origin = createServer((request, response) => {
  const range = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '');
  if (!range) return void response.writeHead(200, { 'content-length': body.length }).end(body);
  response.writeHead(206);
  if (!endless) return void response.end(body.subarray(Number(range[1]), Number(range[2]) + 1));
  const more = (): void => {
    for (let go = true; go && !response.destroyed && sent < 256; sent++) go = response.write(body);
    if (sent >= 256) response.end();
  };
  response.on('drain', more);
  more();
});
before(async () => {
  own = await fleetDatabase();
  origin.listen(0, '127.0.0.1');
  await once(origin, 'listening');
});
after(async () => {
  origin.closeAllConnections();
  origin.close();
  await own?.close();
});

test('each question is asked once; then the origin is asked for new ones, and never for more than a chunk', async () => {
  const { siteId } = await addSite(own.db, `http://127.0.0.1:${(origin.address() as AddressInfo).port}`);
  const assetId = newId('asset');
  await own.query("INSERT INTO assets (id, site_id, path, state) VALUES ($1, $2, '/a', 'queued')", [
    assetId,
    siteId,
  ]);
  await ingestAsset(own.db, assetId, { signal: new AbortController().signal });
  const boxId = await addBox(own.db);
  await assert.rejects(askSpotCheck(own.db, boxId), (error) => isHearthError(error, 'not_found'));
  await assign(own.db, { assets: { assetIds: [assetId] }, boxes: { boxIds: [boxId] }, ttlMs: null });
  const sha256 = createHash('sha256').update(body).digest('hex');
  await applyReports(own.db, boxId, [{ assetId, sha256, state: 'held', bytesDone: 0, reason: null }]);

  const nonces = new Set<string>();
  for (let round = 0; round < 3; round++) {
    const id = await askSpotCheck(own.db, boxId);
    const [row] = await own.query(
      "SELECT body ->> 'nonce' AS nonce, (body ->> 'chunkIndex')::int AS index, challenge_id FROM commands JOIN spot_checks ON command_id = id WHERE id = $1",
      [id],
    );
    const nonce = String(row?.nonce);
    nonces.add(nonce);
    // Two chunks: two questions from ingest.
    assert.equal(row?.challenge_id === null, round === 2);
    const answer = { type: 'spot-check' as const, sha256, chunkIndex: Number(row?.index) };
    await judge(own.db, id, {
      ...answer,
      proof: round === 1 ? '0'.repeat(64) : proof(nonce, answer.chunkIndex),
    });
  }
  assert.equal(nonces.size, 3);
  const outcomes = await own.query('SELECT outcome FROM spot_checks ORDER BY asked_at');
  assert.deepEqual(
    outcomes.map((row) => row.outcome),
    ['passed', 'failed', 'passed'],
  );

  endless = true;
  await assert.rejects(askSpotCheck(own.db, boxId), (error) => isHearthError(error, 'chunk_mismatch'));
  assert.ok(sent < 100, `${sent} MiB were taken from an origin that sends without end`);
});
