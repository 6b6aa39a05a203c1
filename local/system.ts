import { setMaxListeners } from 'node:events';
import { boxesPage, claimSchema, FleetApi, waitFor } from '#fleet/client/fleet-api.ts';
import { HearthError } from '#protocol/errors.ts';
import { writePrivate } from './files.ts';
import type { Origin } from './origin.ts';
import { startOrigin } from './origin.ts';
import { LocalPostgres } from './postgres.ts';
import type { Program } from './program.ts';
import { startAgent, startFleet } from './programs.ts';
import type { Video } from './video.ts';
import { prepareVideo } from './video.ts';
import type { Workspace } from './workspace.ts';

export const BOX_COUNT = 3;

export interface LocalBox {
  id: string;
  label: string;
  lanUrl: string;
  contentUrl: string;
}

/** A part that ended though nobody asked it to. */
export interface Death {
  name: string;
  lastLines: string;
}

/** The whole of Hearth on this machine: database, fleet-server, origin, boxes. Stops in the opposite order. */
export class LocalSystem {
  readonly workspace: Workspace;
  video: Video = { root: '', paths: [], withoutHls: null };
  boxes: LocalBox[] = [];
  /** Called for each part that ends by itself. */
  onDeath: (death: Death) => void = () => {};
  private readonly say: (line: string) => void;
  private readonly signal: AbortSignal;
  private stops: { name: string; stop: () => Promise<unknown> }[] = [];
  private stopping = false;
  private fleet: FleetApi | null = null;
  private router = '';

  constructor(workspace: Workspace, say: (line: string) => void, signal: AbortSignal) {
    this.workspace = workspace;
    this.say = say;
    this.signal = signal;
    setMaxListeners(0, signal);
  }

  get api(): FleetApi {
    if (!this.fleet) throw new HearthError('internal', 'the fleet-server has not been started');
    return this.fleet;
  }

  /** Where clients ask, such as `http://127.0.0.1:7081`. */
  get routerUrl(): string {
    return this.router;
  }

  /** Starts every part in order. @throws HearthError with the part's last lines when one does not come up */
  async start(databaseUrl: string | undefined): Promise<void> {
    const database = databaseUrl ?? (await this.startDatabase());
    await this.startFleet(database);
    await this.startOrigin();
    await this.startBoxes();
  }

  /** Stops what was started, last first; each part has finished before what it needs goes. */
  async stop(): Promise<void> {
    this.stopping = true;
    for (;;) {
      // Boxes do not need each other: they drain side by side.
      const boxes = this.stops.filter((part) => part.name.startsWith('box '));
      const next = boxes.length > 0 ? boxes : this.stops.slice(-1);
      if (next.length === 0) break;
      this.stops = this.stops.filter((part) => !next.includes(part));
      this.say(`stopping ${next.map((part) => part.name).join(', ')}`);
      await Promise.all(next.map((part) => part.stop()));
    }
  }

  private async startDatabase(): Promise<string> {
    const { workspace } = this;
    this.say('starting Postgres');
    const postgres = await LocalPostgres.start({
      directory: workspace.path('postgres'),
      preferredPort: await workspace.port('postgres', 7432),
      log: this.say,
    });
    workspace.settings.ports.postgres = postgres.port;
    workspace.save();
    workspace.track(postgres.pid);
    this.own(
      'Postgres',
      postgres.exited,
      () => postgres.stop(),
      () => `see ${postgres.directory}/postgres.log`,
    );
    await postgres.createDatabase('hearth');
    return postgres.url('hearth');
  }

  private async startFleet(databaseUrl: string): Promise<void> {
    this.signal.throwIfAborted();
    const { workspace } = this;
    this.say('starting the fleet-server');
    const ports = {
      api: await workspace.port('api', 7080),
      router: await workspace.port('router', 7081),
      broker: await workspace.port('broker', 8883),
    };
    const program = await startFleet({
      databaseUrl,
      keysDir: workspace.path('keys'),
      ports,
      adminToken: workspace.settings.adminToken,
      adminPassword: workspace.settings.adminPassword,
      heartbeatMs: 5_000,
      logFile: workspace.path('logs', 'fleet-server.log'),
    });
    this.ownProgram(program);
    this.fleet = new FleetApi(`http://127.0.0.1:${ports.api}`, workspace.settings.adminToken);
    // Where the command line looks when it is told nothing else.
    const connection = { url: this.fleet.url, token: workspace.settings.adminToken };
    writePrivate(workspace.path('cli.json'), `${JSON.stringify(connection)}\n`);
    this.router = `http://127.0.0.1:${ports.router}`;
  }

  private async startOrigin(): Promise<void> {
    this.signal.throwIfAborted();
    this.say('preparing the video and its HLS rendition');
    this.video = await prepareVideo(this.workspace.path('origin'), this.signal);
    if (this.video.withoutHls !== null) this.say(`no HLS rendition, the mp4 alone: ${this.video.withoutHls}`);
    const origin: Origin = await startOrigin(this.video.root, await this.workspace.port('origin', 7100));
    this.stops.push({ name: 'origin', stop: () => origin.close() });
  }

  private async startBoxes(): Promise<void> {
    for (let index = 0; index < BOX_COUNT; index++) {
      this.signal.throwIfAborted();
      this.boxes.push(await this.startBox(index));
    }
    this.workspace.settle('broker');
    const wanted = new Set(this.boxes.map((box) => box.id));
    await waitFor(
      async () => {
        const known = await this.api.all('/boxes', boxesPage);
        return known.filter((box) => wanted.has(box.id) && box.routable).length === wanted.size || null;
      },
      'not every box came online; their logs are in logs/ of the data folder',
      { timeoutMs: 90_000, everyMs: 250, signal: this.signal },
    );
  }

  private async startBox(index: number): Promise<LocalBox> {
    const { workspace, api } = this;
    const label = `Box ${index + 1}`;
    const remembered = workspace.settings.boxes[index];
    if (!remembered) throw new HearthError('internal', `no settings for ${label}`);
    if (remembered.id === null && remembered.claimCode === null) {
      this.say(`enrolling ${label} with a claim code`);
      remembered.claimCode = (await api.post('/claims', { label }, claimSchema)).code;
      workspace.save();
    }
    const others = new Set(workspace.settings.boxes.map((box) => box.id));
    const program = await startAgent({
      name: label.toLowerCase(),
      stateDir: workspace.path('boxes', String(index + 1), 'state'),
      disk: workspace.path('boxes', String(index + 1), 'disk'),
      lanPort: await workspace.port(`lan ${index + 1}`, 7070 + index),
      contentPort: await workspace.port(`content ${index + 1}`, 7090 + index),
      fleetUrl: api.url,
      claimCode: remembered.id === null ? (remembered.claimCode ?? undefined) : undefined,
      logFile: workspace.path('logs', `box-${index + 1}.log`),
      env: { HEARTH_DELIVERY_FLUSH_MS: '1000', HEARTH_DRAIN_MS: '2000' },
    });
    this.ownProgram(program);
    const id = await waitFor(
      async () => {
        const boxes = await api.all('/boxes', boxesPage);
        if (remembered.id !== null && !boxes.some((box) => box.id === remembered.id)) {
          throw new HearthError(
            'conflict',
            `this fleet does not know ${label} of ${workspace.directory}: its database is another one; set HEARTH_DATA to a new folder`,
          );
        }
        const mine = (box: { id: string; label: string }) =>
          remembered.id === null ? box.label === label && !others.has(box.id) : box.id === remembered.id;
        return boxes.find((box) => mine(box) && box.state === 'online')?.id;
      },
      () => `${label} did not come online. It said last:\n${program.lastLines(10)}`,
      { timeoutMs: 60_000, everyMs: 200, signal: this.signal },
    );
    remembered.id = id;
    remembered.claimCode = null;
    workspace.save();
    return { id, label, lanUrl: String(program.ready.lanUrl), contentUrl: String(program.ready.contentUrl) };
  }

  private ownProgram(program: Program): void {
    this.workspace.track(program.pid);
    const ended = program.exited.then(() => {});
    this.own(
      program.name,
      ended,
      () => program.stop(),
      () => program.lastLines(15),
    );
  }

  private own(
    name: string,
    ended: Promise<void>,
    stop: () => Promise<unknown>,
    lastLines: () => string,
  ): void {
    this.stops.push({ name, stop });
    void ended.then(() => {
      if (!this.stopping) this.onDeath({ name, lastLines: lastLines() });
    });
  }
}
