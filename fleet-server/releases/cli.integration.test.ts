import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type FleetFixture, fleetFixture, TOKEN } from '#fleet/testing/fleet-fixture.ts';

const PROGRAM = fileURLToPath(new URL('../cli/hearth.ts', import.meta.url));
let fleet: FleetFixture;
let folder: string;
before(async () => {
  fleet = await fleetFixture();
  folder = await mkdtemp(path.join(tmpdir(), 'hearth-release-'));
});
after(async () => {
  await fleet?.close();
  await rm(folder, { recursive: true, force: true });
});

/** The command line as an operator uses it; `online` gives it the fleet. */
async function hearth(
  words: string,
  { online = false, env = {} } = {},
): Promise<{ code: number; out: string; err: string }> {
  const connection = online ? { HEARTH_URL: fleet.apiUrl, HEARTH_TOKEN: TOKEN } : {};
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [PROGRAM, ...words.split(' ')],
      { cwd: folder, env: { PATH: process.env.PATH, ...connection, ...env } },
      (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
  });
}
async function ok(words: string, options = {}) {
  const { code, out, err } = await hearth(words, options);
  assert.equal(code, 0, `${words}: ${err}`);
  return out;
}

test('releases are signed offline, published, handed on to other keys, and kept fresh', async () => {
  await ok('release keygen one.pem');
  await ok('release keygen two.pem', { env: { HEARTH_KEY_PASSPHRASE: 'correct horse' } });
  assert.equal((await stat(path.join(folder, 'one.pem'))).mode & 0o777, 0o600);
  assert.match(await readFile(path.join(folder, 'two.pem'), 'utf8'), /ENCRYPTED/);
  assert.match((await hearth('release keygen one.pem')).err, /one\.pem cannot be made/);
  await writeFile(path.join(folder, 'agent-a'), 'an executable');
  await writeFile(path.join(folder, 'agent-b'), 'another executable');

  await ok('release init repo --key one.pem');
  await ok('release add repo 1.0.0 --artefact arm64=agent-a --key one.pem');
  await ok(
    'release add repo 1.1.0 --artefact arm64=agent-b --artefact armv7=agent-a --key one.pem --rollback-to 1.0.0 --minimum-from 0.9.0',
  );
  const listed = await ok('release publish repo', { online: true });
  assert.match(listed, /1\.1\.0 +armv7 .*0\.9\.0/);
  assert.match(listed, /1\.0\.0 +arm64 .*1\.1\.0/);

  const pass = { env: { HEARTH_KEY_PASSPHRASE: 'correct horse' } };
  await ok('release rotate repo --key one.pem --new-key two.pem', pass);
  const outdated = await hearth('release refresh repo --key one.pem', pass);
  assert.equal(outdated.code, 1);
  assert.match(outdated.err, /needs 1 of the root's keys, 0 of those given/);
  await ok('release refresh repo --key two.pem --days 7', pass);
  assert.match(await ok('release publish repo', { online: true }), /root 2;/);
  const { freshUntil } = JSON.parse(await ok('release list --json', { online: true }));
  assert.ok(Date.parse(freshUntil) < Date.now() + 7.1 * 86_400_000);
});

test('what is wrong is said, with what to do', async () => {
  await writeFile(path.join(folder, 'agent'), 'an executable');
  await writeFile(path.join(folder, 'for-armv7'), '// hearth-agent 1.2.0 armv7\n');
  await ok('release keygen own.pem');
  await ok('release init own --key own.pem');
  for (const [words, code, said] of [
    ['release init other', 2, /which key\?/],
    ['release add nowhere 1.0.0 --artefact arm64=agent --key own.pem', 1, /begin with "release init"/],
    ['release add own 1 --artefact arm64=agent --key own.pem', 2, /"1" is no version/],
    ['release add own 1.2.0 --artefact mips=agent --key own.pem', 2, /armv7=FILE/],
    ['release add own 1.2.0 --artefact arm64=for-armv7 --key own.pem', 1, /is 1\.2\.0 for armv7, and cannot/],
    ['release add own 1.3.0 --artefact armv7=for-armv7 --key own.pem', 1, /is 1\.2\.0 for armv7, and cannot/],
    ['release add own 1.2.0 --artefact arm64=nothing --key own.pem', 1, /nothing cannot be read/],
    ['release init own --key own.pem', 1, /holds releases already/],
    ['release nonsense', 2, /it has keygen, init/],
    ['release init third --key agent', 1, /no key that can be read/],
    ['rollout start 1.1.0', 1, /No box that can be updated/],
    ['rollout start 1.1.0 --window 3', 2, /such as 2-5/],
    ['rollout show', 2, /there is no rollout/],
    ['rollout cancel', 2, /say --yes|no rollout/],
  ] as const) {
    const answer = await hearth(words, {
      online: !words.startsWith('release') || words.includes('nonsense'),
    });
    assert.match(answer.err, said, words);
    assert.equal(answer.code, code, words);
  }
});
