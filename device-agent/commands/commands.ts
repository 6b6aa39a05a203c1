import type { FleetSettings } from '#agent/identity/identity.ts';
import type { CommandResult } from '#agent/link/inbox.ts';
import { stateOf } from '#agent/store/catalog.ts';
import { LATEST_MS } from '#agent/store/manifest-files.ts';
import { proveChunk } from '#agent/store/spot-check.ts';
import type { Store } from '#agent/store/store.ts';
import type { Clock } from '#agent/time/clock.ts';
import { HearthError } from '#protocol/errors.ts';
import type { AssetReport, Command, CommandBody } from '#protocol/messages.ts';
import { clip } from '#protocol/messages.ts';

type Body<T extends CommandBody['type']> = Extract<CommandBody, { type: T }>;

export interface CommandsOptions {
  store: Store;
  clock: Clock;
  /** The fleet has (re)configured this box. */
  configure: (settings: Omit<FleetSettings, 'v' | 'boxId'>) => Promise<void>;
  /** A certificate for the box's own name has come. */
  certificate: (chain: string) => Promise<void>;
  /** The fleet wants another version here, or none any more. */
  update: (order: Body<'update'>['order']) => void;
  sendHardware: () => void;
  sendIndex: () => void;
  report: (reports: AssetReport[]) => void;
  /** What is wanted has changed. */
  replan: () => void;
}

/** Assets named in one answer. */
const MOST_ASSETS = 100;

/** The seven operations and `configure`, each harmless when repeated. */
export class Commands {
  readonly #options: CommandsOptions;

  constructor(options: CommandsOptions) {
    this.#options = options;
  }

  /**
   * Carries out a command whose signature and expiry have been checked.
   * @throws HearthError the reason it is refused
   */
  async execute(command: Command): Promise<CommandResult> {
    const { body } = command;
    const issuedAtMs = Date.parse(command.issuedAt);
    switch (body.type) {
      case 'configure':
        return this.#configure(body, issuedAtMs);
      case 'cache':
        return this.#cache(body, issuedAtMs);
      case 'delete':
        return this.#delete(body, issuedAtMs);
      case 'get':
        return this.#get(body.sha256);
      case 'hardware':
        this.#options.sendHardware();
        return null;
      case 'index':
        this.#options.sendIndex();
        return null;
      case 'certificate':
        await this.#options.certificate(body.chain);
        return null;
      case 'update':
        this.#options.update(body.order);
        return null;
      case 'spot-check': {
        const { sha256, chunkIndex, nonce } = body;
        const proof = await proveChunk(this.#options.store, sha256, chunkIndex, nonce);
        return { type: 'spot-check', sha256, chunkIndex, proof };
      }
    }
  }

  async #configure(body: Body<'configure'>, issuedAtMs: number): Promise<null> {
    const { clock, configure, replan } = this.#options;
    clock.learn(issuedAtMs);
    const { heartbeatIntervalMs, deliveryKey, routerUrl } = body;
    const { relayUrls = [], serverName = null, securePort = null } = body;
    const { dashboardUrls = [], certificateProblem = null } = body;
    await configure({
      heartbeatIntervalMs,
      deliveryKey,
      routerUrl,
      relayUrls,
      serverName,
      securePort,
      dashboardUrls,
      certificateProblem,
    });
    // What has expired can be told now.
    replan();
    return null;
  }

  /** Accepted once the manifest is durably on the disk; the download is then the planner's business. */
  async #cache(body: Body<'cache'>, issuedAtMs: number): Promise<null> {
    const { store, report, replan } = this.#options;
    const expiresAtMs = body.ttlMs === null ? null : Math.min(issuedAtMs + body.ttlMs, LATEST_MS);
    await store.want(body.asset, expiresAtMs, issuedAtMs, body.pinned ?? false);
    const asset = store.catalog.assets.get(body.asset.assetId);
    // Said even when nothing changed: the fleet may have missed it.
    if (asset) report([store.report(asset)]);
    replan();
    return null;
  }

  async #delete(body: Body<'delete'>, issuedAtMs: number): Promise<null> {
    const { store, report, replan } = this.#options;
    if (!store.disk.readable) throw new HearthError('disk_absent', 'the disk is away');
    for (const assetId of body.assetIds) {
      await store.learn(assetId);
      const asset = store.catalog.assets.get(assetId);
      // The fleet has wanted it again since.
      if (asset && asset.issuedAtMs > issuedAtMs) continue;
      await store.unwant(assetId, 'deleted');
      if (!asset) {
        report([{ assetId, sha256: body.sha256, state: 'deleted', bytesDone: 0, reason: null }]);
      }
    }
    replan();
    return null;
  }

  async #get(sha256: string): Promise<CommandResult> {
    const { store } = this.#options;
    const object = store.catalog.objects.get(sha256);
    if (!object?.isWanted) throw new HearthError('not_held', 'this object is not known here');
    const assets = object.assetIds.slice(0, MOST_ASSETS).flatMap((assetId) => {
      const asset = store.catalog.assets.get(assetId);
      return asset ? [{ assetId, siteId: asset.siteId, path: clip(asset.path) }] : [];
    });
    return {
      type: 'get',
      sha256,
      sizeBytes: object.sizeBytes,
      state: store.disk.readable ? stateOf(object) : 'failed',
      bytesDone: object.bytesDone,
      verifiedAt: object.verifiedAt,
      assets,
    };
  }
}
