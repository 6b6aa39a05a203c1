import assert from 'node:assert/strict';
import { readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { FleetFixture } from '#agent/link/fleet-fixture.ts';
import { tempFolder } from '#agent/store/store-fixture.ts';
import { checkFleetUrl, enrol } from './enrol.ts';
import { StateDirectory } from './identity.ts';

const never = new AbortController().signal;
const stamp = () => new Date().toISOString();

async function rig(t: TestContext) {
  const fleet = await FleetFixture.start();
  t.after(() => fleet.close());
  const folder = path.join(await tempFolder(t, 'state'), 'new', 'state');
  const state = new StateDirectory(folder);
  await state.open();
  return { fleet, folder, state };
}

test('enrolment: the identity is whole, private, and the key is ours alone', async (t) => {
  const { fleet, folder, state } = await rig(t);
  const identity = await enrol(state, fleet.url, fleet.newClaim(), stamp, never);
  assert.deepEqual(await state.readIdentity(), identity);
  assert.deepEqual(await readdir(folder), ['identity.json']);
  assert.equal((await stat(folder)).mode & 0o777, 0o700);
  assert.equal((await stat(path.join(folder, 'identity.json'))).mode & 0o777, 0o600);
  assert.match(identity.privateKey, /BEGIN PRIVATE KEY/);
});

test('enrolment: killed after the fleet has said yes, it ends with the same box', async (t) => {
  const { fleet, state } = await rig(t);
  const code = fleet.newClaim();
  // Exactly what is on the disk when the answer is lost.
  const write = state.writeIdentity.bind(state);
  state.writeIdentity = async () => {
    throw new Error('killed');
  };
  await assert.rejects(enrol(state, fleet.url, code, stamp, never), /killed/);
  assert.equal(await state.readIdentity(), null);
  const pending = await state.readPending();
  assert.equal(pending?.claimCode, code);
  state.writeIdentity = write;
  const identity = await enrol(state, fleet.url, code, stamp, never);
  assert.equal(identity.privateKey, pending?.privateKey);
  assert.equal(await state.readPending(), null);
});

test('enrolment: a wrong code is refused for good and leaves nothing behind', async (t) => {
  const { fleet, folder, state } = await rig(t);
  await assert.rejects(enrol(state, fleet.url, 'AAAA-BBBB-CCCC', stamp, never), { code: 'claim_invalid' });
  assert.deepEqual(await readdir(folder), []);
});

test('enrolment: no fleet, or something else in its place, is said plainly', async (t) => {
  const { fleet, state } = await rig(t);
  const code = fleet.newClaim();
  await assert.rejects(enrol(state, 'http://127.0.0.1:9', code, stamp, never), {
    code: 'unavailable',
    message: /cannot be reached/,
  });
  await assert.rejects(enrol(state, `${fleet.url}/else`, code, stamp, never), { code: 'unavailable' });
});

test('enrolment: plain http only on this machine', () => {
  for (const url of [
    'https://fleet.example',
    'http://localhost:7080',
    'http://127.0.0.1:1',
    'http://[::1]:1',
  ]) {
    checkFleetUrl(url);
  }
  for (const url of [
    'http://fleet.example',
    'http://192.168.1.2:7080',
    'http://127.0.0.1.evil.example',
    'ftp://localhost',
  ]) {
    assert.throws(() => checkFleetUrl(url), { code: 'insecure_fleet_url', message: /https:\/\// }, url);
  }
});

test('state: a damaged file is named, with what to do', async (t) => {
  const { folder, state } = await rig(t);
  await writeFile(path.join(folder, 'identity.json'), '{"v":1');
  await assert.rejects(state.readIdentity(), /identity\.json is damaged: restore it, or remove it/);
});
