import { spawn } from 'node:child_process';
import { chmodSync, existsSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { parseArgs } from 'node:util';
import { BOARDS } from '#firmware/qemu/boards.ts';
import { LocalPostgres } from '#local/postgres.ts';
import { setup } from './setup.ts';
import { SHARED_POSTGRES, THROWAWAY } from './support/postgres.ts';
import { isDebian } from './support/tools.ts';

/**
 * `npm test [path...]`: type check, lint, the dashboards' build, then unit, integration and browser tests.
 * Paths (parts of file names) run only the test files that match. With `--vm` it runs the suites on emulated boards
 * instead, and takes these:
 *
 *   --board NAME   this board alone
 *   --cuts N       so many power cuts (10)
 *   --quick        what a landing has time for
 *   --image FILE   a whole OpenWrt image for that board in place of Debian's kernel and busybox
 */
const ROOT = join(import.meta.dirname, '..');
const FOLDERS = [
  'protocol',
  'shaping',
  'device-agent',
  'fleet-server',
  'webui',
  'local',
  'firmware',
  'packaging',
  'test',
];

const TIERS = [
  { name: 'unit', concurrency: 2, timeoutMs: 120_000, postgres: false },
  { name: 'integration', concurrency: 2, timeoutMs: 600_000, postgres: true },
  { name: 'browser', concurrency: 1, timeoutMs: 600_000, postgres: true },
  // Emulated boards: a core each for many minutes, and only when asked for (npm run test:qemu).
  { name: 'vm', concurrency: 1, timeoutMs: 10_800_000, postgres: true },
] as const;
type Tier = (typeof TIERS)[number];

/** So many files of a tier may fail in CI and be run again. */
const SECOND_CHANCES = 2;

interface Outcome {
  stage: string;
  ok: boolean;
  tookMs: number;
  note: string;
}

const outcomes: Outcome[] = [];
const totals = { passed: 0, failed: 0, skipped: 0 };
const stop = new AbortController();
const say = (line: string) => process.stdout.write(`== ${line}\n`);

async function stage(name: string, work: () => Promise<{ ok: boolean; note?: string }>): Promise<void> {
  if (stop.signal.aborted) return;
  say(`${name} ...`);
  const from = Date.now();
  const result = await work().catch((error: unknown) => ({ ok: false, note: String(error) }));
  const outcome = { stage: name, ok: result.ok, tookMs: Date.now() - from, note: result.note ?? '' };
  outcomes.push(outcome);
  say(line(outcome));
}

function line({ stage: name, ok, tookMs, note }: Outcome): string {
  return `${ok ? 'ok    ' : 'FAILED'} ${name.padEnd(12)} ${(tookMs / 1000).toFixed(1).padStart(6)} s  ${note}`.trimEnd();
}

/** Runs one of our own tools with its output shown. */
function command(args: string[]): Promise<{ ok: boolean }> {
  return new Promise((done) => {
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
    stop.signal.addEventListener('abort', () => child.kill('SIGTERM'), { once: true });
    child.once('error', () => done({ ok: false }));
    child.once('exit', (code) => done({ ok: code === 0 }));
  });
}

function tierOf(file: string): Tier['name'] {
  const named = TIERS.find(({ name }) => file.endsWith(`.${name}.test.ts`));
  return named?.name ?? 'unit';
}

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/**
 * Runs test files. In CI, where machines stall, a file that failed is run once more by itself; when it passes then,
 * it is named as flaky in the summary, which is a fault to be looked into. More than `SECOND_CHANCES` of them fail.
 */
async function tests(tier: Tier, files: string[]): Promise<{ ok: boolean; note: string }> {
  const byFile = await runFiles(tier, files, tier.concurrency);
  const failing = [...byFile].filter(([, counts]) => counts.failed > 0).map(([file]) => file);
  const flaky: string[] = [];
  if (process.env.CI === 'true' && failing.length <= SECOND_CHANCES) {
    for (const file of failing.filter((name) => files.includes(name))) {
      if (stop.signal.aborted) break;
      say(`${file} failed; once more, by itself ...`);
      for (const [name, counts] of await runFiles(tier, [file], 1)) byFile.set(name, counts);
      if (byFile.get(file)?.failed === 0) flaky.push(file);
    }
  }
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  for (const one of byFile.values()) {
    for (const key of ['passed', 'failed', 'skipped'] as const) counts[key] += one[key];
  }
  for (const key of ['passed', 'failed', 'skipped'] as const) totals[key] += counts[key];
  const note =
    `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped, in ${files.length} files` +
    (flaky.length > 0 ? `; FLAKY, passed only when run again: ${flaky.join(', ')}` : '');
  return { ok: counts.failed === 0 && !stop.signal.aborted, note };
}

/** What came out, by file; a failure that belongs to no file is under the empty name. */
async function runFiles(tier: Tier, files: string[], concurrency: number): Promise<Map<string, Counts>> {
  const byFile = new Map<string, Counts>();
  const of = (file: string | undefined): Counts => {
    const name = file === undefined ? '' : relative(ROOT, file);
    const counts = byFile.get(name) ?? { passed: 0, failed: 0, skipped: 0 };
    byFile.set(name, counts);
    return counts;
  };
  const failedAtAll = new Set<string | undefined>();
  const stream = run({
    files: files.map((file) => join(ROOT, file)),
    concurrency,
    timeout: tier.timeoutMs,
    signal: stop.signal,
  });
  stream.on('test:pass', (event) => {
    if (event.details.type === 'suite') return;
    if (event.skip !== undefined) of(event.file).skipped += 1;
    else of(event.file).passed += 1;
  });
  stream.on('test:fail', (event) => {
    failedAtAll.add(event.file);
    if (event.details.type !== 'suite') of(event.file).failed += 1;
  });
  for await (const text of stream.compose(spec)) process.stdout.write(text);
  // A suite that fails without a failing test (its hooks, its file) counts once.
  for (const file of failedAtAll) {
    const counts = of(file);
    if (counts.failed === 0) counts.failed = 1;
  }
  return byFile;
}

interface Wanted {
  withBoards: boolean;
  filters: string[];
}

/** What to run; how boards are to be run goes to their suites by the environment. @throws Error with what is wrong */
function readArguments(): Wanted {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      vm: { type: 'boolean', default: false },
      board: { type: 'string' },
      cuts: { type: 'string' },
      quick: { type: 'boolean', default: false },
      image: { type: 'string' },
    },
  });
  const { vm, board, cuts, quick, image } = values;
  if (!vm && (board !== undefined || cuts !== undefined || quick || image !== undefined)) {
    throw new Error('--board, --cuts, --quick and --image are for boards: npm run test:qemu');
  }
  if (board !== undefined) {
    if (!(board in BOARDS)) throw new Error(`no board ${board}: there are ${Object.keys(BOARDS).join(', ')}`);
    process.env.HEARTH_QEMU_BOARD = board;
  }
  if (cuts !== undefined) {
    if (!/^\d{1,4}$/.test(cuts)) throw new Error(`--cuts wants a number, not ${cuts}`);
    process.env.HEARTH_QEMU_CUTS = cuts;
  }
  if (quick) process.env.HEARTH_QEMU_QUICK = '1';
  if (image !== undefined) {
    if (board === undefined) throw new Error('an image is for one board: say which with --board');
    if (!existsSync(image)) throw new Error(`there is no image ${image}: npm run firmware makes one`);
    process.env.HEARTH_QEMU_IMAGE = resolve(image);
  }
  return { withBoards: vm, filters: positionals };
}

async function main({ withBoards, filters }: Wanted): Promise<void> {
  const found = FOLDERS.flatMap((folder) => globSync(`${folder}/**/*.test.ts`, { cwd: ROOT }))
    .filter((file) => withBoards === (tierOf(file) === 'vm'))
    .sort();
  const files =
    filters.length === 0 ? found : found.filter((file) => filters.some((part) => file.includes(part)));
  const byTier = new Map(TIERS.map((tier) => [tier, files.filter((file) => tierOf(file) === tier.name)]));
  if (files.length === 0) {
    console.error(`no test file has ${filters.join(' or ')} in its name`);
    process.exitCode = 1;
    return;
  }
  if (process.env.HEARTH_NO_SETUP !== '1' && isDebian() && process.getuid?.() === 0) {
    await stage('setup', async () => ({ ok: setup(say) || process.env.CI !== 'true' }));
  }
  if (filters.length === 0 && !withBoards) {
    await stage('types', () => command([join(ROOT, 'node_modules/typescript/bin/tsc')]));
    await stage('lint', () => command([join(ROOT, 'node_modules/@biomejs/biome/bin/biome'), 'ci']));
  }
  const needsUi = filters.length === 0 || files.some((file) => tierOf(file) !== 'unit');
  if (needsUi && existsSync(join(ROOT, 'webui/build.ts'))) {
    await stage('webui', () => command([join(ROOT, 'webui/build.ts')]));
  }
  const scratch = mkdtempSync(join(tmpdir(), 'hearth-test-run-'));
  chmodSync(scratch, 0o755);
  let postgres: LocalPostgres | null = null;
  try {
    for (const [tier, chosen] of byTier) {
      if (chosen.length === 0) continue;
      if (tier.postgres && postgres === null && !stop.signal.aborted) {
        await stage('postgres', async () => {
          const directory = join(scratch, 'postgres');
          postgres = await LocalPostgres.start({ directory, settings: THROWAWAY, log: say });
          process.env[SHARED_POSTGRES] = postgres.url('postgres');
          return { ok: true };
        });
      }
      await stage(tier.name, () => tests(tier, chosen));
    }
  } finally {
    await (postgres as LocalPostgres | null)?.destroy();
    rmSync(scratch, { recursive: true, force: true });
  }
  say('summary');
  for (const outcome of outcomes) say(line(outcome));
  const ok = outcomes.every((outcome) => outcome.ok) && !stop.signal.aborted;
  if (stop.signal.aborted) say('interrupted');
  process.stdout.write(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped\n`);
  process.exitCode = ok ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
let wanted: Wanted;
try {
  wanted = readArguments();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(2);
}
await main(wanted);
