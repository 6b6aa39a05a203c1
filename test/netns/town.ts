import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import pg from 'pg';
import { testCertificate } from '#agent/serve/tls/test-certificate.ts';
import { testDatabase } from '#test/support/postgres.ts';
import { Home, type HomeOptions, LAN6, WAN } from './home.ts';
import { Download, Logged, until } from './logged.ts';
import type { Machine } from './namespaces.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const TOKEN = 'a-token-of-twenty-or-more-characters';
export const CONTENT_PORT = 7090;
/** Where relays take boxes' TLS, and boxes are asked to. */
export const SECURE_PORT = 7444;
const BOX_DOMAIN = 'boxes.example.org';

/** A home with a real box in it, and a real fleet on the internet outside, that knows nothing of private addresses. */
export class Town {
  readonly home: Home;
  readonly #folder: string;
  readonly #fleetHost: string;
  #pool: pg.Pool | null = null;
  #fleet: Logged | null = null;
  #claim = '';
  box: Logged | null = null;

  private constructor(t: TestContext, options: HomeOptions) {
    this.home = new Home(t, options);
    this.#fleetHost = options.ipv4 === false ? `[${LAN6.internet}]` : WAN.internet;
    this.#folder = mkdtempSync(join(tmpdir(), 'hearth-town-'));
    chmodSync(this.#folder, 0o755);
    t.after(() => rmSync(this.#folder, { recursive: true, force: true }));
  }

  /** @param fleetEnv options of the fleet beside those of every test */
  static async build(
    t: TestContext,
    options: HomeOptions = {},
    fleetEnv: Record<string, string> = {},
  ): Promise<Town> {
    const town = new Town(t, options);
    await town.#open(t, fleetEnv);
    return town;
  }

  async #open(t: TestContext, fleetEnv: Record<string, string>): Promise<void> {
    const database = await testDatabase();
    // In this order, whatever had come so far.
    const closers = [() => database.close()];
    t.after(async () => {
      for (const close of closers.reverse()) await close();
    });
    const socketFolder = join(this.#folder, 'pg');
    mkdirSync(socketFolder);
    const bridge = await bridgeTo(new URL(database.url), join(socketFolder, '.s.PGSQL.5432'));
    closers.push(async () => bridge.close());
    const inside = new URL(database.url);
    inside.host = 'localhost:5432';
    inside.searchParams.set('host', socketFolder);
    const pool = new pg.Pool({ connectionString: database.url, max: 1 });
    pool.on('error', () => undefined);
    this.#pool = pool;
    closers.push(() => pool.end());
    const fleet = new Logged(
      this.home.internet.spawn(process.execPath, [join(ROOT, 'fleet-server', 'main.ts')], {
        DATABASE_URL: inside.href,
        HEARTH_KEYS_DIR: join(this.#folder, 'keys'),
        HEARTH_BIND: '::',
        HEARTH_API_URL: `http://${this.#fleetHost}:7080`,
        HEARTH_ROUTER_URL: `http://${this.#fleetHost}:7081`,
        HEARTH_BROKER_URL: `mqtts://${this.#fleetHost}:8883`,
        HEARTH_ROLES: 'api,broker,worker,router',
        HEARTH_BOX_DOMAIN: BOX_DOMAIN,
        HEARTH_BOX_TLS_PORT: String(SECURE_PORT),
        ...fleetEnv,
        HEARTH_HEARTBEAT_MS: '1000',
        HEARTH_ADMIN_TOKEN: TOKEN,
        HEARTH_ADMIN_PASSWORD: 'correct horse battery',
        HEARTH_SPOT_CHECKS_PER_HOUR: '0',
      }),
    );
    this.#fleet = fleet;
    closers.push(async () => {
      await this.box?.end('SIGKILL');
      await fleet.end('SIGKILL');
    });
    await fleet.said('ready');
    // A box pairs over https, or with its own machine: here its own machine passes it on.
    const relay = this.home.box.spawn(process.execPath, ['-e', PASS_ON], {
      TO_HOST: this.#fleetHost.replace(/^\[|\]$/g, ''),
    });
    await once(relay.stdout as NodeJS.ReadableStream, 'data');
    const claim = await ask(this.home.internet, `http://${this.#fleetHost}:7080/api/v1/claims`, {
      label: 'the box',
    });
    this.#claim = JSON.parse(claim).code;
  }

  /** Starts the box, as after an installation; again, as after a power cut. */
  startBox(env: Record<string, string> = {}): Logged {
    const state = join(this.#folder, 'state');
    const disk = join(this.#folder, 'disk');
    mkdirSync(disk, { recursive: true });
    const box = new Logged(
      this.home.box.spawn(process.execPath, [join(ROOT, 'device-agent', 'main.ts')], {
        HEARTH_STATE_DIR: state,
        HEARTH_DISK: disk,
        HEARTH_DISK_ON_ROOT: 'yes',
        HEARTH_BIND: this.#fleetHost.startsWith('[') ? '::' : '0.0.0.0',
        HEARTH_CONTENT_PORT: String(CONTENT_PORT),
        HEARTH_FLEET_URL: 'http://127.0.0.1:7080',
        HEARTH_CLAIM_CODE: this.#claim,
        HEARTH_PORT_MAPPING: 'on',
        HEARTH_PORT_CHECK_MS: '4000',
        HEARTH_DISK_FLOOR_BYTES: '0',
        HEARTH_UP_BYTES_PER_SECOND: '0',
        HEARTH_DOWN_BYTES_PER_SECOND: '0',
        HEARTH_MONTHLY_BYTES: '0',
        HEARTH_DRAIN_MS: '500',
        ...env,
      }),
    );
    this.box = box;
    return box;
  }

  /** Asks the fleet's database. */
  async query(sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    return (await this.#pool?.query(sql, values))?.rows ?? [];
  }

  /**
   * A certificate for the box's own name, as if a CA had issued it: the fleet knows it, and the box is started with it.
   * @returns the name
   */
  async certify(env: Record<string, string> = {}): Promise<string> {
    const [row] = await until('the box is enrolled', () =>
      this.query('SELECT id, name_label FROM boxes').then((rows) => (rows.length > 0 ? rows : null)),
    );
    const name = `${row?.name_label}.${BOX_DOMAIN}`;
    const { cert, key } = await testCertificate(name);
    const files = { cert: join(this.#folder, 'cert.pem'), key: join(this.#folder, 'key.pem') };
    writeFileSync(files.cert, cert);
    writeFileSync(files.key, key);
    await this.query(
      `INSERT INTO box_certificates (box_id, csr, state, chain, issued_at, expires_at)
        VALUES ($1, '', 'issued', $2, now(), now() + interval '1 day')
        ON CONFLICT (box_id) DO UPDATE SET state = 'issued', chain = excluded.chain, expires_at = excluded.expires_at`,
      [row?.id, cert],
    );
    await this.box?.end('SIGTERM');
    this.startBox({ HEARTH_TLS_CERT: files.cert, HEARTH_TLS_KEY: files.key, ...env });
    return name;
  }

  /** Asks the fleet's API to do something, as an operator. */
  async post<T>(path: string, body: unknown): Promise<T> {
    return JSON.parse(
      await ask(this.home.internet, `http://${this.#fleetHost}:7080/api/v1${path}`, body),
    ) as T;
  }

  /**
   * An origin on the internet with one file of noise, that the box comes to hold.
   * @returns the file's SHA-256, and the name of its site
   */
  async hold(path: string, sizeBytes: number): Promise<{ sha256: string; hostname: string }> {
    const origin = this.home.internet.spawn(process.execPath, [
      join(ROOT, 'test', 'netns', 'origin-program.ts'),
      this.#fleetHost.replace(/^\[|\]$/g, ''),
      String(sizeBytes),
    ]);
    const [said] = await once(origin.stdout as NodeJS.ReadableStream, 'data');
    const { sha256 } = JSON.parse(String(said)) as { sha256: string };
    const hostname = 'site.example.org';
    const site = await this.post<{ id: string }>('/sites', {
      hostname,
      origin: `http://${this.#fleetHost}:8000`,
      tenantName: hostname,
    });
    await this.post('/assets', { siteId: site.id, paths: [path] });
    const [asset] = await until(
      'read from the origin',
      async () => {
        const rows = await this.query("SELECT id FROM assets WHERE state = 'ready'");
        return rows.length > 0 ? rows : null;
      },
      () => this.#fleet?.text() ?? '',
    );
    const boxes = await this.query('SELECT id FROM boxes');
    await this.post('/assignments', {
      assets: { assetIds: [asset?.id] },
      boxes: { boxIds: boxes.map(({ id }) => id) },
      ttlMs: null,
    });
    await until(
      'held',
      async () => (await this.query("SELECT 1 FROM placements WHERE reported = 'held'")).length > 0,
      () => `${this.box?.text()}\n${this.#fleet?.text()}`,
    );
    return { sha256, hostname };
  }

  /** A client on the internet that downloads by way of the router, and goes on by Range where it was broken off. */
  download(hostname: string, path: string): Download {
    return new Download(
      this.home.internet.spawn(process.execPath, [
        join(ROOT, 'test', 'netns', 'client-program.ts'),
        `http://${this.#fleetHost}:7081${path}`,
        hostname,
      ]),
    );
  }

  /** What the fleet has recorded of the box. */
  async recorded(): Promise<{ url: string | null; ok: boolean | null; reason: string | null }> {
    const found = await this.#pool?.query(
      'SELECT dialled_url AS url, dial_ok AS ok, dial_reason AS reason FROM boxes',
    );
    return found?.rows[0] ?? { url: null, ok: null, reason: null };
  }

  /** Waits until the fleet has itself reached the box there. */
  async reachedAt(url: string): Promise<void> {
    await until(
      `reached at ${url}`,
      async () => {
        const { url: at, ok } = await this.recorded();
        return at === url && ok;
      },
      () => `${this.box?.text()}\n${this.#fleet?.text()}`,
    );
  }

  /** A client on the internet asks for something there. @returns the answer; throws when there is none */
  client(url: string): Promise<string> {
    return ask(this.home.internet, `${url}/_hearth/health?nonce=client`);
  }
}

/** Lets programs in other namespaces use this one's Postgres: a socket in the file system knows no networks. */
async function bridgeTo(database: URL, socketPath: string): Promise<{ close: () => void }> {
  const open = new Set<Socket>();
  const server = createServer((inner) => {
    const outer = connect(Number(database.port || 5432), database.hostname);
    for (const [one, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      open.add(one);
      one.pipe(other);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        open.delete(one);
        other.destroy();
      });
    }
  });
  server.listen(socketPath);
  await once(server, 'listening');
  return {
    close: () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

const PASS_ON = `
const net = require('node:net');
net.createServer((a) => {
  const b = net.connect(7080, process.env.TO_HOST);
  a.pipe(b); b.pipe(a);
  a.on('error', () => b.destroy()); b.on('error', () => a.destroy());
}).listen(7080, '127.0.0.1', () => console.log('ready'));
`;

const ASK = `
const [url, body] = process.argv.slice(1);
const init = body ? { method: 'POST', body, headers: { 'content-type': 'application/json', authorization: 'Bearer ' + process.env.TOKEN } } : {};
fetch(url, { ...init, signal: AbortSignal.timeout(3000) }).then(async (answer) => {
  process.stdout.write(await answer.text());
  process.exit(answer.ok ? 0 : 1);
}, (error) => { console.error(String(error.cause ?? error)); process.exit(1); });
`;

async function ask(machine: Machine, url: string, body?: unknown): Promise<string> {
  const args = ['-e', ASK, '--', url, ...(body === undefined ? [] : [JSON.stringify(body)])];
  const child = machine.spawn(process.execPath, args, { TOKEN });
  let text = '';
  let errors = '';
  child.stdout?.on('data', (piece) => {
    text += String(piece);
  });
  child.stderr?.on('data', (piece) => {
    errors += String(piece);
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${url}: ${errors}${text}`);
  return text;
}
