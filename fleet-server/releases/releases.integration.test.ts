import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Updater } from 'tuf-js';
import { type FleetFixture, fleetFixture, TOKEN } from '#fleet/testing/fleet-fixture.ts';
import { releasesSchema } from '#protocol/rollout.ts';
import { RepositoryFixture } from './repository-fixture.ts';

let fleet: FleetFixture;
before(async () => {
  fleet = await fleetFixture();
});
after(() => fleet?.close());

const headers = { authorization: `Bearer ${TOKEN}` };

function upload(sha256: string, bytes: Buffer | undefined) {
  return fleet.raw('PUT', `/api/v1/updates/artefacts/${sha256}`, {
    headers: { ...headers, 'content-type': 'application/octet-stream' },
    body: new Uint8Array(bytes ?? Buffer.alloc(0)),
  });
}

function publish(files: Record<string, string>) {
  return fleet.raw('POST', '/api/v1/releases', {
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ files }),
  });
}

const codeOf = ({ text }: { text: string }) => JSON.parse(text).error?.code;

/** One story: what is published stays. */
describe('releases are published', () => {
  const repository = new RepositoryFixture();

  test('not before their artefacts are there, nor with others', async () => {
    const artefact = repository.add('1.1.0');
    const refused = await publish(repository.files());
    assert.deepEqual([refused.status, codeOf(refused)], [409, 'conflict']);
    const wrong = await upload(artefact.sha256, Buffer.from('something else'));
    assert.deepEqual([wrong.status, codeOf(wrong)], [502, 'artefact_mismatch']);
    assert.equal((await upload(artefact.sha256, repository.bytes.get(artefact.sha256))).status, 200);
    assert.equal((await upload(artefact.sha256, repository.bytes.get(artefact.sha256))).status, 200);
    const accepted = await publish(repository.files());
    assert.equal(accepted.status, 200, accepted.text);
    const { releases, rootVersion } = releasesSchema.parse(JSON.parse(accepted.text));
    assert.deepEqual(releases, [{ version: '1.1.0', artefacts: [artefact] }]);
    assert.equal(rootVersion, 1);
  });

  test('by operators only; read by anyone, by Range', async () => {
    const [artefact] = repository.artefacts;
    assert.ok(artefact);
    const url = `/api/v1/updates/artefacts/${artefact.sha256}`;
    assert.equal((await fleet.raw('PUT', url, { body: 'x' })).status, 401);
    assert.equal((await fleet.raw('POST', '/api/v1/releases', { body: '{}' })).status, 401);
    const bytes = repository.bytes.get(artefact.sha256) ?? Buffer.alloc(0);
    const whole = await fetch(fleet.apiUrl + url);
    assert.ok(Buffer.from(await whole.arrayBuffer()).equals(bytes));
    const part = await fetch(fleet.apiUrl + url, { headers: { range: 'bytes=1048000-2100000' } });
    assert.equal(part.status, 206);
    assert.equal(part.headers.get('content-range'), `bytes 1048000-2100000/${bytes.length}`);
    assert.ok(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(1_048_000, 2_100_001)));
    assert.equal((await fleet.raw('GET', url, { headers: { range: 'bytes=3000000-' } })).status, 416);
    assert.equal((await fleet.raw('GET', url.replace(artefact.sha256, '0'.repeat(64)))).status, 404);
    assert.equal((await fleet.raw('GET', '/api/v1/updates/metadata/..%2fx')).status, 400);
  });

  test('another client of TUF finds, verifies and fetches them', async (t) => {
    const folder = await mkdtemp(path.join(tmpdir(), 'hearth-tuf-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    await writeFile(path.join(folder, 'root.json'), repository.roots['1.root.json'] ?? '');
    const client = new Updater({
      metadataDir: folder,
      metadataBaseUrl: `${fleet.apiUrl}/api/v1/updates/metadata`,
      targetDir: folder,
      targetBaseUrl: `${fleet.apiUrl}/api/v1/updates/artefacts`,
    });
    await client.refresh();
    const target = await client.getTargetInfo('hearth-agent/1.1.0/arm64');
    const [artefact] = repository.artefacts;
    assert.ok(target && artefact);
    assert.equal(target.hashes.sha256, artefact.sha256);
    assert.equal(target.length, artefact.sizeBytes);
    assert.ok((await readFile(path.join(folder, 'timestamp.json'), 'utf8')).length > 0);
  });

  test('never by another signer, expired, older, or changed afterwards', async () => {
    const forged = new RepositoryFixture();
    forged.version = 50;
    const refused = await publish({
      ...forged.files(),
      '1.root.json': repository.roots['1.root.json'] ?? '',
    });
    assert.equal(codeOf(refused), 'release_signature');
    assert.equal(codeOf(await publish(forged.files())), 'conflict');
    assert.equal(codeOf(await publish(repository.files(Date.now() - 1000))), 'release_expired');
    const older = new RepositoryFixture();
    older.key = repository.key;
    Object.assign(older.roots, repository.roots);
    older.artefacts.push(...repository.artefacts);
    const { 'timestamp.json': timestamp = '' } = older.files();
    assert.equal(codeOf(await publish({ 'timestamp.json': timestamp })), 'release_rollback');
    assert.equal(
      releasesSchema.parse(JSON.parse((await fleet.raw('GET', '/api/v1/releases', { headers })).text))
        .releases.length,
      1,
    );
  });

  test('by new keys, once the old ones have handed on', async () => {
    repository.rotate();
    repository.rotate();
    const accepted = await publish(repository.files());
    assert.equal(accepted.status, 200, accepted.text);
    assert.equal(JSON.parse(accepted.text).rootVersion, 3);
  });
});
