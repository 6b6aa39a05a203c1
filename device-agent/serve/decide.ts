import type { AssetTable } from '#agent/store/asset-table.ts';
import type { AssetEntry } from '#agent/store/catalog.ts';
import type { Store } from '#agent/store/store.ts';
import type { Clock } from '#agent/time/clock.ts';
import { isHearthError } from '#protocol/errors.ts';
import {
  handBackReply,
  healthReply,
  METHODS,
  preflightReply,
  textReply,
  tooManyReply,
  withoutBody,
} from './answers.ts';
import type { Representation } from './asset-headers.ts';
import { AssetHeaders } from './asset-headers.ts';
import { evaluatePreconditions, ifRangeHolds } from './conditional.ts';
import { DateText } from './date-text.ts';
import type { Desk } from './desk.ts';
import type { Variants } from './encodings/select.ts';
import { selectRepresentation } from './encodings/select.ts';
import { multipartOf } from './multipart.ts';
import type { Span } from './range.ts';
import { parseRange } from './range.ts';
import type { HeaderList, ObjectBody, Part, Reply, RequestHead } from './reply.ts';
import { AGE_0, headerOf, NO_BYTES } from './reply.ts';
import type { ContentTarget } from './request-target.ts';
import { originForm, parseTarget } from './request-target.ts';
import type { OpenEntitlement, TokenGate } from './token-gate.ts';
import { mayBegin } from './token-gate.ts';

export interface DeciderParts {
  store: Store;
  tokens: TokenGate;
  clock: Clock;
  /** Who we are; null before pairing. */
  boxId: () => string | null;
  /** Where clients are sent whom we cannot serve; null before the fleet has told. */
  routerUrl: () => string | null;
  variants: Variants;
  /** For the Age header: whole seconds since an asset was last known to be the site's content. */
  ageSeconds: (issuedAtMs: number) => number;
  /** False once the box is going down: connections end with what they are answered. */
  open: () => boolean;
  /** False while new requests are to go back to the router. */
  accepting: () => boolean;
}

/** A clock that is further from the fleet's than this is not believed in a Date header, ms. */
const CLOCK_ERROR_MS = 2_000;

/** Who has too many connections may come again after this, s: the time to close some. */
const CONNECTIONS_AGAIN_S = 5;
/** The newest word on a target, as long as the catalog lists the same assets. */
interface Found {
  table: AssetTable;
  version: number;
  asset: AssetEntry | undefined;
}

/** A request for a held asset that may be served. */
interface Job {
  request: RequestHead;
  target: ContentTarget;
  entitlement: OpenEntitlement;
  asset: AssetEntry;
}

/**
 * Decides what a request is answered. It reads and writes nothing: what lies on the disk it knows from the
 * catalog, and an object's bytes are for the transport to fetch.
 */
export class Decider implements Desk {
  readonly #parts: DeciderParts;
  readonly #heads = new AssetHeaders();
  /** What was found for targets that are asked for again. */
  readonly #found = new WeakMap<ContentTarget, Found>();
  readonly #date = new DateText();

  constructor(parts: DeciderParts) {
    this.#parts = parts;
  }

  ask(request: RequestHead): Reply {
    return this.decide(request);
  }

  /** Nothing is taken from the token before a delivery begins. */
  forgo(): void {}

  decide(request: RequestHead): Reply {
    const { method } = request;
    const reply = this.#route(request);
    // A body on a request that is answered without being read would be taken for the next request.
    const { headers, visitor } = request;
    if (headers['content-length'] || headers['transfer-encoding']) reply.close = true;
    if (visitor.standing !== 'served' || !this.#parts.open()) reply.close = true;
    return method === 'HEAD' && reply.body ? withoutBody(reply) : reply;
  }

  /** False when the object was taken out of service, or the token used up by others, since it was decided. */
  stillStands(body: ObjectBody): boolean {
    const { entitlement, source } = body;
    if (!mayBegin(entitlement, body.lengthBytes < source.sizeBytes)) return false;
    return this.#parts.store.catalog.objects.get(source.sha256)?.state === 'complete';
  }

  /**
   * What the Date header is to say, ms since 1970. A wrong Date makes caches keep content too long or not at all: without a clock there
   * is to be none (RFC 9110 section 6.6.1); with a wrong one the fleet's time stands in.
   */
  dateMs(): number | null {
    const { clock } = this.#parts;
    const fleetMs = clock.fleetNow();
    if (fleetMs === null) return null;
    const localMs = clock.local();
    return Math.abs(fleetMs - localMs) < CLOCK_ERROR_MS ? localMs : fleetMs;
  }

  date(): string | null {
    return this.#date.of(this.dateMs());
  }

  #route(request: RequestHead): Reply {
    const { method, visitor } = request;
    // Too much for one client is too much on every box: the router would send it to the next.
    if (visitor.standing === 'too_many') return tooManyReply(CONNECTIONS_AGAIN_S);
    const waitMs = visitor.client.ask(this.#parts.clock.monotonic());
    if (waitMs > 0) return tooManyReply(Math.ceil(waitMs / 1000));
    const url = originForm(request.target);
    if (method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS') {
      return textReply(405, 'This port only serves content.', ['Allow', METHODS]);
    }
    if (method === 'OPTIONS') return preflightReply();
    if (url.startsWith('/_hearth/health')) return healthReply(url, this.#parts.boxId(), this.#parts.tokens);
    const target = parseTarget(url);
    if (target === null) return textReply(404, 'Nothing is here.');
    if ('fault' in target) return textReply(400, `Bad address: ${target.fault}.`);
    let entitlement: OpenEntitlement;
    const now = this.#parts.clock.fleetNow();
    try {
      entitlement = this.#parts.tokens.open(target.token, target.siteId, target.path, now);
    } catch (error) {
      if (!isHearthError(error)) throw error;
      if (error.code === 'token_expired' || error.code === 'unavailable') return this.#handBack(target);
      return textReply(403, `Refused: ${error.message}.`);
    }
    // Too much for this box is not too much for others.
    if (visitor.standing === 'turned_away') return this.#handBack(target);
    const asset = this.#servable(target, entitlement, request.headers.range !== undefined, now);
    return asset ? this.#serve({ request, target, entitlement, asset }) : this.#handBack(target);
  }

  /** The asset, if this box can and may serve it now. */
  #servable(
    target: ContentTarget,
    entitlement: OpenEntitlement,
    isPart: boolean,
    now: number | null,
  ): AssetEntry | null {
    const { store, open, accepting } = this.#parts;
    if (!open() || !accepting() || !store.disk.readable) return null;
    if (!mayBegin(entitlement, isPart)) return null;
    const asset = this.#find(target);
    if (asset?.object.state !== 'complete') return null;
    if (asset.expiresAtMs !== null && now !== null && asset.expiresAtMs <= now) return null;
    return asset;
  }

  /** To look it up in the catalog costs more than all the rest of a decision. */
  #find(target: ContentTarget): AssetEntry | undefined {
    const { catalog } = this.#parts.store;
    const { assets } = catalog.tables;
    const found = this.#found.get(target);
    if (found?.table === assets && found.version === assets.version) return found.asset;
    const asset = catalog.find(target.siteId, target.path);
    this.#found.set(target, { table: assets, version: assets.version, asset });
    return asset;
  }

  #serve(job: Job): Reply {
    const { request, target, asset } = job;
    const { headers } = request;
    const chosen = selectRepresentation(request, asset, this.#heads, this.#parts.variants);
    // It takes nothing we have. The router's last resort, the origin, may have it.
    if (!chosen) return this.#handBack(target);
    const age = this.#age(asset);
    const precondition = evaluatePreconditions(headers, chosen);
    if (precondition === 'not_modified') {
      return { status: 304, fixed: chosen.always, own: age, body: null, close: false };
    }
    if (precondition === 'failed') return textReply(412, 'The content is not what was expected.');
    const { sizeBytes } = chosen.source;
    const range = request.method === 'GET' ? headerOf(headers, 'range') : undefined;
    const mayRange = range !== undefined && ifRangeHolds(headerOf(headers, 'if-range'), chosen);
    const asked = parseRange(mayRange ? range : undefined, sizeBytes);
    if (asked.kind === 'unsatisfiable') {
      return textReply(416, 'The content has no such range.', ['Content-Range', `bytes */${sizeBytes}`]);
    }
    if (asked.kind === 'part') return this.#partly(job, chosen, asked.spans, age);
    const body = this.#bodyOf(job, chosen, chosen.all, sizeBytes);
    return { status: 200, fixed: chosen.whole, own: age, body, close: false };
  }

  /** 206: one span plainly, several with lines between them (RFC 9110 section 15.3.7). */
  #partly(job: Job, chosen: Representation, spans: readonly [Span, ...Span[]], age: HeaderList): Reply {
    const { sizeBytes } = chosen.source;
    if (spans.length === 1) {
      const [{ start, end }] = spans;
      const lengthBytes = end - start;
      const contentRange = `bytes ${start}-${end - 1}/${sizeBytes}`;
      const own = [...age, 'Content-Length', String(lengthBytes), 'Content-Range', contentRange];
      const parts = [{ before: NO_BYTES, start, end }];
      const body = this.#bodyOf(job, chosen, parts, lengthBytes);
      return { status: 206, fixed: chosen.part, own, body, close: false };
    }
    const made = multipartOf(spans, chosen.contentType, sizeBytes);
    const own = [...age, 'Content-Type', made.contentType, 'Content-Length', String(made.lengthBytes)];
    const body = this.#bodyOf(job, chosen, made.parts, made.lengthBytes, made.closing);
    return { status: 206, fixed: chosen.parts, own, body, close: false };
  }

  #bodyOf(
    job: Job,
    chosen: Representation,
    parts: readonly Part[],
    lengthBytes: number,
    closing: Buffer = NO_BYTES,
  ): ObjectBody {
    return {
      kind: 'object',
      entitlement: job.entitlement,
      assetId: job.asset.assetId,
      source: chosen.source,
      parts,
      closing,
      lengthBytes,
      // A variant that cannot be read is gone by then, and the next best is chosen.
      instead: () => (chosen.coding === null ? this.#handBack(job.target) : this.decide(job.request)),
    };
  }

  #age(asset: AssetEntry): HeaderList {
    const seconds = this.#parts.ageSeconds(asset.issuedAtMs);
    return seconds === 0 ? AGE_0 : ['Age', String(seconds)];
  }

  #handBack(target: ContentTarget): Reply {
    return handBackReply(target, this.#parts.boxId(), this.#parts.routerUrl());
  }
}
