import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before } from 'node:test';
import {
  assetsCreated,
  assetsPage,
  assignmentsCreated,
  assignmentsPage,
  boxesPage,
  claimSchema,
  FleetApi,
  siteSchema,
  waitFor,
} from '#fleet/client/fleet-api.ts';
import type { Fetched, FetchOptions } from '#local/client.ts';
import { fetchAsClient } from '#local/client.ts';
import { isPortFree } from '#local/ports.ts';
import type { Program } from '#local/program.ts';
import type { FleetPorts } from '#local/programs.ts';
import { startFleet } from '#local/programs.ts';
import type { Asset, Box, Placement, Site } from '#protocol/http-fleet.ts';
import { TestBox } from './box.ts';
import { FaultyOrigin } from './faulty-origin.ts';
import { reservePort } from './ports.ts';
import type { TestDatabase } from './postgres.ts';
import { testDatabase } from './postgres.ts';

export interface SystemOptions {
  boxes: number;
  /** As a function when it names the ports, which are chosen at the start. */
  fleetEnv?: Record<string, string> | ((ports: FleetPorts) => Record<string, string>);
  agentEnv?: Record<string, string>;
  /** A Postgres of the test's own, when it means to kill it. */
  database?: () => Promise<TestDatabase>;
}

/** What a program of the system under test is given to come up, to converge, to heal; generous, for slow machines. */
const PATIENCE_MS = 60_000;

/** A port that is free, no other test's, and outside the range the system hands out by itself: it stays free. */
export async function testPort(): Promise<number> {
  for (;;) {
    const port = 10_000 + (randomBytes(2).readUInt16BE() % 20_000);
    if (reservePort(port) && (await isPortFree(port))) return port;
  }
}

/** A fleet-server, an origin and boxes as real processes; each can be killed and started again. */
export class TestSystem {
  readonly origin: FaultyOrigin;
  readonly database: TestDatabase;
  readonly directory: string;
  readonly ports: FleetPorts;
  readonly api: FleetApi;
  readonly boxes: TestBox[] = [];
  private readonly options: SystemOptions;
  private readonly adminToken: string;
  private fleet: Program | null = null;
  private fleetLog = '';

  private constructor(
    options: SystemOptions,
    origin: FaultyOrigin,
    database: TestDatabase,
    ports: FleetPorts,
  ) {
    this.options = options;
    this.origin = origin;
    this.database = database;
    this.ports = ports;
    this.directory = mkdtempSync(join(tmpdir(), 'hearth-test-system-'));
    chmodSync(this.directory, 0o755);
    this.adminToken = randomBytes(24).toString('base64url');
    this.api = new FleetApi(`http://127.0.0.1:${ports.api}`, this.adminToken);
  }

  static async start(options: SystemOptions): Promise<TestSystem> {
    const ports = { api: await testPort(), router: await testPort(), broker: await testPort() };
    const database = await (options.database ?? testDatabase)();
    const system = new TestSystem(options, await FaultyOrigin.start(), database, ports);
    try {
      await system.startFleet();
      const labels = Array.from({ length: options.boxes }, (_, index) => `box ${index + 1}`);
      for (const label of labels) await system.addBox(label);
      return system;
    } catch (error) {
      console.error(system.logs());
      await system.close();
      throw error;
    }
  }

  get routerPort(): number {
    return this.ports.router;
  }

  get fleetPid(): number {
    return this.fleet?.pid ?? -1;
  }

  async startFleet(): Promise<void> {
    const { fleetEnv } = this.options;
    this.fleet = await startFleet({
      databaseUrl: this.database.url,
      keysDir: join(this.directory, 'keys'),
      ports: this.ports,
      adminToken: this.adminToken,
      adminPassword: 'correct horse battery',
      heartbeatMs: 500,
      env: {
        HEARTH_SPOT_CHECKS_PER_HOUR: '0',
        ...(typeof fleetEnv === 'function' ? fleetEnv(this.ports) : fleetEnv),
      },
    });
  }

  async killFleet(): Promise<void> {
    await this.fleet?.kill();
    this.forgetFleet();
  }

  async stopFleet(): Promise<void> {
    await this.fleet?.stop();
    this.forgetFleet();
  }

  /** Enrols a new box with a claim code, as a household does, and waits until clients may be sent to it. */
  async addBox(label: string, env: Record<string, string> = {}): Promise<TestBox> {
    const { code } = await this.api.post('/claims', { label }, claimSchema);
    const box = new TestBox({
      label,
      directory: join(this.directory, label.replaceAll(' ', '-')),
      lanPort: await testPort(),
      contentPort: await testPort(),
      fleetUrl: this.api.url,
      claimCode: code,
      env: { ...this.options.agentEnv, ...env },
    });
    this.boxes.push(box);
    await box.start();
    const known = await waitFor(
      async () => (await this.knownBoxes()).find((one) => one.label === label && one.routable),
      () => `${label} is not routable`,
      { timeoutMs: PATIENCE_MS },
    );
    box.id = known.id;
    return box;
  }

  box(index: number): TestBox {
    const box = this.boxes[index];
    if (!box) throw new Error(`no box ${index}`);
    return box;
  }

  knownBoxes(): Promise<Box[]> {
    return this.api.all('/boxes', boxesPage);
  }

  async untilRoutable(box: Pick<TestBox, 'id' | 'label'>, timeoutMs = PATIENCE_MS): Promise<void> {
    await waitFor(
      async () =>
        (await this.knownBoxes()).find((one) => one.id === box.id && one.state === 'online' && one.routable),
      `${box.label} is not routable again`,
      { timeoutMs },
    );
  }

  /** @param origin where boxes find the origin too, when that is not where we do */
  async addSite(
    hostname = `s${randomBytes(5).toString('hex')}.localhost`,
    origin = this.origin.url,
  ): Promise<Site> {
    return this.api.post('/sites', { hostname, origin, tenantName: hostname }, siteSchema);
  }

  /** Names paths of the site to the fleet and waits until each was read, or refused. */
  async ingest(site: Site, paths: string[]): Promise<Asset[]> {
    await this.api.post('/assets', { siteId: site.id, paths }, assetsCreated);
    return waitFor(
      async () => {
        const assets = await this.assetsOf(site);
        const done = paths.map((path) => assets.find((asset) => asset.path === path && isIngested(asset)));
        return done.every((asset) => asset !== undefined) ? (done as Asset[]) : null;
      },
      `ingest of ${paths.join(', ')} does not end`,
      { timeoutMs: PATIENCE_MS },
    );
  }

  assetsOf(site: Site): Promise<Asset[]> {
    return this.api.all(`/assets?siteId=${site.id}`, assetsPage);
  }

  async assign(assets: Asset[], boxes: Pick<TestBox, 'id'>[], ttlMs: number | null = null): Promise<void> {
    await this.api.post(
      '/assignments',
      {
        assets: { assetIds: assets.map((asset) => asset.id) },
        boxes: { boxIds: boxes.map((box) => box.id) },
        ttlMs,
      },
      assignmentsCreated,
    );
  }

  /** What is wanted and reported of these assets, on all boxes. */
  async placements(assets: Asset[]): Promise<Placement[]> {
    const ids = new Set(assets.map((asset) => asset.id));
    const all = await this.api.all('/assignments', assignmentsPage);
    return all.flatMap((one) => one.placements).filter((placement) => ids.has(placement.assetId));
  }

  async untilHeld(assets: Asset[], boxes: Pick<TestBox, 'id'>[], timeoutMs = PATIENCE_MS): Promise<void> {
    let last: Placement[] = [];
    await waitFor(
      async () => {
        last = await this.placements(assets);
        const holds = (asset: Asset, box: Pick<TestBox, 'id'>) =>
          last.some(
            (one) =>
              one.assetId === asset.id &&
              one.boxId === box.id &&
              one.desired === 'held' &&
              one.reported === 'held',
          );
        return assets.every((asset) => boxes.every((box) => holds(asset, box))) || null;
      },
      () =>
        `not held: ${JSON.stringify(last.map(({ path, boxLabel, reported, reason }) => ({ path, boxLabel, reported, reason })))}`,
      { timeoutMs },
    );
  }

  url(site: Site, path: string): string {
    return `http://${site.hostname}:${this.ports.router}${encodeURI(path)}`;
  }

  /** Fetches from the router on, as a client would. */
  fetch(site: Site, path: string, options: FetchOptions = {}): Promise<Fetched> {
    return fetchAsClient(this.url(site, path), { keepBody: true, ...options });
  }

  /** The box an answer came from, if any. */
  servedBy(fetched: Fetched): TestBox | undefined {
    return this.boxes.find((box) => fetched.finalUrl.startsWith(`${box.contentUrl}/`));
  }

  /** A link to a box as the router gives it, not followed. */
  async link(site: Site, path: string): Promise<string> {
    return waitFor(
      async () => {
        const response = await fetch(
          `http://127.0.0.1:${this.ports.router}/_site/${site.id}${encodeURI(path)}`,
          {
            redirect: 'manual',
          },
        );
        const location = response.headers.get('location') ?? '';
        return this.boxes.some((box) => location.startsWith(box.contentUrl)) ? location : null;
      },
      `the router sends nobody to a box for ${path}`,
      { timeoutMs: PATIENCE_MS },
    );
  }

  /** What every program of the system said last. */
  logs(): string {
    const parts = [
      `fleet-server:\n${tail(`${this.fleetLog}${this.fleet?.lastLines() ?? ''}`)}`,
      ...this.boxes.map((box) => `${box.label} (${box.id}):\n${tail(box.log())}`),
    ];
    return parts.map((part) => `----- ${part}`).join('\n');
  }

  async close(): Promise<void> {
    await Promise.all(this.boxes.map((box) => box.stop()));
    await this.stopFleet();
    await this.origin.close();
    await this.database.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  private forgetFleet(): void {
    this.fleetLog = `${this.fleetLog}${this.fleet?.lastLines() ?? ''}\n-- ended --\n`.slice(-20_000);
    this.fleet = null;
  }
}

function tail(log: string): string {
  return log.trimEnd().split('\n').slice(-40).join('\n');
}

function isIngested(asset: Asset): boolean {
  return asset.state === 'ready' || asset.state === 'failed';
}

/**
 * A system for the tests of one `describe`: started before them, closed after them whatever happens, its logs
 * printed when a test fails.
 */
export function useSystem(options: SystemOptions): () => TestSystem {
  let system: TestSystem | null = null;
  before(async () => {
    system = await TestSystem.start(options);
  });
  afterEach((context) => {
    if ('passed' in context && !context.passed) console.error(system?.logs());
  });
  after(async () => {
    await system?.close();
  });
  return () => {
    if (!system) throw new Error('the system has not been started');
    return system;
  };
}

// The runner ends a file that takes too long with SIGTERM: what it started must end with it.
process.once('SIGTERM', () => process.exit(143));
