import { X509Certificate } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { eq, sql } from 'drizzle-orm';
import type { Logger } from 'pino';
import { z } from 'zod';
import type { Database } from '#fleet/database/database.ts';
import { notify } from '#fleet/database/listen.ts';
import { boxes } from '#fleet/database/schema.ts';
import { hostAndPort } from '#protocol/addresses.ts';
import { deliveryKeyFor } from '#protocol/delivery-token.ts';
import { isDialProof } from '#protocol/dial-back.ts';
import { messageOf } from '#protocol/errors.ts';
import { newNonce } from '#protocol/ids.ts';
import { clip } from '#protocol/messages.ts';
import type { DialCode, DialTarget } from '#protocol/reach.ts';
import type { DialPolicy } from './dial-policy.ts';

const ANSWER = z.object({ boxId: z.string(), nonce: z.string(), proof: z.string() });
const TIMEOUT_MS = 3000;
const MOST_BYTES = 4096;
const AT_ONCE = 32;

export interface DialParts {
  policy: DialPolicy;
  /** What the boxes' delivery keys are derived from: only the box itself can answer with its own. */
  deliverySecret: Buffer;
}

/** How a box is to be met over TLS. */
export interface SecureMeeting {
  serverName: string;
  /** The chain the fleet got for the box, PEM: another certificate is not what clients would trust. */
  chain: string;
}

export interface Dialled {
  code: DialCode;
  /** For the operator; a box is told the code alone, so that it learns nothing of whom it had dialled. */
  reason: string | null;
}

/**
 * Asks who answers at a URL, with a nonce that only the box can prove it has seen. That it answers from there is what
 * makes it routable; its own word is not enough.
 * @param connectedFrom the box's address as its broker sees it
 * @param secure for an https URL, which has the address for its host
 */
export async function dial(
  parts: DialParts,
  boxId: string,
  contentUrl: string,
  connectedFrom: string | null,
  secure: SecureMeeting | null = null,
): Promise<Dialled> {
  const nonce = newNonce();
  const no = (code: DialCode, reason: string): Dialled => ({ code, reason: `${contentUrl} ${reason}` });
  try {
    const url = new URL(`${contentUrl.replace(/\/+$/, '')}/_hearth/health?nonce=${nonce}`);
    const host = url.hostname.replace(/^\[|\]$/g, '');
    // Resolved once and connected to as it is: a name that changes its mind in between gains nothing.
    const address = isIP(host) ? host : (await lookup(host)).address;
    const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
    const refused = parts.policy.refuse(boxId, address, port, connectedFrom);
    if (refused) return no(refused, `is not dialled: ${address}, ${refused}`);
    const { status, text } = await ask(url, address, secure);
    if (status !== 200) return no('not_this_box', `answered ${status}`);
    const answer = ANSWER.safeParse(parseJson(text));
    if (!answer.success || answer.data.nonce !== nonce) return no('not_this_box', 'is not a box');
    if (answer.data.boxId !== boxId) return no('not_this_box', 'is another box');
    const key = deliveryKeyFor(parts.deliverySecret, boxId);
    if (!isDialProof(answer.data.proof, key, boxId, nonce))
      return no('not_this_box', 'is not the box it says it is');
    return { code: 'ok', reason: null };
  } catch (error) {
    return no(codeOf(error), `cannot be reached: ${messageOf(error)}`);
  }
}

function codeOf(error: unknown): DialCode {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ECONNREFUSED') return 'refused';
  if (code === 'ETIMEDOUT' || (error instanceof Error && error.name === 'TimeoutError')) return 'timeout';
  return 'unreachable';
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** One request to that very address; redirects are answers like any other, not followed. */
function ask(
  url: URL,
  address: string,
  secure: SecureMeeting | null,
): Promise<{ status: number; text: string }> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => reject(signal.aborted ? signal.reason : error);
    const send = url.protocol === 'https:' ? requestHttps : requestHttp;
    const asking = send(url, {
      agent: false,
      signal,
      // Its certificate is compared below with the very one that was issued.
      ...(secure && { servername: secure.serverName, rejectUnauthorized: false }),
      headers: { 'User-Agent': 'Hearth dial-back' },
      lookup: (_host, options, done) => {
        const family = isIP(address);
        if (options.all) done(null, [{ address, family }]);
        else done(null, address, family);
      },
    });
    asking.once('error', failed);
    asking.once('response', (response) => {
      const why = secure && unlike(secure, response.socket as TLSSocket);
      if (why) return void asking.destroy(new Error(why));
      const pieces: Buffer[] = [];
      let size = 0;
      const end = () => {
        response.destroy();
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(pieces).toString('utf8') });
      };
      response.once('error', failed);
      response.once('end', end);
      response.on('data', (piece: Buffer) => {
        size += piece.length;
        pieces.push(piece);
        if (size > MOST_BYTES) end();
      });
    });
    asking.end();
  });
}

/** Why clients would not trust what was shown; null: they will. */
function unlike({ chain, serverName }: SecureMeeting, socket: TLSSocket): string | null {
  const shown = socket.getPeerX509Certificate();
  const issued = new X509Certificate(chain);
  if (shown?.fingerprint256 !== issued.fingerprint256) return 'it shows another certificate than was issued';
  if (shown.checkHost(serverName) === undefined) return `its certificate is not for ${serverName}`;
  return Date.parse(shown.validTo) > Date.now() ? null : 'its certificate has expired';
}

/**
 * What it takes to meet these boxes over TLS; those without a name or a certificate are left out.
 * @param domain boxes are `<label>.<domain>`; null: none has a name
 */
export async function meetings(
  db: Database,
  boxIds: readonly string[],
  domain: string | null,
): Promise<Map<string, SecureMeeting>> {
  if (domain === null || boxIds.length === 0) return new Map();
  const { rows } = await db.execute<{ id: string; name_label: string; chain: string }>(sql`
    SELECT id, name_label, chain FROM boxes JOIN box_certificates ON box_id = id
    WHERE id = ANY(${sql.param([...boxIds])}::text[]) AND chain IS NOT NULL AND expires_at > now()`);
  return new Map(
    rows.map(({ id, name_label: label, chain }) => [id, { serverName: `${label}.${domain}`, chain }]),
  );
}

/**
 * Dials what a box asks for, all at once.
 * @returns what was found, to be told to the box
 */
export async function dialTargets(
  parts: DialParts,
  boxId: string,
  targets: readonly DialTarget[],
  connectedFrom: string | null,
  secure: SecureMeeting | null,
): Promise<{ target: DialTarget; code: DialCode }[]> {
  return Promise.all(
    targets.map(async (target) => {
      if (!parts.policy.mayAsk(boxId)) return { target, code: 'rate_limited' as const };
      // Without a certificate there is nothing that could be met.
      if (target.secure && !secure) return { target, code: 'unreachable' as const };
      const url = `${target.secure ? 'https' : 'http'}://${hostAndPort(target.address, target.port)}`;
      const found = await dial(parts, boxId, url, connectedFrom, target.secure ? secure : null);
      return { target, code: found.code };
    }),
  );
}

/** Dials every online box at most every `everyMs`, and again soon where its address changed. @returns how many */
export async function dialBoxes(
  db: Database,
  parts: DialParts,
  everyMs: number,
  domain: string | null,
  log: Logger,
): Promise<number> {
  const rows = await db
    .select()
    .from(boxes)
    .where(
      sql`${boxes.online} AND ${boxes.revokedAt} IS NULL AND ${boxes.heartbeat} IS NOT NULL AND (${boxes.dialledAt} IS NULL
        OR ${boxes.dialledAt} < now() - ${everyMs} * interval '1 millisecond'
        OR ((NOT ${boxes.dialOk} OR ${boxes.dialledUrl} IS DISTINCT FROM ${boxes.heartbeat} ->> 'contentUrl'
            OR ${boxes.secureUrl} IS DISTINCT FROM ${boxes.heartbeat} ->> 'secureUrl')
          AND ${boxes.dialledAt} < now() - interval '2 seconds'))`,
    )
    .limit(1000);
  const queue = [...rows];
  const secure = await meetings(
    db,
    rows.filter((box) => box.heartbeat?.secureUrl != null).map((box) => box.id),
    domain,
  );
  const worker = async (): Promise<void> => {
    for (let box = queue.pop(); box; box = queue.pop()) {
      const url = box.heartbeat?.contentUrl ?? null;
      const { code, reason }: Dialled =
        url === null
          ? { code: 'unreachable', reason: 'no heartbeat yet' }
          : await dial(parts, box.id, url, box.observedAddress);
      const ok = code === 'ok';
      const secureUrl = box.heartbeat?.secureUrl ?? null;
      const meeting = secure.get(box.id) ?? null;
      const secureOk =
        secureUrl !== null &&
        meeting !== null &&
        (await dial(parts, box.id, secureUrl, box.observedAddress, meeting)).code === 'ok';
      await db
        .update(boxes)
        .set({
          dialOk: ok,
          dialReason: reason && clip(reason),
          dialledAt: new Date(),
          dialledUrl: url,
          secureUrl,
          secureOk: secureUrl === null ? null : secureOk,
        })
        .where(eq(boxes.id, box.id));
      const asBefore = ok === box.dialOk && url === box.dialledUrl;
      if (asBefore && secureOk === (box.secureOk ?? false) && secureUrl === box.secureUrl) continue;
      await notify(db, 'boxes', box.id);
      if (!ok) log.warn({ boxId: box.id, reason }, 'the box cannot be reached where it says it serves');
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, rows.length) }, worker));
  return rows.length;
}
