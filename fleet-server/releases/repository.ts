import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { copyFile, mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { HearthError, messageOf } from '#protocol/errors.ts';
import type { Architecture, Artefact } from '#protocol/release.ts';
import { ARTEFACT_BYTES, compareVersions } from '#protocol/release.ts';
import {
  makeRoot,
  makeSnapshot,
  makeTargets,
  makeTimestamp,
  type Role,
  type Signers,
  tufKey,
} from '#protocol/release-signing.ts';
import { ReleaseTrust } from '#protocol/release-trust.ts';
import { kindOfProgram } from './program-kind.ts';

const DAY_MS = 86_400_000;
const LIVES = { root: 730 * DAY_MS, targets: 365 * DAY_MS };
/** How long boxes believe what is published before it must be signed anew, days. */
export const FRESH_DAYS = 30;

/** Makes an Ed25519 key and writes it to a new file for its owner only, encrypted if there is a passphrase. */
export async function writeKey(file: string, passphrase: string | undefined): Promise<string> {
  const { privateKey } = generateKeyPairSync('ed25519');
  const encrypted = passphrase ? { cipher: 'aes-256-cbc', passphrase } : {};
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem', ...encrypted }).toString();
  const handle = await open(file, 'wx', 0o600).catch((cause) => {
    throw new HearthError('conflict', `${file} cannot be made: ${messageOf(cause)}`, { cause });
  });
  await handle.writeFile(pem).finally(() => handle.close());
  return tufKey(privateKey).keyID;
}

/** Reads a private key. @throws HearthError `bad_request` */
export async function readKey(file: string, passphrase: string | undefined): Promise<KeyObject> {
  try {
    const key = createPrivateKey({ key: await readFile(file), ...(passphrase && { passphrase }) });
    if (key.asymmetricKeyType !== 'ed25519') throw new Error('not an Ed25519 key');
    return key;
  } catch (cause) {
    throw new HearthError('bad_request', `${file} is no key that can be read: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/**
 * A folder of signed metadata and the artefacts it names, on the machine that has the keys: `metadata/` with TUF's
 * files, `artefacts/` by SHA-256. What it writes is checked as a box would before it is written.
 */
export class Repository {
  readonly #dir: string;
  readonly #now: () => number;

  constructor(dir: string, now: () => number = Date.now) {
    this.#dir = dir;
    this.#now = now;
  }

  /**
   * Begins it with a first root.
   * @param keys of everything; @param fresh of timestamp and snapshot, if those are to be others
   */
  async init(keys: KeyObject[], fresh: KeyObject[], threshold: number): Promise<void> {
    if (await this.#newest('root')) throw new HearthError('conflict', `${this.#dir} holds releases already`);
    const signers = signersOf(keys, fresh, threshold);
    await this.#write('1.root.json', makeRoot(1, this.#now() + LIVES.root, signers));
    await this.#sign([], keys.concat(fresh), FRESH_DAYS);
  }

  /** Adds a version, or replaces it while it has not been published. */
  async add(
    version: string,
    files: Map<Architecture, string>,
    terms: { minimumFrom: string; rollbackTo: string[] },
    keys: KeyObject[],
    days: number,
  ): Promise<Artefact[]> {
    const trust = await this.trust();
    const others = trust.artefacts().filter((artefact) => artefact.version !== version);
    const added: Artefact[] = [];
    for (const [architecture, file] of files) {
      const { sha256, sizeBytes } = await this.#takeIn(file, version, architecture);
      added.push({
        version,
        architecture,
        minimumFrom: terms.minimumFrom,
        rollbackFrom: [],
        sizeBytes,
        sha256,
      });
    }
    for (const back of terms.rollbackTo) {
      const found = others.filter((artefact) => artefact.version === back);
      if (found.length === 0 || compareVersions(back, version) >= 0) {
        throw new HearthError('bad_request', `${back} is no older version in ${this.#dir}`);
      }
      for (const artefact of found) {
        if (!artefact.rollbackFrom.includes(version)) artefact.rollbackFrom.push(version);
      }
    }
    await this.#sign([...others, ...added], keys, days);
    return added;
  }

  /** Signs what there is anew, so that boxes go on believing it. */
  async refresh(keys: KeyObject[], days: number): Promise<void> {
    const trust = await this.trust();
    await this.#sign(trust.artefacts(), keys, days);
  }

  /** Hands everything on to other keys. */
  async rotate(
    keys: KeyObject[],
    newKeys: KeyObject[],
    fresh: KeyObject[],
    threshold: number,
  ): Promise<void> {
    const trust = await this.trust();
    const version = trust.rootVersion + 1;
    const root = makeRoot(version, this.#now() + LIVES.root, signersOf(newKeys, fresh, threshold), keys);
    const name = `${version}.root.json`;
    // Judged before it is written: a root that is not enough signed would end the chain.
    const files = new Map([...(await this.files()), [name, root]]);
    const trial = new ReleaseTrust(trust.texts);
    const judged = await trial
      .refresh(async (asked) => files.get(asked) ?? null, this.#now())
      .catch((error) => error);
    if (trial.rootVersion !== version) throw judged;
    await this.#write(name, root);
    await this.#sign(trust.artefacts(), newKeys.concat(fresh), FRESH_DAYS);
  }

  /** All metadata files, by name. */
  async files(): Promise<Map<string, string>> {
    const folder = path.join(this.#dir, 'metadata');
    const names = await readdir(folder).catch(() => []);
    const all = new Map<string, string>();
    for (const name of names.filter((one) => one.endsWith('.json'))) {
      all.set(name, await readFile(path.join(folder, name), 'utf8'));
    }
    return all;
  }

  artefactFile(sha256: string): string {
    return path.join(this.#dir, 'artefacts', sha256);
  }

  /** What it holds now. @throws HearthError `not_found` */
  async trust(): Promise<ReleaseTrust> {
    const root = await this.#newest('root');
    if (!root)
      throw new HearthError('not_found', `${this.#dir} holds no releases: begin with "release init"`);
    const files = await this.files();
    return new ReleaseTrust({
      root: root.text,
      timestamp: files.get('timestamp.json') ?? null,
      snapshot: (await this.#newest('snapshot'))?.text ?? null,
      targets: (await this.#newest('targets'))?.text ?? null,
    });
  }

  async #sign(artefacts: Artefact[], keys: KeyObject[], days: number): Promise<void> {
    const root = await this.#newest('root');
    if (!root) throw new HearthError('internal', 'no root');
    const now = this.#now();
    const fresh = now + days * DAY_MS;
    const before = (await this.trust()).versions;
    const targets = { version: before.targets + 1, text: '' };
    targets.text = makeTargets(
      targets.version,
      now + LIVES.targets,
      artefacts,
      keysFor('targets', root.text, keys),
    );
    const snapshot = { version: before.snapshot + 1, text: '' };
    snapshot.text = makeSnapshot(snapshot.version, fresh, targets, keysFor('snapshot', root.text, keys));
    const timestamp = makeTimestamp(
      before.timestamp + 1,
      fresh,
      snapshot,
      keysFor('timestamp', root.text, keys),
    );
    await this.#write(`${targets.version}.targets.json`, targets.text);
    await this.#write(`${snapshot.version}.snapshot.json`, snapshot.text);
    await this.#write('timestamp.json', timestamp);
  }

  async #newest(role: Role): Promise<{ version: number; text: string } | null> {
    const files = await this.files();
    const versions = [...files.keys()]
      .filter((name) => name.endsWith(`.${role}.json`))
      .map((name) => Number.parseInt(name, 10));
    if (versions.length === 0) return null;
    const version = Math.max(...versions);
    return { version, text: files.get(`${version}.${role}.json`) ?? '' };
  }

  async #takeIn(
    file: string,
    version: string,
    architecture: Architecture,
  ): Promise<{ sha256: string; sizeBytes: number }> {
    const bytes = await readFile(file).catch((cause) => {
      throw new HearthError('bad_request', `${file} cannot be read: ${messageOf(cause)}`, { cause });
    });
    if (bytes.length === 0 || bytes.length > ARTEFACT_BYTES) {
      throw new HearthError(
        'bad_request',
        `${file} has ${bytes.length} bytes; 1 to ${ARTEFACT_BYTES} are taken`,
      );
    }
    const kind = kindOfProgram(bytes);
    const [isFor, is] = [kind.architecture ?? architecture, kind.version ?? version];
    if (isFor !== architecture || is !== version) {
      throw new HearthError(
        'bad_request',
        `${file} is ${is} for ${isFor}, and cannot be released as ${version} for ${architecture}`,
      );
    }
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    await mkdir(path.join(this.#dir, 'artefacts'), { recursive: true });
    await copyFile(file, this.artefactFile(sha256));
    return { sha256, sizeBytes: bytes.length };
  }

  async #write(name: string, text: string): Promise<void> {
    const folder = path.join(this.#dir, 'metadata');
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, name), text);
  }
}

function signersOf(keys: KeyObject[], fresh: KeyObject[], threshold: number): Signers {
  if (keys.length < threshold) {
    throw new HearthError('bad_request', `${threshold} signatures cannot come of ${keys.length} keys`);
  }
  const all = { keys, threshold };
  const daily = fresh.length > 0 ? { keys: fresh, threshold: 1 } : all;
  return { root: all, targets: all, snapshot: daily, timestamp: daily };
}

/** Those of the keys that the root takes for a role. @throws HearthError `bad_request` when they are too few */
function keysFor(role: Role, root: string, keys: KeyObject[]): KeyObject[] {
  const { keyids, threshold } = JSON.parse(root).signed.roles[role] as {
    keyids: string[];
    threshold: number;
  };
  const found = keys.filter((key) => keyids.includes(tufKey(createPublicKey(key)).keyID));
  if (found.length < threshold) {
    throw new HearthError(
      'bad_request',
      `${role} metadata needs ${threshold} of the root's keys, ${found.length} of those given are: give them by --key`,
    );
  }
  return found;
}
