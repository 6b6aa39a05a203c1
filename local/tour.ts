import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  assetSchema,
  assetsCreated,
  assetsPage,
  assignmentsCreated,
  assignmentsPage,
  siteSchema,
  sitesPage,
  waitFor,
} from '#fleet/client/fleet-api.ts';
import { credits, table } from '#fleet/client/format.ts';
import { HearthError } from '#protocol/errors.ts';
import type { Asset, Assignment, Site } from '#protocol/http-fleet.ts';
import { boxDetailSchema } from '#protocol/http-fleet.ts';
import type { Fetched } from './client.ts';
import { fetchAsClient } from './client.ts';
import type { LocalSystem } from './system.ts';

const HOSTNAME = 'video.localhost';
const VIDEO = '/bbb.mp4';
const PLAYLIST = '/hls/index.m3u8';

/**
 * The main loop on the running system: a site, its assets ingested, assigned to two of the boxes, fetched as a
 * client would, checked against the origin's files, settled. Each step does only what an earlier run left to do.
 */
export class Tour {
  private readonly system: LocalSystem;
  private readonly say: (line: string) => void;
  private readonly signal: AbortSignal;

  constructor(system: LocalSystem, say: (line: string) => void, signal: AbortSignal) {
    this.system = system;
    this.say = say;
    this.signal = signal;
  }

  /** @returns the site. @throws HearthError that says which step did not come about */
  async run(): Promise<Site> {
    const site = await this.site();
    const assets = await this.ingest(site);
    await this.assign(site, assets);
    const before = await this.deliveredBytes(site.id);
    const fetchedBytes = await this.fetchAll(site);
    await this.settlement(site.id, before + fetchedBytes);
    return site;
  }

  private async site(): Promise<Site> {
    const { api, workspace } = this.system;
    const origin = `http://127.0.0.1:${workspace.settings.ports.origin}`;
    const known = (await api.all('/sites', sitesPage)).find((site) => site.hostname === HOSTNAME);
    if (known) {
      if (known.origin === origin) return known;
      throw new HearthError(
        'conflict',
        `${HOSTNAME} is registered with another origin, ${known.origin}, not ${origin}`,
      );
    }
    this.say(`registering the site ${HOSTNAME} with the origin ${origin}`);
    const made = await api.post(
      '/sites',
      { hostname: HOSTNAME, origin, tenantName: 'Example Films' },
      siteSchema,
    );
    workspace.settle('origin');
    return made;
  }

  private async ingest(site: Site): Promise<Asset[]> {
    const { api, video } = this.system;
    const list = `/assets?siteId=${site.id}`;
    const known = new Map((await api.all(list, assetsPage)).map((asset) => [asset.path, asset]));
    const missing = video.paths.filter((path) => !known.has(path));
    if (missing.length > 0) {
      this.say(
        `ingesting ${missing.length} assets: ${missing.slice(0, 3).join(', ')}${missing.length > 3 ? ', ...' : ''}`,
      );
      await api.post('/assets', { siteId: site.id, paths: missing }, assetsCreated);
    }
    for (const asset of known.values()) {
      if (asset.state === 'failed') await api.post(`/assets/${asset.id}/ingest`, {}, assetSchema);
    }
    return waitFor(
      async () => {
        const assets = (await api.all(list, assetsPage)).filter((asset) => video.paths.includes(asset.path));
        const failed = assets.find((asset) => asset.state === 'failed');
        if (failed)
          throw new HearthError('internal', `${failed.path} was not ingested: ${failed.error?.message}`);
        const ready = assets.filter((asset) => asset.state === 'ready');
        return ready.length === video.paths.length ? ready : null;
      },
      'not every asset was ingested',
      { signal: this.signal },
    );
  }

  private async assign(site: Site, assets: Asset[]): Promise<void> {
    const { api, boxes } = this.system;
    const open = await this.openAssignments(site);
    const assigned = new Set(open.map((assignment) => assignment.assetId));
    const missing = assets.filter((asset) => !assigned.has(asset.id)).map((asset) => asset.id);
    const chosen = boxes.slice(0, 2);
    if (missing.length > 0) {
      this.say(`assigning ${missing.length} assets to ${chosen.map((box) => box.label).join(' and ')}`);
      await api.post(
        '/assignments',
        { assets: { assetIds: missing }, boxes: { boxIds: chosen.map((box) => box.id) } },
        assignmentsCreated,
      );
    }
    let said = '';
    await waitFor(
      async () => {
        const placements = (await this.openAssignments(site)).flatMap((assignment) => assignment.placements);
        const wanted = placements.filter((placement) => placement.desired === 'held');
        const held = wanted.filter((placement) => placement.reported === 'held');
        const text = `${held.length} of ${wanted.length} copies held, ${megabytes(sum(wanted.map((one) => one.bytesDone)))} MB`;
        if (text !== said) this.say(text);
        said = text;
        return (held.length === wanted.length && wanted.length >= assets.length) || null;
      },
      () => `the boxes do not hold what was assigned: ${said}`,
      { timeoutMs: 180_000, everyMs: 300, signal: this.signal },
    );
  }

  private async openAssignments(site: Site): Promise<Assignment[]> {
    const all = await this.system.api.all('/assignments?open=true', assignmentsPage);
    return all.filter((assignment) => assignment.siteHostname === site.hostname);
  }

  /** @returns bytes that boxes delivered */
  private async fetchAll(site: Site): Promise<number> {
    const base = `http://${site.hostname}:${new URL(this.system.routerUrl).port}`;
    const file = readFileSync(join(this.system.video.root, VIDEO));
    let fetchedBytes = 0;
    const check = (what: string, fetched: Fetched, expected: Buffer) => {
      const box = this.boxOf(fetched);
      if (!expected.equals(fetched.body)) {
        throw new HearthError(
          'internal',
          `${what}: ${fetched.sizeBytes} bytes from ${box}, SHA-256 ${fetched.sha256}, not ${sha256(expected)}`,
        );
      }
      fetchedBytes += fetched.sizeBytes;
      return box;
    };
    const get = (url: string, range?: string) =>
      fetchAsClient(url, {
        keepBody: true,
        signal: this.signal,
        headers: range === undefined ? {} : { range },
      });

    const whole = await get(base + VIDEO);
    const from = check(VIDEO, whole, file);
    this.say(
      `fetched ${VIDEO} whole from ${from}: ${megabytes(whole.sizeBytes)} MB, SHA-256 ${whole.sha256.slice(0, 16)}... as at the origin`,
    );

    const part = await get(base + VIDEO, 'bytes=1000000-2999999');
    if (part.status !== 206) throw new HearthError('internal', `a range was answered with ${part.status}`);
    const partFrom = check('a range', part, file.subarray(1_000_000, 3_000_000));
    const tail = await get(base + VIDEO, 'bytes=-65536');
    check('the last 64 KiB', tail, file.subarray(-65_536));
    this.say(`fetched by Range from ${partFrom}: 2 MB in the middle and the last 64 KiB, the same bytes`);

    if (this.system.video.withoutHls === null) {
      const playlist = await get(base + PLAYLIST);
      check(PLAYLIST, playlist, readFileSync(join(this.system.video.root, PLAYLIST)));
      const names = playlist.body
        .toString()
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'));
      for (const name of names) {
        // As a player does: relative to where the playlist came from, the box, with the link's token in the path.
        const segment = await get(new URL(name, playlist.finalUrl).href);
        check(name, segment, readFileSync(join(this.system.video.root, 'hls', name)));
      }
      this.say(
        `played ${PLAYLIST}: ${names.length} segments by relative URLs from ${this.boxOf(playlist)}, all as at the origin`,
      );
    }
    return fetchedBytes;
  }

  /** The box an answer came from. @throws HearthError when a box had no part in it */
  private boxOf(fetched: Fetched): string {
    const box = this.system.boxes.find((one) => fetched.finalUrl.startsWith(`${one.contentUrl}/`));
    if (!box || fetched.status >= 300) {
      const way = fetched.hops.map((hop) => `${hop.status} ${hop.url}`).join(', ');
      throw new HearthError('internal', `a box should have served this, but the way was: ${way}`);
    }
    return box.label;
  }

  private async deliveredBytes(siteId: string): Promise<number> {
    const sites = await this.system.api.all('/sites', sitesPage);
    return sites.find((site) => site.id === siteId)?.deliveredBytes ?? 0;
  }

  private async settlement(siteId: string, expectedBytes: number): Promise<void> {
    this.say('waiting until the deliveries are settled');
    let delivered = 0;
    await waitFor(
      async () => {
        delivered = await this.deliveredBytes(siteId);
        return delivered >= expectedBytes || null;
      },
      () => `the boxes delivered ${expectedBytes} bytes, but ${delivered} are settled`,
      { signal: this.signal, everyMs: 250 },
    );
  }
}

/** What each box holds, was paid for delivering in the last 30 days, and has earned, aligned for a terminal. */
export async function earningsTable(system: LocalSystem): Promise<string> {
  const rows: string[][] = [];
  for (const { id, label } of system.boxes) {
    const box = await system.api.get(`/boxes/${id}`, boxDetailSchema);
    const delivered = sum(box.earnings.days.map((day) => day.bytes));
    rows.push([label, id, box.state, `${box.held}`, megabytes(delivered), credits(box.earned)]);
  }
  return table(['BOX', 'ID', 'STATE', 'HOLDS', 'DELIVERED MB', 'EARNED CREDITS'], rows);
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
