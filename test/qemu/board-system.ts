import { setTimeout as sleep } from 'node:timers/promises';
import type { BoardOptions } from '#firmware/qemu/board.ts';
import { Board } from '#firmware/qemu/board.ts';
import { claimSchema, waitFor } from '#fleet/client/fleet-api.ts';
import { RepositoryFixture } from '#fleet/releases/repository-fixture.ts';
import type { Asset, Site } from '#protocol/http-fleet.ts';
import { TestSystem, testPort } from '#test/support/system.ts';

/** An emulated board takes its time. */
const PATIENCE_MS = 480_000;

/** The household's bounds are off, as in every rig: what is measured or tested here is not them. */
const UNBOUNDED = { up_bytes_per_second: '0', down_bytes_per_second: '0', monthly_bytes: '0' };

/**
 * A fleet-server and an origin on this machine and one emulated board. Both sides call this machine "localhost":
 * the board finds it behind QEMU's network (guest hosts file), so that URLs and the broker's certificate fit both.
 */
export class BoardSystem {
  readonly label = 'board';
  readonly system: TestSystem;
  readonly board: Board;
  readonly lanPort: number;
  readonly contentPort: number;
  /** Set once it is paired. */
  id = '';

  private constructor(system: TestSystem, board: Board, lanPort: number, contentPort: number) {
    this.system = system;
    this.board = board;
    this.lanPort = lanPort;
    this.contentPort = contentPort;
  }

  /** The board is on and not paired when this is done. */
  static async start(options: BoardOptions): Promise<BoardSystem> {
    const system = await TestSystem.start({
      boxes: 0,
      fleetEnv: (ports) => ({
        HEARTH_BROKER_URL: `mqtts://localhost:${ports.broker}`,
        HEARTH_ROUTER_URL: `http://localhost:${ports.router}`,
      }),
    });
    try {
      const lanPort = await testPort();
      const contentPort = await testPort();
      const board = await Board.start({
        root: new RepositoryFixture().roots['1.root.json'],
        ...options,
        forwards: [
          { host: lanPort, guest: 7070 },
          { host: contentPort, guest: 7090 },
        ],
        settings: {
          ...UNBOUNDED,
          content_url: `http://127.0.0.1:${contentPort}`,
          fleet_url: `http://localhost:${system.ports.api}`,
          delivery_flush_ms: '200',
          // There is no router to ask for a port.
          port_mapping: '0',
          ...options.settings,
        },
      });
      return new BoardSystem(system, board, lanPort, contentPort);
    } catch (error) {
      await system.close();
      throw error;
    }
  }

  get contentUrl(): string {
    return `http://127.0.0.1:${this.contentPort}`;
  }

  /** Gives the agent a claim code in its settings, and waits until clients may be sent to it. */
  async pair(): Promise<void> {
    const { code } = await this.system.api.post('/claims', { label: this.label }, claimSchema);
    await this.board.configure({ claim_code: code });
    const known = await waitFor(
      async () => (await this.system.knownBoxes()).find((one) => one.label === this.label && one.routable),
      () => `the board is not routable:\n${this.board.log().slice(-3000)}`,
      { timeoutMs: PATIENCE_MS },
    );
    this.id = known.id;
  }

  untilRoutable(): Promise<void> {
    return this.system.untilRoutable(this, PATIENCE_MS);
  }

  addSite(): Promise<Site> {
    const { port } = new URL(this.system.origin.url);
    return this.system.addSite(undefined, `http://localhost:${port}`);
  }

  /** Has the board hold files of the origin. */
  async hold(site: Site, paths: string[]): Promise<Asset[]> {
    const assets = await this.system.ingest(site, paths);
    await this.system.assign(assets, [this]);
    await this.system.untilHeld(assets, [this], PATIENCE_MS);
    return assets;
  }

  /** A link to the board as the router gives it; null when it sends clients elsewhere. */
  async link(site: Site, path: string): Promise<string | null> {
    const asked = `http://127.0.0.1:${this.system.ports.router}/_site/${site.id}${encodeURI(path)}`;
    const response = await fetch(asked, { redirect: 'manual', signal: AbortSignal.timeout(10_000) });
    const location = response.headers.get('location') ?? '';
    return location.startsWith(`${this.contentUrl}/`) ? location : null;
  }

  async untilLinked(site: Site, path: string): Promise<string> {
    return waitFor(() => this.link(site, path), `the router sends nobody to the board for ${path}`, {
      timeoutMs: PATIENCE_MS,
    });
  }

  logs(): string {
    return `${this.system.logs()}\n----- board:\n${this.board.log().split('\n').slice(-80).join('\n')}`;
  }

  async close(): Promise<void> {
    await this.board.close();
    await this.system.close();
  }
}

/** What the kernel says of a process in the guest, bytes. */
export interface GuestMemory {
  rssBytes: number;
  /** The most it ever had resident. */
  mostBytes: number;
  anonymousBytes: number;
  fileBytes: number;
}

/** @param pid a shell expression, such as `$(agent-pid)` */
export async function memoryOf(board: Board, pid: string): Promise<GuestMemory> {
  const status = await board.mustRun(`cat /proc/${pid}/status`);
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  return {
    rssBytes: field('VmRSS'),
    mostBytes: field('VmHWM'),
    anonymousBytes: field('RssAnon'),
    fileBytes: field('RssFile'),
  };
}

/** The most a process in the guest has resident while `work` goes on, looked at four times a second, bytes. */
export async function mostResident(board: Board, pid: string, work: () => Promise<void>): Promise<number> {
  await board.mustRun(
    `: > /run/watch; (while [ -e /run/watch ]; do grep VmRSS /proc/${pid}/status; usleep 250000; done > /run/rss) > /dev/null 2>&1 &`,
  );
  await work();
  await sleep(500);
  const seen = await board.mustRun('rm -f /run/watch; cat /run/rss');
  return Math.max(...[...seen.matchAll(/VmRSS:\s+(\d+) kB/g)].map((match) => Number(match[1]) * 1024));
}
