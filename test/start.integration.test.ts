import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, describe, it } from 'node:test';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { isAlive, processIdentity } from '#local/processes.ts';
import { findTool } from '#test/support/tools.ts';

const ROOT = join(import.meta.dirname, '..');

/** `npm start` as a person sees it: a process with an output, and Ctrl-C. */
class Start {
  output = '';
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;

  constructor(data: string, args: string[] = []) {
    // Without what the test runner tells its children.
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(HEARTH_|NODE_TEST|DATABASE_URL)/.test(name)),
    );
    this.child = spawn(process.execPath, [join(ROOT, 'local/start.js'), ...args], {
      // Anywhere: it must find its own files.
      cwd: '/',
      env: { ...env, HEARTH_DATA: data },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (text) => {
      this.output += text;
    });
    this.child.stderr?.on('data', (text) => {
      this.output += text;
    });
    this.exited = new Promise((done) => this.child.once('exit', (code) => done(code)));
  }

  /** @throws with the output when it ends instead */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    return waitFor(
      () => {
        const found = pattern.exec(this.output);
        if (!found && this.child.exitCode !== null) throw new Error(`it ended:\n${this.output}`);
        return found;
      },
      () => `it does not say ${pattern}:\n${this.output}`,
      { timeoutMs: 180_000 },
    );
  }
}

describe('npm start', () => {
  const root = mkdtempSync(join(tmpdir(), 'hearth-start-'));
  chmodSync(root, 0o755);
  const data = join(root, 'data');
  const started: Start[] = [];
  const start = (args?: string[], folder = data) => {
    const one = new Start(folder, args);
    started.push(one);
    return one;
  };
  afterEach((context) => {
    if ('passed' in context && !context.passed) console.error(started.at(-1)?.output);
  });
  after(async () => {
    for (const one of started) {
      one.child.kill('SIGINT');
      await one.exited;
    }
    rmSync(root, { recursive: true, force: true });
  });

  /** Everything that mentions the data folder in its command line or environment. */
  function leftovers(): string[] {
    if (process.platform !== 'linux') return [];
    return readdirSync('/proc').filter((pid) => {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
      try {
        const text =
          readFileSync(`/proc/${pid}/cmdline`, 'utf8') + readFileSync(`/proc/${pid}/environ`, 'utf8');
        return text.includes(data) && processIdentity(Number(pid)) !== null;
      } catch {
        return false;
      }
    });
  }
  const table = (output: string) =>
    [...output.matchAll(/^(Box \d) +(box-\w+) +(\w+) +(\d+) +([\d.]+) +([\d.]+)$/gm)].map(
      ([, label, id, state, holds, , earned]) => ({
        label,
        id,
        state,
        holds: Number(holds),
        earned: Number(earned),
      }),
    );

  it('--once runs the main loop, exits 0 and leaves nothing running', async () => {
    const once = start(['--once']);
    assert.equal(await once.exited, 0, once.output);
    assert.match(once.output, /fetched \/bbb\.mp4 whole from Box [12]: 22\.7 MB, SHA-256 [0-9a-f]{16}/);
    assert.match(once.output, /fetched by Range from Box [12]/);
    if (findTool('ffmpeg'))
      assert.match(once.output, /played \/hls\/index\.m3u8: \d+ segments by relative URLs/);
    else assert.match(once.output, /no HLS rendition, the mp4 alone: ffmpeg is not installed/);
    const boxes = table(once.output);
    assert.deepEqual(
      boxes.map((box) => [box.label, box.state]),
      [
        ['Box 1', 'online'],
        ['Box 2', 'online'],
        ['Box 3', 'online'],
      ],
    );
    assert.ok(
      (boxes[0]?.holds ?? 0) >= 2 && boxes[0]?.holds === boxes[1]?.holds && boxes[2]?.holds === 0,
      once.output,
    );
    assert.ok((boxes[0]?.earned ?? 0) + (boxes[1]?.earned ?? 0) > 0);
    assert.deepEqual(leftovers(), []);
    assert.equal(statSync(join(data, 'settings.json')).mode & 0o777, 0o600);
  });

  it('resumes with the same boxes, stays up, keeps others out, and stops at Ctrl-C', async () => {
    const before = table(started[0]?.output ?? '');
    const again = start();
    const [, client] = await again.says(/the video +(http:\/\/video\.localhost:\d+)\/bbb\.mp4/);
    const [, password] = await again.says(/user admin, password (\S+)/);
    await again.says(/Ctrl-C stops everything/);
    const now = table(again.output);
    assert.deepEqual(
      now.map((box) => [box.id, box.holds]),
      before.map((box) => [box.id, box.holds]),
    );
    assert.doesNotMatch(again.output, /enrolling|registering|ingesting|assigning/);
    assert.match(again.output, /fetched \/bbb\.mp4 whole/);
    const earned = (rows: typeof now) => rows.reduce((total, box) => total + box.earned, 0);
    assert.ok(earned(now) > earned(before), 'what was earned before is kept');

    const second = start();
    assert.equal(await second.exited, 1);
    assert.match(second.output, new RegExp(`running on .* already \\(process ${again.child.pid}\\)`));

    const [, console_] = await again.says(/operator's console +(http:\S+)\//);
    const login = await fetch(`${console_}/api/v1/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-hearth-csrf': '1' },
      body: JSON.stringify({ username: 'admin', password }),
    });
    assert.equal(login.status, 200);
    assert.ok(client);

    if (process.platform === 'linux')
      assert.ok(leftovers().length >= 6, 'start, Postgres, fleet-server and boxes are seen');
    again.child.kill('SIGINT');
    assert.equal(await again.exited, 0, again.output);
    assert.match(
      again.output,
      /stopping origin[\s\S]*stopping fleet-server[\s\S]*stopping Postgres[\s\S]*all stopped/,
    );
    assert.deepEqual(leftovers(), []);
  });

  it('says which part died and what it said last; and a killed run is cleaned up by the next', async () => {
    const run = start();
    await run.says(/Ctrl-C stops everything/);
    const children: string[] = JSON.parse(readFileSync(join(data, 'run.json'), 'utf8')).children;
    const last = children.at(-1) ?? '';
    process.kill(Number.parseInt(last, 10), 'SIGKILL');
    await run.says(/box 3 has ended by itself\. It said last:\n.*"level"/);
    assert.equal(run.child.exitCode, null, 'the rest goes on');

    run.child.kill('SIGKILL');
    await run.exited;
    const once = start(['--once']);
    assert.equal(await once.exited, 0, once.output);
    assert.ok(children.every((identity) => !isAlive(identity)));
    assert.deepEqual(leftovers(), []);
  });

  it('explains a bad option', async () => {
    const bad = start(['--onec'], join(root, 'other'));
    assert.equal(await bad.exited, 2);
    assert.match(bad.output, /unknown: --onec\nusage:/);
  });
});
