import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { isHearthError } from '#protocol/errors.ts';
import { isAlive, processIdentity } from './processes.ts';
import { Workspace } from './workspace.ts';

describe('workspace', () => {
  const root = mkdtempSync(join(tmpdir(), 'hearth-workspace-'));
  const quiet = () => {};
  after(() => rmSync(root, { recursive: true }));

  it('keeps secrets private, and finds them and its ports again', async () => {
    const path = join(root, 'kept');
    const first = await Workspace.open(path, 3, quiet);
    const port = await first.port('api', 17_080);
    first.close();
    assert.equal(statSync(join(path, 'settings.json')).mode & 0o777, 0o600);
    const second = await Workspace.open(path, 3, quiet);
    assert.equal(second.settings.adminPassword, first.settings.adminPassword);
    assert.equal(await second.port('api', 20_000), port);
    assert.ok(first.settings.adminToken.length >= 32);
    second.close();
    assert.ok(!existsSync(join(path, 'run.json')));
  });

  it('moves to the next free port, never to one promised to another part, and not once it is settled', async () => {
    const workspace = await Workspace.open(join(root, 'ports'), 1, quiet);
    const free = await workspace.port('a', 17_200);
    const beside = await workspace.port('b', free);
    assert.ok(beside > free);
    const squatter = createServer();
    await new Promise<void>((done) => squatter.listen(free, '127.0.0.1', done));
    try {
      workspace.settle('a');
      await assert.rejects(
        workspace.port('a', 17_200),
        (error: Error) =>
          isHearthError(error, 'conflict') && error.message.includes(`port ${free} (a) is taken`),
      );
      workspace.settings.settled = [];
      const moved = await workspace.port('a', 17_200);
      assert.ok(moved !== free && moved !== beside);
    } finally {
      squatter.close();
      workspace.close();
    }
  });

  it('is for one run at a time, and ends what a killed run left', async () => {
    const path = join(root, 'taken');
    const workspace = await Workspace.open(path, 1, quiet);
    await assert.rejects(
      Workspace.open(path, 1, quiet),
      (error: Error) => isHearthError(error, 'conflict') && error.message.includes(`process ${process.pid}`),
    );
    const orphan = spawn('sleep', ['60']);
    const gone = spawn('sleep', ['0']);
    await new Promise((done) => gone.once('exit', done));
    const identity = processIdentity(orphan.pid ?? 0);
    assert.ok(identity);
    // As a killed run leaves it; the second child's id may be another's by now, and must be left alone.
    const bystander = spawn('sleep', ['60']);
    const run = { owner: '999999@1', children: [identity, `${bystander.pid}@1`] };
    writeFileSync(join(path, 'run.json'), JSON.stringify(run));
    const lines: string[] = [];
    const next = await Workspace.open(path, 1, (line) => lines.push(line));
    assert.ok(!isAlive(identity));
    assert.equal(bystander.signalCode, null);
    assert.match(lines.join(), /ending the 1 programs/);
    assert.equal(JSON.parse(readFileSync(join(path, 'run.json'), 'utf8')).children.length, 0);
    bystander.kill();
    next.close();
    workspace.close();
  });

  it('says what to do about damaged settings', async () => {
    const path = join(root, 'damaged');
    (await Workspace.open(path, 1, quiet)).close();
    writeFileSync(join(path, 'settings.json'), '{"adminPassword":');
    await assert.rejects(
      Workspace.open(path, 1, quiet),
      (error: Error) => error.message.includes('is damaged') && error.message.includes('begin anew'),
    );
  });
});
