import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import pg from 'pg';
import { LocalPostgres } from './postgres.ts';
import { postgresAccount } from './postgres-account.ts';
import { postgresBinaries, reachablePrograms, SHARED_HOME } from './postgres-binaries.ts';
import { isAlive, processIdentity } from './processes.ts';

async function query(server: LocalPostgres, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: server.url('postgres') });
  await client.connect();
  try {
    return (await client.query({ text: sql, rowMode: 'array' })).rows.map((row) => row[0]);
  } finally {
    await client.end();
  }
}

/** Ends the postmaster alone, as the kernel's out-of-memory killer would. */
async function killHard(server: LocalPostgres): Promise<void> {
  process.kill(server.pid, 'SIGKILL');
  await server.exited;
}

describe('local Postgres', () => {
  const root = mkdtempSync(join(tmpdir(), 'hearth-postgres-test-'));
  const running = new Set<LocalPostgres>();
  const lines: string[] = [];
  chmodSync(root, 0o755);

  async function start(directory: string, extra: { preferredPort?: number } = {}): Promise<LocalPostgres> {
    const server = await LocalPostgres.start({ directory, log: (line) => lines.push(line), ...extra });
    running.add(server);
    return server;
  }

  after(async () => {
    for (const server of running) await server.destroy();
    rmSync(root, { recursive: true, force: true });
  });

  it('keeps committed rows through an orderly stop and through SIGKILL, and its port', async () => {
    const directory = join(root, 'kept');
    const first = await start(directory);
    await query(first, 'create table t (n int)');
    await query(first, 'insert into t values (1)');
    await first.stop();

    const second = await start(directory, { preferredPort: first.port });
    assert.equal(second.port, first.port);
    await query(second, 'insert into t values (2)');
    await killHard(second);
    assert.match(readFileSync(join(second.data, 'postmaster.pid'), 'utf8'), new RegExp(`^${second.pid}\n`));

    const third = await start(directory);
    assert.deepEqual(await query(third, 'select n from t order by n'), [1, 2]);
    running.delete(first);
    running.delete(second);
  });

  it('is for those who know the password, on 127.0.0.1, and says who uses the folder', async () => {
    const directory = join(root, 'closed');
    const server = await start(directory);
    const wrong = new pg.Client({ connectionString: server.url('postgres').replace(/:[^:@/]+@/, ':wrong@') });
    await assert.rejects(wrong.connect(), /password authentication failed/);
    assert.deepEqual(await query(server, "select setting from pg_settings where name = 'listen_addresses'"), [
      '127.0.0.1',
    ]);
    assert.equal(statSync(join(directory, 'cluster.json')).mode & 0o777, 0o600);

    // Another program on the same folder: refused while the first lives.
    const script = `import('${new URL('./postgres.ts', import.meta.url)}').then(async ({ LocalPostgres }) => {
      await LocalPostgres.start({ directory: ${JSON.stringify(directory)} }).then(() => process.exit(9),
        (error) => { console.log(error.code, error.message); process.exit(0); }); })`;
    const other = spawn(process.execPath, ['--input-type=module', '-e', script]);
    let said = '';
    other.stdout.on('data', (data) => {
      said += data;
    });
    other.stderr.on('data', (data) => {
      said += data;
    });
    const code = await new Promise((done) => other.once('close', done));
    assert.equal(code, 0, said);
    assert.match(said, new RegExp(`^conflict .*in use by process ${process.pid}`));
  });

  it('stops the server that a killed program left behind, and takes over', async () => {
    const directory = join(root, 'orphan');
    const script = `import('${new URL('./postgres.ts', import.meta.url)}').then(async ({ LocalPostgres }) => {
      const server = await LocalPostgres.start({ directory: ${JSON.stringify(directory)} });
      console.log(server.pid); setInterval(() => {}, 1000); })`;
    const program = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const pid = await new Promise<number>((done) =>
      program.stdout.once('data', (data) => done(Number(data))),
    );
    const identity = processIdentity(pid);
    assert.ok(identity !== null && isAlive(identity));
    program.kill('SIGKILL');
    await new Promise((done) => program.once('exit', done));
    assert.ok(isAlive(identity), 'it is its own process group leader and lives on');

    const server = await start(directory);
    assert.ok(!isAlive(identity));
    assert.deepEqual(await query(server, 'select 1'), [1]);
  });

  it('is not fooled by a pid file that names a process of someone else', async () => {
    const directory = join(root, 'reused');
    const first = await start(directory);
    await killHard(first);
    const pidFile = join(first.data, 'postmaster.pid');
    const text = readFileSync(pidFile, 'utf8');
    // A process of the same user, as after a restart of the machine.
    const { uid, gid } = statSync(first.data);
    const bystander = spawn('sleep', ['60'], { uid, gid, cwd: '/' });
    try {
      writeFileSync(pidFile, text.replace(/^\d+/, String(bystander.pid)));
      const second = await start(directory);
      assert.deepEqual(await query(second, 'select 1'), [1]);
      assert.equal(bystander.exitCode, null);
      assert.equal(bystander.signalCode, null);
      running.delete(first);
    } finally {
      bystander.kill('SIGKILL');
    }
  });

  it('begins anew when it was killed while the database was being made', async () => {
    const directory = join(root, 'half');
    mkdirSync(join(directory, 'data'), { recursive: true });
    mkdirSync(join(directory, 'data.new-abcdef'));
    writeFileSync(join(directory, 'data', 'postgresql.conf'), 'half');
    const server = await start(directory);
    assert.deepEqual(await query(server, 'select 1'), [1]);
  });

  it('works below a folder that only its owner may enter', async () => {
    const closed = mkdtempSync(join(root, 'closed-'));
    assert.equal(statSync(closed).mode & 0o777, 0o700);
    const directory = join(closed, 'db');
    const first = await start(directory);
    await query(first, 'create table t as select 7 as n');
    await first.stop();
    const server = await start(directory);
    assert.deepEqual(await query(server, 'select n from t'), [7]);
    if (process.getuid?.() === 0) {
      assert.ok(server.data.startsWith(SHARED_HOME), server.data);
      assert.ok(lines.some((line) => line.includes(server.data) && line.includes('closed to the user')));
    } else {
      assert.ok(server.data.startsWith(directory));
    }
    running.delete(first);
  });

  it('copies the programs once when the checkout lies in such a folder', (t) => {
    const account = postgresAccount(() => {});
    if (account === null) return t.skip('only root runs Postgres as another user');
    const closed = mkdtempSync(join(root, 'checkout-'));
    const { postgres, version } = postgresBinaries(account, () => {});
    const native = join(closed, 'native');
    cpSync(dirname(dirname(postgres)), native, { recursive: true, verbatimSymlinks: true });
    const told: string[] = [];
    const label = `${version}-test-${process.pid}`;
    const first = reachablePrograms(native, label, account, (line) => told.push(line));
    try {
      assert.ok(first.postgres.startsWith(`${SHARED_HOME}/programs-${label}`), first.postgres);
      const run = spawnSync(first.postgres, ['--version'], { uid: account.uid, gid: account.gid, cwd: '/' });
      assert.match(run.stdout.toString(), /^postgres \(PostgreSQL\)/);
      assert.deepEqual(
        reachablePrograms(native, label, account, (line) => told.push(line)),
        first,
      );
      assert.equal(told.length, 1, 'copied once');
    } finally {
      rmSync(dirname(dirname(first.postgres)), { recursive: true });
    }
  });

  it('says what to do when the data is gone', async () => {
    const directory = join(root, 'gone');
    const server = await start(directory);
    await server.stop();
    rmSync(server.data, { recursive: true });
    await assert.rejects(
      LocalPostgres.start({ directory }),
      (error: Error) => error.message.includes('is gone from') && error.message.includes('begin anew'),
    );
  });
});
