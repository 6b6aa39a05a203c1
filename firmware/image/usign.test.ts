import assert from 'node:assert/strict';
import { test } from 'node:test';
import { releaseNamed } from './release.ts';
import { usignKeyId, usignVerify } from './usign.ts';

test("OpenWrt's keys are the ones their names say", () => {
  for (const version of ['24.10.0', '25.12.10-rc2']) {
    const release = releaseNamed(version);
    assert.equal(usignKeyId(release.publicKey), release.keyId);
  }
  for (const version of ['24.10', '23.05.1', '25.12.1/../..', '', 'snapshot']) {
    assert.throws(() => releaseNamed(version), /images are made on 24\.10\.x and 25\.12\.x/);
  }
});

test('what is no key or signature is refused, never taken for a wrong one', () => {
  const { publicKey } = releaseNamed('24.10.0');
  const nothing = Buffer.from('x');
  for (const text of ['', 'untrusted comment: x\n', 'untrusted comment: x\nRWTT\n', publicKey]) {
    assert.throws(() => usignVerify(nothing, text, publicKey), /that is no signature of usign/);
  }
  assert.throws(() => usignKeyId(publicKey.slice('untrusted'.length)), /that is no public key of usign/);
});
