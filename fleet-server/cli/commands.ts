import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { FleetApi } from '#fleet/client/fleet-api.ts';
import { credits, duration, size, table, time } from '#fleet/client/format.ts';
import type { ReleaseArguments } from '#fleet/releases/cli.ts';
import type { RolloutArguments } from '#fleet/rollouts/cli.ts';
import { HearthError } from '#protocol/errors.ts';
import {
  accountSchema,
  assetSchema,
  assignmentSchema,
  type Box,
  boxDetailSchema,
  boxSchema,
  changedSchema,
  claimSchema,
  pageOf,
  siteSchema,
  transferSchema,
} from '#protocol/http-fleet.ts';
import { commandIdSchema } from '#protocol/ids.ts';
import { UsageError } from './usage.ts';

/** What was typed after the command's name. */
export interface Arguments extends ReleaseArguments, RolloutArguments {
  words: string[];
  json: boolean;
  wait: boolean;
  yes: boolean;
  site?: string | undefined;
  prefix?: string | undefined;
  asset: string[];
  box: string[];
  boxes?: string | undefined;
  ttl?: string | undefined;
  pin?: boolean | undefined;
  label?: string | undefined;
  tenant?: string | undefined;
  account?: string | undefined;
}

export interface Output {
  print(text: string): void;
  progress(text: string): void;
}

export type Command = (api: FleetApi, args: Arguments, out: Output) => Promise<void>;

const WAIT_MS = 30 * 60_000;
const POLL_MS = 500;

export const COMMANDS: Record<string, Command> = {
  async boxes(api, args, out) {
    const [action = 'list', ...words] = args.words;
    if (action === 'list') {
      const items = await api.all('/boxes', pageOf(boxSchema));
      if (args.json) return json(out, items);
      return out.print(
        table(
          [
            'ID',
            'LABEL',
            'STATE',
            'ROUTED',
            'HELD',
            'PENDING',
            'FAILED',
            'USED',
            'FREE',
            'EARNED',
            'LAST SEEN',
          ],
          items.map((box) => [
            box.id,
            box.label,
            box.state,
            routeOf(box),
            box.held,
            box.pending,
            box.failed,
            box.heartbeat ? size(box.heartbeat.store.usedBytes) : '-',
            box.heartbeat ? size(box.heartbeat.store.freeBytes) : '-',
            credits(box.earned),
            time(box.lastSeenAt),
          ]),
        ),
      );
    }
    if (action === 'claim') {
      const claim = await api.post(
        '/claims',
        args.label === undefined ? {} : { label: args.label },
        claimSchema,
      );
      return args.json ? json(out, claim) : out.print(`${claim.code}\n`);
    }
    const boxId = await boxIdOf(api, need(words[0], 'which box? Give its id or label'));
    switch (action) {
      case 'show': {
        const box = await api.get(`/boxes/${boxId}`, boxDetailSchema);
        if (args.json) return json(out, box);
        out.print(
          table(
            ['', ''],
            [
              ['Box', `${box.label} (${box.id})`],
              ['State', box.state],
              ['Routed', routeOf(box)],
              ['Content', box.heartbeat?.contentUrl ?? '-'],
              [
                'Disk',
                box.heartbeat
                  ? `${box.heartbeat.store.state}, ${size(box.heartbeat.store.freeBytes)} free`
                  : '-',
              ],
              ['Earned', `${credits(box.earned)} credits`],
              ['Last seen', time(box.lastSeenAt)],
            ],
          ).replace(/^\s*\n/, ''),
        );
        return out.print(`\n${placementTable(box.placements)}`);
      }
      case 'rename':
        await api.call('PATCH', `/boxes/${boxId}`, { label: need(words[1], 'to which label?') }, z.null());
        return done(out, args);
      case 'revoke':
        if (!args.yes) throw new UsageError(`revoking ${words[0]} cannot be undone; say --yes`);
        await api.call('DELETE', `/boxes/${boxId}`, undefined, z.null());
        return done(out, args);
      case 'ask': {
        const type = need(words[1], 'ask for what? index, hardware or spot-check');
        if (!['index', 'hardware', 'spot-check'].includes(type)) {
          throw new UsageError(`a box can be asked for index, hardware or spot-check, not for "${type}"`);
        }
        const asked = await api.post(`/boxes/${boxId}/commands`, { type }, z.object({ id: commandIdSchema }));
        return args.json ? json(out, asked) : out.print(`${asked.id}\n`);
      }
    }
    throw unknownAction('boxes', action, ['list', 'show', 'claim', 'rename', 'revoke', 'ask']);
  },

  async sites(api, args, out) {
    const [action = 'list', ...words] = args.words;
    if (action === 'add') {
      const body = {
        hostname: need(
          words[0],
          'which hostname? For example: sites add video.example.com https://origin.example.com',
        ),
        origin: need(words[1], 'which origin URL?'),
        ...(args.tenant !== undefined && { tenantName: args.tenant }),
      };
      const site = await api.post('/sites', body, siteSchema);
      return args.json ? json(out, site) : out.print(`${site.id}  ${site.url}\n`);
    }
    if (action !== 'list') throw unknownAction('sites', action, ['list', 'add']);
    const items = await api.all('/sites', pageOf(siteSchema));
    if (args.json) return json(out, items);
    out.print(
      table(
        ['ID', 'HOSTNAME', 'ORIGIN', 'TENANT', 'ASSETS', 'DELIVERED', 'CHARGED'],
        items.map((site) => [
          site.id,
          site.hostname,
          site.origin,
          site.tenantName,
          site.assets,
          size(site.deliveredBytes),
          credits(site.charged),
        ]),
      ),
    );
  },

  async assets(api, args, out) {
    const [action = 'list', ...words] = args.words;
    if (action === 'add') {
      const siteId = await siteIdOf(api, need(words[0], 'which site? Give its hostname or id, then paths'));
      const paths = words.slice(1);
      if (paths.length === 0)
        throw new UsageError('which paths? For example: assets add video.example.com /film.mp4');
      let { items } = await api.post('/assets', { siteId, paths }, z.object({ items: z.array(assetSchema) }));
      if (args.wait) items = await waitForIngest(api, siteId, items, out);
      if (args.json) json(out, items);
      else out.print(assetTable(items));
      if (items.some((asset) => asset.state === 'failed'))
        throw new HearthError('unavailable', 'not every asset could be read');
      return;
    }
    if (action === 'ingest') {
      const asset = await api.post(
        `/assets/${need(words[0], 'which asset? Give its id')}/ingest`,
        undefined,
        assetSchema,
      );
      return args.json ? json(out, asset) : out.print(assetTable([asset]));
    }
    if (action !== 'list') throw unknownAction('assets', action, ['list', 'add', 'ingest']);
    const query = args.site === undefined ? '' : `?siteId=${await siteIdOf(api, args.site)}`;
    const items = await api.all(`/assets${query}`, pageOf(assetSchema));
    if (args.json) json(out, items);
    else out.print(assetTable(items));
  },

  async assign(api, args, out) {
    let ttlMs: number | null = null;
    if (args.ttl !== undefined) {
      ttlMs = duration(args.ttl);
      if (ttlMs === null) throw new UsageError(`--ttl ${args.ttl}: say 90s, 15m, 12h or 7d`);
    }
    const body = {
      assets: await assetsOf(api, args),
      boxes: await boxesOf(api, args),
      ttlMs,
      pinned: args.pin ?? false,
    };
    let { items } = await api.post('/assignments', body, z.object({ items: z.array(assignmentSchema) }));
    if (args.wait) items = await waitForHeld(api, items, out);
    if (args.json) json(out, items);
    else out.print(placementTable(items.flatMap((assignment) => assignment.placements)));
  },

  async unassign(api, args, out) {
    const boxIds =
      args.box.length > 0 ? await Promise.all(args.box.map((box) => boxIdOf(api, box))) : undefined;
    const body = { assets: await assetsOf(api, args), ...(boxIds && { boxIds }) };
    const { changed } = await api.post('/unassign', body, changedSchema);
    return args.json ? json(out, { changed }) : out.print(`${changed} taken off\n`);
  },

  async purge(api, args, out) {
    const { changed } = await api.post('/purge', { assets: await assetsOf(api, args) }, changedSchema);
    return args.json
      ? json(out, { changed })
      : out.print(`${changed} purged; clients get them from the origin\n`);
  },

  async ledger(api, args, out) {
    const [action = 'accounts'] = args.words;
    if (action === 'accounts') {
      const items = await api.all('/ledger/accounts', pageOf(accountSchema));
      if (args.json) return json(out, items);
      const rows = items.map((account) => [account.id, account.kind, account.name, credits(account.balance)]);
      return out.print(table(['ACCOUNT', 'KIND', 'NAME', 'BALANCE'], rows));
    }
    if (action !== 'transfers') throw unknownAction('ledger', action, ['accounts', 'transfers']);
    const query = args.account === undefined ? '' : `?accountId=${encodeURIComponent(args.account)}`;
    // The newest page: a ledger has no end.
    const { items } = await api.get(`/ledger/transfers${query}`, pageOf(transferSchema));
    if (args.json) return json(out, items);
    const rows = items.flatMap((transfer) =>
      transfer.entries.map((entry, index) => [
        index === 0 ? time(transfer.createdAt) : '',
        index === 0 ? transfer.id : '',
        index === 0 ? transfer.memo : '',
        entry.accountName,
        credits(entry.amount),
      ]),
    );
    out.print(table(['AT', 'TRANSFER', 'FOR', 'ACCOUNT', 'CREDITS'], rows));
  },
};

function need(word: string | undefined, question: string): string {
  if (word === undefined || word === '') throw new UsageError(question);
  return word;
}

function unknownAction(command: string, action: string, known: string[]): UsageError {
  return new UsageError(`hearth ${command} has no "${action}"; it has ${known.join(', ')}`);
}

function json(out: Output, value: unknown): void {
  out.print(`${JSON.stringify(value, null, 2)}\n`);
}

function done(out: Output, args: Arguments): void {
  if (args.json) json(out, { ok: true });
  else out.print('done\n');
}

async function siteIdOf(api: FleetApi, name: string): Promise<string> {
  const sites = await api.all('/sites', pageOf(siteSchema));
  const site = sites.find((found) => found.id === name || found.hostname === name.toLowerCase());
  if (!site) throw new HearthError('not_found', `There is no site ${name}. "hearth sites" lists them.`);
  return site.id;
}

async function boxIdOf(api: FleetApi, name: string): Promise<string> {
  const boxes = await api.all('/boxes', pageOf(boxSchema));
  const found = boxes.filter((box) => box.id === name || box.label === name);
  if (found.length > 1)
    throw new HearthError('conflict', `${found.length} boxes are called ${name}; give the id.`);
  if (!found[0]) throw new HearthError('not_found', `There is no box ${name}. "hearth boxes" lists them.`);
  return found[0].id;
}

async function assetsOf(api: FleetApi, args: Arguments) {
  if (args.asset.length > 0) {
    if (args.words.length > 0 || args.site !== undefined)
      throw new UsageError('give --asset, or a site and prefix, not both');
    return { assetIds: args.asset };
  }
  const site = args.site ?? args.words[0];
  const prefix = args.prefix ?? args.words[args.site === undefined ? 1 : 0] ?? '/';
  return {
    siteId: await siteIdOf(
      api,
      need(site, 'which assets? Give a site and a prefix such as /hls/, or --asset ID'),
    ),
    prefix,
  };
}

async function boxesOf(api: FleetApi, args: Arguments) {
  if (args.box.length > 0) return { boxIds: await Promise.all(args.box.map((box) => boxIdOf(api, box))) };
  const count = Number(need(args.boxes, 'on which boxes? Give --boxes COUNT, or --box ID for each'));
  if (!Number.isInteger(count) || count < 1) throw new UsageError(`--boxes ${args.boxes}: say how many`);
  return { count };
}

async function waitForIngest(
  api: FleetApi,
  siteId: string,
  asked: z.infer<typeof assetSchema>[],
  out: Output,
) {
  const ids = new Set(asked.map((asset) => asset.id));
  return poll(out, async () => {
    const items = (await api.all(`/assets?siteId=${siteId}`, pageOf(assetSchema))).filter((asset) =>
      ids.has(asset.id),
    );
    const open = items.filter((asset) => asset.state === 'queued' || asset.state === 'reading').length;
    return { value: items, ready: open === 0, say: `reading: ${items.length - open} of ${items.length}` };
  });
}

async function waitForHeld(api: FleetApi, asked: z.infer<typeof assignmentSchema>[], out: Output) {
  return poll(out, async () => {
    const items = await Promise.all(
      asked.map((assignment) => api.get(`/assignments/${assignment.id}`, assignmentSchema)),
    );
    const placements = items.flatMap((assignment) => assignment.placements);
    const bytes = placements.reduce(
      (sum, placement) => sum + (placement.reported === 'held' ? placement.sizeBytes : placement.bytesDone),
      0,
    );
    const total = placements.reduce((sum, placement) => sum + placement.sizeBytes, 0);
    return {
      value: items,
      ready: items.every((assignment) => assignment.converged),
      say: `held: ${size(bytes)} of ${size(total)}`,
    };
  });
}

async function poll<T>(
  out: Output,
  look: () => Promise<{ value: T; ready: boolean; say: string }>,
): Promise<T> {
  const deadline = Date.now() + WAIT_MS;
  for (let said = ''; ; await sleep(POLL_MS)) {
    const { value, ready, say } = await look();
    if (say !== said) out.progress(`${say}\n`);
    said = say;
    if (ready) return value;
    if (Date.now() > deadline) throw new HearthError('unavailable', `gave up waiting (${say})`);
  }
}

/** Whether the router sends clients there, and which way. */
function routeOf(box: Pick<Box, 'reachedBy' | 'notRoutableReason'>): string {
  if (box.reachedBy === null) return `no: ${box.notRoutableReason}`;
  return box.reachedBy === 'relay' ? 'yes, by relay' : 'yes';
}

function assetTable(items: z.infer<typeof assetSchema>[]): string {
  return table(
    ['ID', 'SITE', 'PATH', 'STATE', 'SIZE', 'SHA-256', 'HELD'],
    items.map((asset) => [
      asset.id,
      asset.siteHostname,
      asset.path,
      asset.error ? `${asset.state}: ${asset.error.message}` : asset.state,
      asset.sizeBytes === null ? '-' : size(asset.sizeBytes),
      asset.sha256?.slice(0, 12) ?? '-',
      `${asset.held}/${asset.wanted}`,
    ]),
  );
}

function placementTable(placements: z.infer<typeof assignmentSchema>['placements']): string {
  return table(
    ['PATH', 'BOX', 'WANTED', 'REPORTED', 'DONE', 'UNTIL'],
    placements.map((placement) => [
      placement.path,
      placement.boxLabel,
      placement.desired,
      placement.reason ? `${placement.reported}: ${placement.reason.message}` : (placement.reported ?? '-'),
      placement.sizeBytes === 0
        ? '-'
        : `${Math.floor((100 * (placement.reported === 'held' ? placement.sizeBytes : placement.bytesDone)) / placement.sizeBytes)}%`,
      time(placement.expiresAt),
    ]),
  );
}
