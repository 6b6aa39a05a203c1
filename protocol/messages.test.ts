import assert from 'node:assert/strict';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import fc from 'fast-check';
import { assetManifestSchema, assetPathSchema, chunkSpan, pathPrefixSchema } from './asset.ts';
import { ERROR_CODES, isHearthError } from './errors.ts';
import { claimCodeSchema, newClaimCode, newId } from './ids.ts';
import { chunkCount, chunkSizeFor, LIMITS } from './limits.ts';
import { type Command, clip, encodeDown, encodeUp, parseDown, parseUp, UP_KINDS } from './messages.ts';
import { openCommand, signCommand } from './signing.ts';
import { downTopic, parseTopic, upTopic } from './topics.ts';

const refusal = (code: string) => (error: unknown) => isHearthError(error) && error.code === code;
const at = '2026-11-21T10:00:00.000Z';
const boxId = newId('box');

test('a message survives the wire', () => {
  const message = {
    v: 1 as const,
    at,
    assets: [
      {
        assetId: newId('asset'),
        sha256: 'a'.repeat(64),
        state: 'downloading' as const,
        bytesDone: 5,
        reason: null,
      },
    ],
  };
  assert.deepEqual(parseUp('report', encodeUp('report', message)), message);
});

test('who else holds an object is asked and answered, within bounds', () => {
  const wanted = { v: 1 as const, at, sha256s: ['a'.repeat(64)] };
  assert.deepEqual(parseUp('sources-wanted', encodeUp('sources-wanted', wanted)), wanted);
  const many = Array.from({ length: LIMITS.sourcesWanted + 1 }, () => 'a'.repeat(64));
  assert.throws(() => encodeUp('sources-wanted', { ...wanted, sha256s: many }), /sha256s/);
  assert.throws(() => encodeUp('sources-wanted', { ...wanted, sha256s: [] }), /sha256s/);
  const source = { boxId, url: 'http://192.168.1.7:7090/c/token/site/a', lan: true };
  const answer = { v: 1 as const, sha256: 'a'.repeat(64), expiresAt: at, sources: [source] };
  assert.deepEqual(parseDown('sources', encodeDown('sources', answer)), answer);
  for (const url of ['file:///etc/passwd', 'ftp://box/', 'x']) {
    assert.throws(() => encodeDown('sources', { ...answer, sources: [{ ...source, url }] }), /sources/);
  }
});

test('what was clipped can be sent', () => {
  for (const text of ['a\0b', '\ud800', 'x'.repeat(LIMITS.textChars + 1)]) {
    const message = { v: 1 as const, at, bootId: randomUUID(), agentVersion: clip(text) };
    assert.deepEqual(parseUp('hello', encodeUp('hello', message)), message);
    assert.throws(() => encodeUp('hello', { ...message, agentVersion: text }), /agentVersion/);
  }
});

test('malformed messages are refused with a reason, whatever they are', () => {
  assert.throws(() => parseUp('hello', Buffer.from('{')), refusal('message_malformed'));
  assert.throws(() => parseUp('hello', Buffer.from('null')), refusal('message_malformed'));
  assert.throws(() => parseUp('hello', Buffer.from('{"v":2}')), refusal('message_version'));
  assert.throws(() => parseUp('hello', Buffer.from('{"v":1}')), /at: /);
  assert.throws(
    () => parseUp('hello', Buffer.alloc(LIMITS.mqttPayloadBytes + 1)),
    refusal('message_too_large'),
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...UP_KINDS),
      fc.oneof(fc.uint8Array(), fc.json().map(Buffer.from)),
      (kind, bytes) => {
        assert.throws(
          () => parseUp(kind, bytes),
          (error) => isHearthError(error),
        );
      },
    ),
  );
});

test('what a sender gets wrong is caught before it is sent', () => {
  const asset = {
    assetId: newId('asset'),
    sha256: 'a'.repeat(64),
    state: 'held' as const,
    bytesDone: -1,
    reason: null,
  };
  assert.throws(() => encodeUp('report', { v: 1, at, assets: [asset] }), /bytesDone/);
});

test('topics belong to one box and say a direction and a kind', () => {
  assert.deepEqual(parseTopic(upTopic(boxId, 'hello')), { boxId, direction: 'up', kind: 'hello' });
  assert.deepEqual(parseTopic(downTopic(boxId, 'command')), { boxId, direction: 'down', kind: 'command' });
  const strange = [
    '',
    '/',
    'hearth/v2/boxes/x/up/hello',
    `hearth/v1/boxes/${boxId}/up/command`,
    `hearth/v1/boxes/${boxId}/down/hello`,
    `hearth/v1/boxes/${boxId}/up/hello/more`,
    `hearth/v1/boxes/+/up/hello`,
    `hearth/v1/boxes/${boxId}/up/__proto__`,
  ];
  for (const topic of strange) assert.throws(() => parseTopic(topic), refusal('topic_unknown'), topic);
});

test('a command is opened by its box alone, in time, with the signature of its fleet', () => {
  const fleet = generateKeyPairSync('ed25519');
  const command: Command = {
    id: newId('cmd'),
    boxId,
    issuedAt: at,
    expiresAt: '2026-11-21T11:00:00.000Z',
    body: { type: 'index' },
  };
  const envelope = parseDown('command', encodeDown('command', signCommand(command, fleet.privateKey)));
  const now = Date.parse(at);
  assert.deepEqual(openCommand(envelope, fleet.publicKey, boxId, now), command);
  assert.throws(
    () => openCommand(envelope, fleet.publicKey, newId('box'), now),
    refusal('message_signature'),
  );
  assert.throws(
    () => openCommand(envelope, fleet.publicKey, boxId, now + 3_600_000),
    refusal('message_expired'),
  );
  assert.deepEqual(openCommand(envelope, fleet.publicKey, boxId, null), command);
  const other = generateKeyPairSync('ed25519').publicKey;
  assert.throws(() => openCommand(envelope, other, boxId, now), refusal('message_signature'));
  const changed = { ...envelope, payload: envelope.payload.replace('index', 'hardware') };
  assert.throws(() => openCommand(changed, fleet.publicKey, boxId, now), refusal('message_signature'));
});

test('asset paths have one spelling and lead nowhere else', () => {
  for (const good of ['/a', '/a/b.mp4', '/ü/%20', '/a b', '/...'])
    assert.ok(assetPathSchema.safeParse(good).success, good);
  const bad = [
    '',
    '/',
    'a',
    '//a',
    '/a/',
    '/a//b',
    '/.',
    '/..',
    '/a/../b',
    '/a\0',
    '/a\\b',
    '/a?b',
    '/a#b',
    '/\ud800',
    `/${'x'.repeat(1024)}`,
  ];
  for (const path of bad) assert.ok(!assetPathSchema.safeParse(path).success, JSON.stringify(path));
  for (const good of ['/', '/a/', '/a/b/']) assert.ok(pathPrefixSchema.safeParse(good).success, good);
  for (const path of ['', '/a', 'a/', '//', '/../'])
    assert.ok(!pathPrefixSchema.safeParse(path).success, path);
});

test('chunks cover an asset exactly, and are never too many', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (any) => {
      const sizeBytes = any % (LIMITS.assetSizeBytes + 1);
      const chunkSizeBytes = chunkSizeFor(sizeBytes);
      const count = chunkCount(sizeBytes, chunkSizeBytes);
      assert.ok(count <= LIMITS.chunksPerAsset);
      if (count === 0) return assert.equal(sizeBytes, 0);
      const last = chunkSpan({ sizeBytes, chunkSizeBytes }, count - 1);
      assert.equal(last.start + last.length, sizeBytes);
      assert.ok(last.length > 0);
    }),
  );
});

test('a manifest with too few hashes is refused', () => {
  const manifest = {
    assetId: newId('asset'),
    siteId: newId('site'),
    path: '/a',
    originUrl: 'http://origin.test/a',
    sizeBytes: 2 ** 20 + 1,
    sha256: 'a'.repeat(64),
    chunkSizeBytes: 2 ** 20,
    chunkHashes: Buffer.alloc(64).toString('base64url'),
    headers: { contentType: 'video/mp4', cacheControl: null, lastModified: null },
  };
  assert.ok(assetManifestSchema.safeParse(manifest).success);
  assert.ok(
    !assetManifestSchema.safeParse({ ...manifest, chunkHashes: Buffer.alloc(32).toString('base64url') })
      .success,
  );
  assert.ok(
    !assetManifestSchema.safeParse({
      ...manifest,
      headers: { ...manifest.headers, contentType: 'a\r\nb: c' },
    }).success,
  );
});

test('claim codes are taken as people type them', () => {
  const code = newClaimCode();
  assert.equal(claimCodeSchema.parse(` ${code.toLowerCase().replaceAll('-', ' ')} `), code);
  assert.equal(claimCodeSchema.parse('ooil-llii-0000'), '0011-1111-0000');
  for (const bad of ['', '1234', 'UUUU-UUUU-UUUU', `${code}1`])
    assert.ok(!claimCodeSchema.safeParse(bad).success, bad);
});

test('every error code is documented, and no other', async () => {
  const text = await readFile(new URL('../docs/errors.md', import.meta.url), 'utf8');
  const documented = [...text.matchAll(/^\| `([a-z0-9_]+)` \|/gm)].map((match) => match[1]);
  assert.deepEqual(documented.toSorted(), Object.keys(ERROR_CODES).toSorted());
});
