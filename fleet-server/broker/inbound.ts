import { and, eq } from 'drizzle-orm';
import type { Logger } from 'pino';
import { placementSubject } from '#fleet/assignments/assignments.ts';
import { type DialParts, dialTargets, meetings } from '#fleet/boxes/dial-back.ts';
import { requestCertificate } from '#fleet/certificates/requests.ts';
import { complete, enqueue, type StoredCommand } from '#fleet/commands/outbox.ts';
import type { Database } from '#fleet/database/database.ts';
import { boxes, placements } from '#fleet/database/schema.ts';
import { settle, type Tariff } from '#fleet/deliveries/settle.ts';
import { judgeEvictions } from '#fleet/evictions/verdict.ts';
import { earningsOf } from '#fleet/ledger/earnings.ts';
import { endSessions } from '#fleet/relay/away/listing.ts';
import { takeUpdateReport } from '#fleet/rollouts/reports.ts';
import type { Sources } from '#fleet/sources/sources.ts';
import { judge } from '#fleet/spot-checks/spot-checks.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';
import {
  type DownMessage,
  PROTOCOL_VERSION,
  parseUp,
  type UpKind,
  type UpMessage,
} from '#protocol/messages.ts';
import type { Presence } from './presence.ts';
import { applyIndex, applyReports, IndexAssembly } from './reported-state.ts';

/** Assets nobody placed on a box that are deleted for one index of it. */
const STRAYS_AT_ONCE = 1000;

/** What handlers may ask of the connection they came over. */
export interface Link {
  /** Publishes to a box; lost if the box is gone, which is why answers are sent again on the next hello. */
  send<K extends 'deliveries-ack' | 'earnings' | 'sources' | 'dialled' | 'evictions-verdict'>(
    boxId: string,
    kind: K,
    message: DownMessage<K>,
  ): Promise<void>;
  /** The address a box connects from, as it is seen here. */
  addressOf(boxId: string): string | null;
  /** The box has said hello: configure it, and send what is due. */
  welcome(boxId: string): Promise<void>;
  /** There is room for further commands. */
  dispatch(boxId: string): void;
}

/**
 * What each message from a box does. A handler that returns has made its effect durable: only then is the
 * message acknowledged to the box (MQTT 3.1.1 section 4.3.2), so that a crash between the two makes the box send
 * it again, and every handler takes repeats without harm.
 */
export class Inbound {
  readonly #db: Database;
  readonly #presence: Presence;
  readonly #sealKey: Buffer;
  readonly #tariff: Tariff;
  readonly #log: Logger;
  readonly #sources: Sources;
  readonly #boxDomain: string | null;
  readonly #dialParts: DialParts;
  readonly #dialling = new Set<string>();
  readonly #indexes = new IndexAssembly();

  constructor(
    db: Database,
    presence: Presence,
    sealKey: Buffer,
    tariff: Tariff,
    log: Logger,
    sources: Sources,
    /** Boxes' names are below it; null: they have none, and no certificates. */
    boxDomain: string | null,
    dialParts: DialParts,
  ) {
    this.#dialParts = dialParts;
    this.#boxDomain = boxDomain;
    this.#db = db;
    this.#sources = sources;
    this.#presence = presence;
    this.#sealKey = sealKey;
    this.#tariff = tariff;
    this.#log = log;
  }

  /** @throws HearthError when the payload is malformed; anything else means: not done, send it again */
  async handle(boxId: string, kind: UpKind, payload: Uint8Array, link: Link): Promise<void> {
    switch (kind) {
      case 'hello': {
        const { bootId, agentVersion } = parseUp(kind, payload);
        await this.#presence.online(boxId, { bootId, agentVersion, observedAddress: link.addressOf(boxId) });
        await link.welcome(boxId);
        await link.send(boxId, 'earnings', await earningsOf(this.#db, boxId));
        return;
      }
      case 'offline':
        // The will of a connection that broke; the broker itself sees that too, another broker may not.
        parseUp(kind, payload);
        return;
      case 'heartbeat':
        this.#presence.heartbeat(boxId, parseUp(kind, payload));
        return;
      case 'hardware': {
        const hardware = parseUp(kind, payload);
        await this.#db.update(boxes).set({ hardware }).where(eq(boxes.id, boxId));
        return;
      }
      case 'integrity': {
        const integrity = parseUp(kind, payload);
        await this.#db.update(boxes).set({ integrity }).where(eq(boxes.id, boxId));
        return;
      }
      case 'report':
        return applyReports(this.#db, boxId, parseUp(kind, payload).assets);
      case 'index':
        return this.#index(boxId, parseUp(kind, payload));
      case 'reply':
        await this.#reply(boxId, parseUp(kind, payload));
        return link.dispatch(boxId);
      case 'dial-wanted':
        this.#dialWanted(boxId, parseUp(kind, payload), link);
        return;
      case 'sources-wanted':
        for (const sha256 of parseUp(kind, payload).sha256s) {
          const sources = await this.#sources.forFill(boxId, sha256);
          if (sources) await link.send(boxId, 'sources', sources);
        }
        return;
      case 'evictions':
        return link.send(
          boxId,
          'evictions-verdict',
          await judgeEvictions(this.#db, boxId, parseUp(kind, payload)),
        );
      case 'certificate-request': {
        const { csr } = parseUp(kind, payload);
        if (this.#boxDomain === null)
          throw new HearthError('csr_invalid', 'boxes of this fleet have no names');
        return requestCertificate(this.#db, boxId, csr, this.#boxDomain);
      }
      case 'away-end': {
        const ended = await endSessions(this.#db, boxId, parseUp(kind, payload).sessions);
        this.#log.info({ boxId, ended }, 'a household ended sessions at its dashboard from away');
        return;
      }
      case 'update': {
        const { v: _v, at: _at, ...report } = parseUp(kind, payload);
        return takeUpdateReport(this.#db, boxId, report);
      }
      case 'deliveries':
        return this.#deliveries(boxId, parseUp(kind, payload), link);
    }
  }

  forget(boxId: string): void {
    this.#indexes.forget(boxId);
  }

  /** Not waited for: a dead address takes seconds, and the box has other things to say meanwhile. */
  #dialWanted(boxId: string, { targets }: UpMessage<'dial-wanted'>, link: Link): void {
    // One at a time: a box that asks again before it was answered is answered once.
    if (this.#dialling.has(boxId)) return;
    this.#dialling.add(boxId);
    const connectedFrom = link.addressOf(boxId);
    const secure = targets.some((target) => target.secure)
      ? meetings(this.#db, [boxId], this.#boxDomain)
      : Promise.resolve(new Map<string, never>());
    secure
      .then((known) => dialTargets(this.#dialParts, boxId, targets, connectedFrom, known.get(boxId) ?? null))
      .then((results) => link.send(boxId, 'dialled', { v: PROTOCOL_VERSION, results, connectedFrom }))
      .catch((error: unknown) => this.#log.warn({ boxId, err: messageOf(error) }, 'could not dial a box'))
      .finally(() => this.#dialling.delete(boxId));
  }

  async #index(boxId: string, message: UpMessage<'index'>): Promise<void> {
    const { whole, dropped } = this.#indexes.add(boxId, message);
    for (const other of dropped) await enqueue(this.#db, other, 'index', { type: 'index' });
    if (!whole) return;
    const strays = await applyIndex(this.#db, boxId, whole);
    for (const stray of strays.slice(0, STRAYS_AT_ONCE)) {
      await enqueue(this.#db, boxId, placementSubject(stray.assetId), {
        type: 'delete',
        sha256: stray.sha256,
        assetIds: [stray.assetId],
      });
    }
    // What is left over is named by the next index, asked for when these have been sent.
    if (strays.length > STRAYS_AT_ONCE) await enqueue(this.#db, boxId, 'index', { type: 'index' });
    if (strays.length > 0)
      this.#log.info({ boxId, assets: strays.length }, 'the box holds assets that are not placed on it');
  }

  async #reply(boxId: string, reply: UpMessage<'reply'>): Promise<void> {
    const ended = await complete(this.#db, boxId, reply);
    if (!ended) return;
    const body = ended.body as unknown as StoredCommand;
    const { outcome } = reply;
    if (outcome.ok && outcome.result?.type === 'spot-check') await judge(this.#db, ended.id, outcome.result);
    if (!outcome.ok)
      this.#log.warn({ boxId, command: ended.type, ...outcome.error }, 'the box refused a command');
    if (body.type === 'cache') {
      // Accepted: it is on its way, whatever the report that says so is doing.
      const own = and(eq(placements.boxId, boxId), eq(placements.assetId, body.assetId));
      const [row] = await this.#db.select().from(placements).where(own);
      if (
        !row ||
        (row.reportedSha256 === body.sha256 && row.reported !== 'deleted' && row.reported !== 'expired')
      )
        return;
      await applyReports(this.#db, boxId, [
        {
          assetId: body.assetId,
          sha256: body.sha256,
          state: outcome.ok ? 'queued' : 'failed',
          bytesDone: 0,
          reason: outcome.ok ? null : outcome.error,
        },
      ]);
    }
    if (body.type === 'delete' && outcome.ok) {
      await applyReports(
        this.#db,
        boxId,
        body.assetIds.map((assetId) => ({
          assetId,
          sha256: body.sha256,
          state: 'deleted',
          bytesDone: 0,
          reason: null,
        })),
      );
    }
  }

  async #deliveries(boxId: string, batch: UpMessage<'deliveries'>, link: Link): Promise<void> {
    const settlement = await settle(this.#db, boxId, batch, this.#sealKey, this.#tariff);
    if (settlement.outcome === 'refused') {
      this.#log.warn(
        { boxId, batchId: batch.batchId, reason: settlement.reason },
        'a batch of deliveries was refused',
      );
    }
    await link.send(boxId, 'deliveries-ack', {
      v: PROTOCOL_VERSION,
      batchId: batch.batchId,
      outcome: settlement.outcome,
      reason: settlement.reason,
      acceptedBytes: settlement.acceptedBytes,
    });
    await link.send(boxId, 'earnings', await earningsOf(this.#db, boxId));
  }
}
