import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Artefact, UpdateOrder } from '#protocol/release.ts';
import type { Signers } from '#protocol/release-signing.ts';
import { makeRoot, makeSnapshot, makeTargets, makeTimestamp } from '#protocol/release-signing.ts';
import type { BuiltArtefact } from './artefact-fixture.ts';
import { entryOf } from './artefact-fixture.ts';

const DAY_MS = 86_400_000;

/** What may go wrong with an artefact on its way. */
export type ArtefactFault =
  /** Breaks off after so many bytes. */
  | { breakAfter: number }
  | 'altered'
  /** Says that there are more bytes than were signed. */
  | 'longer'
  /** Does not end. */
  | 'endless'
  /** Half of it, and the rest when this resolves. */
  | { heldUntil: Promise<void> };

/** Who holds the keys, and a web server with what they signed. */
export class ReleaseFixture {
  readonly metadata = new Map<string, string>();
  readonly artefacts = new Map<string, Buffer>();
  /** Requests for artefacts, as they came. */
  readonly asked: { path: string; range: string | undefined }[] = [];
  /** What happens to the next answers with an artefact, one each; then they are as they should be. */
  readonly faults: ArtefactFault[] = [];
  /** Nobody answers. */
  isAway = false;
  key: KeyObject = generateKeyPairSync('ed25519').privateKey;
  #version = 0;
  #rootVersion = 1;
  readonly #entries: Artefact[] = [];
  readonly #server: http.Server;

  private constructor(server: http.Server) {
    this.#server = server;
  }

  static async start(): Promise<ReleaseFixture> {
    const server = http.createServer((request, response) => fixture.#answer(request, response));
    const fixture = new ReleaseFixture(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
    fixture.root = makeRoot(1, Date.now() + 365 * DAY_MS, fixture.#signers(fixture.key));
    return fixture;
  }

  /** The root of trust that a package would bring. */
  root = '';

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** Signs an artefact in, for this machine unless said otherwise. */
  async release(built: BuiltArtefact, terms: Partial<Artefact> = {}): Promise<void> {
    this.artefacts.set(built.sha256, await readFile(built.file));
    const entry = entryOf(built, terms);
    const same = this.#entries.findIndex(
      (other) => other.version === entry.version && other.architecture === entry.architecture,
    );
    if (same >= 0) this.#entries.splice(same, 1);
    this.#entries.push(entry);
    this.sign();
  }

  /** Signs everything anew, at one version higher. */
  sign({ expiresMs = Date.now() + 30 * DAY_MS, key = this.key, version = this.#version + 1 } = {}): void {
    this.#version = version;
    const targets = makeTargets(version, expiresMs, this.#entries, [key]);
    const snapshot = makeSnapshot(version, expiresMs, { version, text: targets }, [key]);
    this.metadata.set(
      'timestamp.json',
      makeTimestamp(version, expiresMs, { version, text: snapshot }, [key]),
    );
    this.metadata.set(`${version}.snapshot.json`, snapshot);
    this.metadata.set(`${version}.targets.json`, targets);
  }

  /** Hands everything on to a new key. */
  rotate(): void {
    const before = this.key;
    this.key = generateKeyPairSync('ed25519').privateKey;
    this.#rootVersion++;
    const root = makeRoot(this.#rootVersion, Date.now() + 365 * DAY_MS, this.#signers(this.key), [before]);
    this.metadata.set(`${this.#rootVersion}.root.json`, root);
    this.sign();
  }

  /** One that nobody has been told to trust. */
  newKey(): KeyObject {
    return generateKeyPairSync('ed25519').privateKey;
  }

  order(updateId: string, version: string, window: UpdateOrder['window'] = null): UpdateOrder {
    const { url } = this;
    return { updateId, version, metadataUrl: `${url}/metadata`, artefactsUrl: `${url}/artefacts`, window };
  }

  #signers(key: KeyObject): Signers {
    const one = { keys: [key], threshold: 1 };
    return { root: one, targets: one, snapshot: one, timestamp: one };
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    if (this.isAway) return void response.destroy();
    const [, kind, name = ''] = (request.url ?? '').split('/');
    const text = kind === 'metadata' ? this.metadata.get(name) : undefined;
    if (text !== undefined) return void response.end(text);
    const bytes = kind === 'artefacts' ? this.artefacts.get(name) : undefined;
    if (!bytes) return void response.writeHead(404).end();
    const { range } = request.headers;
    this.asked.push({ path: name, range });
    const [, from = '0', to = `${bytes.length - 1}`] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
    const fault = this.faults.shift();
    const sizeBytes = bytes.length + (fault === 'longer' ? 1 : 0);
    const part = Buffer.from(bytes.subarray(Number(from), Number(to) + 1));
    if (fault === 'altered') part[part.length >> 1] = ~(part[part.length >> 1] ?? 0);
    response.writeHead(range ? 206 : 200, {
      ...(fault !== 'endless' && { 'content-length': part.length }),
      ...(range && { 'content-range': `bytes ${from}-${to}/${sizeBytes}` }),
    });
    if (fault === 'endless') endless(part, response);
    else if (typeof fault === 'object') interrupted(part, fault, response);
    else response.end(part);
  }
}

/** What was asked for, and zeros from then on. */
function endless(part: Buffer, response: http.ServerResponse): void {
  const zeros = Buffer.alloc(64 * 1024);
  const more = () => {
    while (!response.destroyed && response.write(zeros));
  };
  response.on('drain', more);
  response.write(part);
  more();
}

function interrupted(
  part: Buffer,
  fault: Extract<ArtefactFault, object>,
  response: http.ServerResponse,
): void {
  if ('breakAfter' in fault) {
    response.write(part.subarray(0, fault.breakAfter), () => response.destroy());
    return;
  }
  const half = part.length >> 1;
  response.write(part.subarray(0, half));
  void fault.heldUntil.then(() => response.end(part.subarray(half)));
}
