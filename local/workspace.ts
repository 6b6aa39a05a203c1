import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { HearthError } from '#protocol/errors.ts';
import { describe } from '#protocol/messages.ts';
import { readIfThere, writePrivate } from './files.ts';
import { isPortFree, nextFreePort } from './ports.ts';
import { endProcess, isAlive, processIdentity } from './processes.ts';

const port = z.int().min(1).max(65_535);

/** What a later run must find again. */
const settingsSchema = z.object({
  adminPassword: z.string(),
  adminToken: z.string(),
  ports: z.record(z.string(), port),
  /** Ports written into identities and sites, which therefore cannot move any more. */
  settled: z.array(z.string()),
  boxes: z.array(z.object({ id: z.string().nullable(), claimCode: z.string().nullable() })),
});
export type Settings = z.infer<typeof settingsSchema>;

const runSchema = z.object({ owner: z.string(), children: z.array(z.string()) });

/** The folder a local system lives in: one run at a time, its settings kept, what a killed run left ended. */
export class Workspace {
  readonly directory: string;
  readonly settings: Settings;
  private children: string[] = [];

  private constructor(directory: string, settings: Settings) {
    this.directory = directory;
    this.settings = settings;
  }

  /** @throws HearthError `conflict` when another run uses it, `bad_request` when its settings are damaged */
  static async open(path: string, boxCount: number, say: (line: string) => void): Promise<Workspace> {
    const directory = resolve(path);
    for (const folder of ['logs', 'boxes']) mkdirSync(join(directory, folder), { recursive: true });
    await takeOver(directory, say);
    const workspace = new Workspace(directory, readSettings(directory, boxCount));
    workspace.writeRun();
    workspace.save();
    return workspace;
  }

  path(...parts: string[]): string {
    return join(this.directory, ...parts);
  }

  save(): void {
    writePrivate(this.path('settings.json'), `${JSON.stringify(this.settings, null, 2)}\n`);
  }

  /** Remembers a process this run started, so that the next one can end it should this one be killed. */
  track(pid: number): void {
    const identity = processIdentity(pid);
    if (identity === null) return;
    this.children = [...this.children.filter(isAlive), identity];
    this.writeRun();
  }

  /**
   * The remembered port, or `standard`, or the next free one; remembered.
   * @throws HearthError `conflict` when it is settled and taken
   */
  async port(name: string, standard: number): Promise<number> {
    const { ports, settled } = this.settings;
    const remembered = ports[name];
    if (remembered !== undefined && (await isPortFree(remembered))) return remembered;
    if (remembered !== undefined && settled.includes(name)) {
      throw new HearthError(
        'conflict',
        `port ${remembered} (${name}) is taken by another program, and the boxes and sites in ${this.directory} ` +
          'were set up with it: end that program, or set HEARTH_DATA to a new folder',
      );
    }
    const others = Object.entries(ports).filter(([other]) => other !== name);
    const chosen = await nextFreePort(standard, new Set(others.map(([, number]) => number)), '127.0.0.1');
    ports[name] = chosen;
    this.save();
    return chosen;
  }

  /** From now on `name`'s port is part of what others remember. */
  settle(...names: string[]): void {
    this.settings.settled = [...new Set([...this.settings.settled, ...names])];
    this.save();
  }

  close(): void {
    rmSync(this.path('run.json'), { force: true });
  }

  private writeRun(): void {
    const owner = processIdentity(process.pid) ?? String(process.pid);
    writePrivate(this.path('run.json'), `${JSON.stringify({ owner, children: this.children })}\n`);
  }
}

async function takeOver(directory: string, say: (line: string) => void): Promise<void> {
  const text = readIfThere(join(directory, 'run.json'));
  const run = text === null ? null : runSchema.safeParse(parse(text)).data;
  if (!run) return;
  if (isAlive(run.owner)) {
    const pid = Number.parseInt(run.owner, 10);
    throw new HearthError(
      'conflict',
      `Hearth is running on ${directory} already (process ${pid}): use that one, stop it, or set HEARTH_DATA to another folder`,
    );
  }
  const left = run.children.filter(isAlive);
  if (left.length > 0) say(`the last run was killed: ending the ${left.length} programs it left`);
  await Promise.all(left.map((identity) => endProcess(identity, 'SIGTERM', 5_000)));
}

function readSettings(directory: string, boxCount: number): Settings {
  const path = join(directory, 'settings.json');
  const text = readIfThere(path);
  if (text === null) {
    return {
      adminPassword: randomBytes(12).toString('base64url'),
      adminToken: randomBytes(32).toString('base64url'),
      ports: {},
      settled: [],
      boxes: Array.from({ length: boxCount }, () => ({ id: null, claimCode: null })),
    };
  }
  const read = settingsSchema.safeParse(parse(text));
  if (!read.success) {
    throw new HearthError(
      'bad_request',
      `${path} is damaged (${describe(read.error)}): remove ${directory} to begin anew`,
    );
  }
  return read.data;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
