import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, test } from 'node:test';
import { isHearthError } from './errors.ts';
import type { Artefact } from './release.ts';
import { artefactName, assertSuitable, compareVersions } from './release.ts';
import type { Signers } from './release-signing.ts';
import { makeRoot, makeSnapshot, makeTargets, makeTimestamp, tufKey } from './release-signing.ts';
import type { TrustedMetadata } from './release-trust.ts';
import { ReleaseTrust } from './release-trust.ts';

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 5, 1);
const newKey = () => generateKeyPairSync('ed25519').privateKey;

/** One key for everything, unless said otherwise. */
function signersOf(key: KeyObject, more: Partial<Signers> = {}): Signers {
  const one = { keys: [key], threshold: 1 };
  return { root: one, targets: one, snapshot: one, timestamp: one, ...more };
}

const artefact = (more: Partial<Artefact> = {}): Artefact => ({
  version: '1.1.0',
  architecture: 'arm64',
  minimumFrom: '1.0.0',
  rollbackFrom: [],
  sizeBytes: 1000,
  sha256: 'ab'.repeat(32),
  ...more,
});

/** The files of a repository, at one version of everything. */
function repository(
  key: KeyObject,
  { version = 1, expiresMs = NOW + 30 * DAY, artefacts = [artefact()], by = [key] } = {},
): Map<string, string> {
  const targets = makeTargets(version, expiresMs, artefacts, by);
  const snapshot = makeSnapshot(version, expiresMs, { version, text: targets }, by);
  const timestamp = makeTimestamp(version, expiresMs, { version, text: snapshot }, by);
  return new Map([
    ['timestamp.json', timestamp],
    [`${version}.snapshot.json`, snapshot],
    [`${version}.targets.json`, targets],
  ]);
}

const keptRoot = (root: string): TrustedMetadata => ({
  root,
  timestamp: null,
  snapshot: null,
  targets: null,
});
const from = (files: Map<string, string>) => async (name: string) => files.get(name) ?? null;
const code = (expected: string) => (error: unknown) => {
  assert.ok(isHearthError(error), String(error));
  assert.equal(error.code, expected, error.message);
  return true;
};

/** A box that has seen version `version` of everything. */
async function seen(key: KeyObject, version: number): Promise<ReleaseTrust> {
  const trust = new ReleaseTrust(keptRoot(makeRoot(1, NOW + 300 * DAY, signersOf(key))));
  await trust.refresh(from(repository(key, { version })), NOW);
  return trust;
}

describe('what a box believes of releases', () => {
  test('signed metadata names the artefact of each architecture, and survives being kept', async () => {
    const key = newKey();
    const trust = new ReleaseTrust(keptRoot(makeRoot(1, NOW + 300 * DAY, signersOf(key))));
    const artefacts = [artefact(), artefact({ architecture: 'x64', sha256: 'cd'.repeat(32) })];
    await trust.refresh(from(repository(key, { artefacts })), NOW);
    assert.deepEqual(trust.artefact('1.1.0', 'arm64'), artefacts[0]);
    assert.deepEqual(trust.artefact('1.1.0', 'x64'), artefacts[1]);
    assert.equal(trust.artefact('1.1.0', 'armv7'), null);
    const again = new ReleaseTrust(trust.texts);
    assert.deepEqual(again.artefacts(), artefacts);
    assert.deepEqual(again.versions, { root: 1, timestamp: 1, snapshot: 1, targets: 1 });
  });

  test('an entry that contradicts its own name is none: arm64 is never given what is signed as armv7', async () => {
    const key = newKey();
    const files = repository(key);
    const targets = JSON.parse(files.get('1.targets.json') ?? '').signed;
    const [file] = Object.values(targets.targets) as { custom: { architecture: string } }[];
    assert.ok(file);
    file.custom.architecture = 'armv7';
    const swapped = makeTargets(1, NOW + DAY, [], [key]).replace(
      '"targets": {}',
      `"targets": ${JSON.stringify({ [artefactName('1.1.0', 'arm64')]: file })}`,
    );
    // Signed for what it is now: the check is of the contents.
    const { Metadata, MetadataKind, Signature } = await import('@tufjs/models');
    const { sign } = await import('node:crypto');
    const metadata = Metadata.fromJSON(MetadataKind.Targets, JSON.parse(swapped));
    metadata.sign(
      (data) => new Signature({ keyID: tufKey(key).keyID, sig: sign(null, data, key).toString('hex') }),
    );
    const text = JSON.stringify(metadata.toJSON());
    const snapshot = makeSnapshot(1, NOW + DAY, { version: 1, text }, [key]);
    const all = new Map([
      ['timestamp.json', makeTimestamp(1, NOW + DAY, { version: 1, text: snapshot }, [key])],
      ['1.snapshot.json', snapshot],
      ['1.targets.json', text],
    ]);
    const trust = new ReleaseTrust(keptRoot(makeRoot(1, NOW + 300 * DAY, signersOf(key))));
    await trust.refresh(from(all), NOW);
    assert.equal(trust.versions.targets, 1);
    assert.deepEqual(trust.artefacts(), []);
  });

  for (const role of ['timestamp', '1.snapshot', '1.targets']) {
    test(`${role}.json of another signer, or changed afterwards, is refused`, async () => {
      const key = newKey();
      const good = repository(key);
      const forged = repository(newKey());
      const root = keptRoot(makeRoot(1, NOW + 300 * DAY, signersOf(key)));
      const name = `${role}.json`;
      const other = new Map([...good, [name, forged.get(name) ?? '']]);
      await assert.rejects(new ReleaseTrust(root).refresh(from(other), NOW), code('release_signature'));
      const changed = new Map([...good, [name, (good.get(name) ?? '').replace('2026-07', '2036-07')]]);
      assert.notEqual(changed.get(name), good.get(name));
      await assert.rejects(new ReleaseTrust(root).refresh(from(changed), NOW), code('release_signature'));
    });
  }

  test('freeze: metadata past its expiry is refused, and what was believed stays', async () => {
    const key = newKey();
    const trust = await seen(key, 1);
    await assert.rejects(trust.refresh(from(repository(key)), NOW + 31 * DAY), code('release_expired'));
    assert.equal(trust.artefact('1.1.0', 'arm64')?.version, '1.1.0');
    await trust.refresh(from(repository(key, { version: 2, expiresMs: NOW + 60 * DAY })), NOW + 31 * DAY);
    assert.equal(trust.versions.timestamp, 2);
  });

  test('rollback: older metadata is refused, also by a box that was restarted in between', async () => {
    const key = newKey();
    const trust = new ReleaseTrust((await seen(key, 5)).texts);
    await assert.rejects(trust.refresh(from(repository(key, { version: 4 })), NOW), code('release_rollback'));
    assert.equal(trust.versions.targets, 5);
  });

  test('rollback of the targets alone, under newer timestamp and snapshot, is refused', async () => {
    const key = newKey();
    const trust = await seen(key, 5);
    const targets = makeTargets(4, NOW + DAY, [artefact()], [key]);
    const snapshot = makeSnapshot(6, NOW + DAY, { version: 4, text: targets }, [key]);
    const timestamp = makeTimestamp(6, NOW + DAY, { version: 6, text: snapshot }, [key]);
    const files = new Map([
      ['timestamp.json', timestamp],
      ['6.snapshot.json', snapshot],
      ['4.targets.json', targets],
    ]);
    await assert.rejects(trust.refresh(from(files), NOW), code('release_rollback'));
  });

  test('keys are rotated by a signed successor; twice while a box was off', async () => {
    const [first, second, third] = [newKey(), newKey(), newKey()];
    const root = keptRoot(makeRoot(1, NOW + DAY, signersOf(first)));
    const later = NOW + 200 * DAY;
    const files = repository(third, { version: 9, expiresMs: later + DAY });
    files.set('2.root.json', makeRoot(2, NOW + 2 * DAY, signersOf(second), [first]));
    files.set('3.root.json', makeRoot(3, later + 300 * DAY, signersOf(third), [second]));
    const trust = new ReleaseTrust(root);
    await trust.refresh(from(files), later);
    assert.deepEqual(trust.versions, { root: 3, timestamp: 9, snapshot: 9, targets: 9 });
    // The old key is worth nothing any more.
    await assert.rejects(
      trust.refresh(from(repository(first, { version: 10, expiresMs: later + DAY })), later),
    );
  });

  test('a successor needs the keys before it and its own', async () => {
    const [first, second] = [newKey(), newKey()];
    const root = keptRoot(makeRoot(1, NOW + DAY, signersOf(first)));
    const usurped = new Map([['2.root.json', makeRoot(2, NOW + DAY, signersOf(second), [])]]);
    await assert.rejects(new ReleaseTrust(root).refresh(from(usurped), NOW), code('release_signature'));
    const unwilling = signersOf(second);
    const halfSigned = makeRoot(2, NOW + DAY, { ...unwilling, root: { ...unwilling.root, threshold: 2 } }, [
      first,
    ]);
    await assert.rejects(
      new ReleaseTrust(root).refresh(from(new Map([['2.root.json', halfSigned]])), NOW),
      code('release_signature'),
    );
    const skipped = new Map([['2.root.json', makeRoot(3, NOW + DAY, signersOf(second), [first])]]);
    await assert.rejects(new ReleaseTrust(root).refresh(from(skipped), NOW), code('release_rollback'));
  });

  test('threshold: two of three keys, and one key twice is one', async () => {
    const keys = [newKey(), newKey(), newKey()];
    const [first, second] = keys as [KeyObject, KeyObject, KeyObject];
    const two = { keys, threshold: 2 };
    const root = makeRoot(1, NOW + DAY, { root: two, targets: two, snapshot: two, timestamp: two });
    const one = repository(first, { by: [first] });
    await assert.rejects(new ReleaseTrust(keptRoot(root)).refresh(from(one), NOW), code('release_signature'));
    const trust = new ReleaseTrust(keptRoot(root));
    await trust.refresh(from(repository(first, { by: [first, second] })), NOW);
    assert.equal(trust.artefacts().length, 1);
    const { keyID } = tufKey(first);
    const alias = JSON.parse(root);
    alias.signed.keys.alias = alias.signed.keys[keyID];
    alias.signed.roles.targets.keyids.push('alias');
    assert.throws(() => new ReleaseTrust(keptRoot(JSON.stringify(alias))), code('release_malformed'));
  });

  test('an attacker who signed versions without end is cured by rotating the keys', async () => {
    const [first, second] = [newKey(), newKey()];
    const trust = await seen(first, Number.MAX_SAFE_INTEGER);
    const files = repository(second, { version: 2 });
    files.set(
      '2.root.json',
      makeRoot(2, NOW + DAY, signersOf(second, { root: { keys: [first], threshold: 1 } })),
    );
    await trust.refresh(from(files), NOW);
    assert.equal(trust.versions.targets, 2);
  });

  test('hostile text is refused by a named error, and is never more than that', async () => {
    const key = newKey();
    const root = keptRoot(makeRoot(1, NOW + DAY, signersOf(key)));
    for (const text of [
      '',
      '{',
      'null',
      '[]',
      '{"signed":{}}',
      '{"signed":{"_type":"timestamp"},"signatures":[]}',
    ]) {
      const files = new Map([['timestamp.json', text]]);
      await assert.rejects(new ReleaseTrust(root).refresh(from(files), NOW), code('release_malformed'));
      assert.throws(() => new ReleaseTrust(keptRoot(text)), code('release_malformed'));
    }
  });
});

describe('which release suits a box', () => {
  const box = { architecture: 'arm64' as const, version: '1.2.0', highest: '1.3.0' };
  test('versions are numbers, not text', () => {
    assert.ok(compareVersions('1.10.0', '1.9.9') > 0);
    assert.equal(compareVersions('2.0.0', '2.0.0'), 0);
  });
  test('forwards, and no further than signed', () => {
    assertSuitable(artefact({ version: '1.3.0' }), box);
    assert.throws(
      () => assertSuitable(artefact({ version: '2.0.0', minimumFrom: '1.5.0' }), box),
      code('release_unsuitable'),
    );
  });
  test('back only where it is signed: not below the highest that ever ran', () => {
    assert.throws(() => assertSuitable(artefact({ version: '1.2.5' }), box), code('release_rollback'));
    assert.throws(
      () => assertSuitable(artefact({ version: '1.1.0', rollbackFrom: ['1.3.0'] }), box),
      code('release_rollback'),
    );
    assertSuitable(artefact({ version: '1.1.0', rollbackFrom: ['1.2.0'] }), box);
  });
  test('another architecture never', () => {
    assert.throws(
      () => assertSuitable(artefact({ version: '1.4.0', architecture: 'armv7' }), box),
      code('release_unsuitable'),
    );
  });
});
