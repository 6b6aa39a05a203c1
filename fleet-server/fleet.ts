import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import type { DialParts } from './boxes/dial-back.ts';
import { DialPolicy } from './boxes/dial-policy.ts';
import type { Broker } from './broker/broker.ts';
import { isDatabaseAway, openDatabase } from './database/database.ts';
import { listen } from './database/listen.ts';
import { migrate } from './database/migrate.ts';
import { openFleetKeys } from './keys/fleet-keys.ts';
import { createMetrics } from './metrics/metrics.ts';
import type { Options, Role } from './options.ts';
import type { Relay } from './relay/relay.ts';
import type { Catalogue } from './router/catalogue.ts';
import type { Jobs } from './worker/jobs.ts';
import type { Worker } from './worker/worker.ts';

export interface Fleet {
  urls: { apiUrl?: string; routerUrl?: string; brokerUrl?: string; relayUrl?: string; dns?: string };
  close(): Promise<void>;
}

const DATABASE_WAIT_MS = 60_000;
const DIAL_EVERY_MS = 15_000;
const WEBUI_DIR = fileURLToPath(new URL('../dist/webui/fleet', import.meta.url));

/**
 * Starts the roles asked for in this process. All durable state is in Postgres and the keys directory, so each
 * role may run in as many processes as one likes. Each loads what it needs and no more: a relay alone takes half the
 * memory of the whole.
 */
export async function startFleet(options: Options, log: Logger): Promise<Fleet> {
  const has = (role: Role) => options.HEARTH_ROLES.includes(role);
  const host = options.HEARTH_BIND;
  const closers: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    // In the reverse order of their making: who uses a thing ends before it.
    for (const closer of closers.reverse()) {
      await closer().catch((error: unknown) => log.warn({ err: String(error) }, 'could not close something'));
    }
    closers.length = 0;
  };

  try {
    const database = openDatabase(options.DATABASE_URL, log);
    closers.push(() => database.close());
    await waitForDatabase(() => migrate(database.pool), log);
    const { db } = database;
    const keys = await openFleetKeys(options.HEARTH_KEYS_DIR);
    const metrics = createMetrics();
    const dialParts: DialParts = {
      policy: new DialPolicy(options.HEARTH_DIAL_PRIVATE === 'on'),
      deliverySecret: keys.deliverySecret,
    };
    const urls = {
      api: options.HEARTH_API_URL ?? urlOf('http', host, options.HEARTH_API_PORT),
      router: options.HEARTH_ROUTER_URL ?? urlOf('http', host, options.HEARTH_ROUTER_PORT),
      dns: undefined as string | undefined,
      broker: options.HEARTH_BROKER_URL ?? urlOf('mqtts', host, options.HEARTH_BROKER_PORT),
    };
    const tariff = {
      pricePerGb: options.HEARTH_PRICE_PER_GB,
      boxSharePercent: options.HEARTH_BOX_SHARE_PERCENT,
    };

    let catalogue: Catalogue | undefined;
    if (has('router')) {
      const [{ Catalogue }, { RedirectCounts }, { Router }] = await Promise.all([
        import('./router/catalogue.ts'),
        import('./router/redirect-counts.ts'),
        import('./router/router.ts'),
      ]);
      const { HEARTH_BOX_DOMAIN: domain, HEARTH_RELAY_TLS_PORT: relayTlsPort } = options;
      const names = domain ? { domain, relayPort: options.HEARTH_BOX_TLS_PORT ?? relayTlsPort } : null;
      catalogue = new Catalogue(db, options.HEARTH_HEARTBEAT_MS, log, names);
      const router = new Router(
        catalogue,
        {
          host,
          port: options.HEARTH_ROUTER_PORT,
          tokenTtlMs: options.HEARTH_TOKEN_TTL_MS,
          deliverySecret: keys.deliverySecret,
          sealKey: keys.sealKey,
        },
        new RedirectCounts(db, metrics.redirects, log),
        log.child({ part: 'router' }),
      );
      await router.listen();
      closers.push(() => router.close());
      if (!options.HEARTH_ROUTER_URL) urls.router = urlOf('http', host, router.port);
    }

    let relay: Relay | undefined;
    if (has('relay')) {
      const { startRelay } = await import('./relay/role.ts');
      relay = await startRelay(
        { db, keys, routerUrl: () => urls.router, log: log.child({ part: 'relay' }) },
        options,
      );
      const started = relay;
      closers.push(() => started.close());
    }

    if (has('dns')) {
      const { startDns } = await import('./dns/role.ts');
      const dns = await startDns(db, options, log.child({ part: 'dns' }));
      if (dns) {
        closers.push(() => dns.close());
        urls.dns = `${host}:${dns.port}`;
      }
    }

    let broker: Broker | undefined;
    if (has('broker')) {
      const [{ Broker }, { Inbound }, { Presence }, { Sources }] = await Promise.all([
        import('./broker/broker.ts'),
        import('./broker/inbound.ts'),
        import('./broker/presence.ts'),
        import('./sources/sources.ts'),
      ]);
      const brokerLog = log.child({ part: 'broker' });
      const presence = new Presence(db, urls.broker, brokerLog);
      broker = await Broker.start({
        db,
        keys,
        presence,
        inbound: new Inbound(
          db,
          presence,
          keys.sealKey,
          tariff,
          brokerLog,
          new Sources(db, keys, options.HEARTH_HEARTBEAT_MS),
          options.HEARTH_BOX_DOMAIN ?? null,
          dialParts,
        ),
        log: brokerLog,
        refused: metrics.refusedMessages,
        options: {
          host,
          port: options.HEARTH_BROKER_PORT,
          names: [
            ...new Set([
              new URL(urls.broker).hostname.replace(/^\[|\]$/g, ''),
              host,
              'localhost',
              '127.0.0.1',
            ]),
          ],
          heartbeatIntervalMs: options.HEARTH_HEARTBEAT_MS,
          routerUrl: () => urls.router,
          boxDomain: options.HEARTH_BOX_DOMAIN ?? null,
          securePort: options.HEARTH_BOX_TLS_PORT ?? options.HEARTH_RELAY_TLS_PORT,
        },
      });
      const started = broker;
      closers.push(() => started.close());
      if (!options.HEARTH_BROKER_URL) urls.broker = urlOf('mqtts', host, broker.port);
      const gauge = setInterval(() => metrics.connectedBoxes.set(started.connected), 1000);
      closers.push(async () => clearInterval(gauge));
    }

    let jobs: Jobs | undefined;
    if (has('api') || has('worker')) {
      const { Jobs } = await import('./worker/jobs.ts');
      jobs = await Jobs.start(options.DATABASE_URL, log, has('worker'));
      const started = jobs;
      closers.push(() => started.close());
    }
    let worker: Worker | undefined;
    if (has('worker') && jobs) {
      const [{ Worker }, { startIssuance }] = await Promise.all([
        import('./worker/worker.ts'),
        import('./certificates/role.ts'),
      ]);
      worker = new Worker(db, log.child({ part: 'worker' }));
      const started = worker;
      closers.push(() => started.close());
      await worker.start(jobs, {
        issue: await startIssuance(db, options, log.child({ part: 'certificates' })),
        spotChecksPerHour: options.HEARTH_SPOT_CHECKS_PER_HOUR,
        dial: dialParts,
        dialEveryMs: DIAL_EVERY_MS,
        boxDomain: options.HEARTH_BOX_DOMAIN ?? null,
        heartbeatMs: options.HEARTH_HEARTBEAT_MS,
        updateUrls: () => ({
          metadataUrl: `${urls.api}/api/v1/updates/metadata`,
          artefactsUrl: options.HEARTH_ARTEFACTS_URL ?? `${urls.api}/api/v1/updates/artefacts`,
        }),
      });
    }

    if (has('api') && jobs) {
      const [{ buildApi }, { ensureAdmin }] = await Promise.all([
        import('./api/app.ts'),
        import('./operators/operators.ts'),
      ]);
      const admin = await ensureAdmin(db, {
        password: options.HEARTH_ADMIN_PASSWORD,
        token: options.HEARTH_ADMIN_TOKEN,
      });
      if (admin.generatedPassword) {
        log.warn(
          { username: 'admin', password: admin.generatedPassword },
          'made the first operator; note the password, it is not shown again',
        );
      }
      const api = await buildApi(
        {
          db,
          keys,
          jobs,
          metrics,
          routerUrl: () => urls.router,
          brokerUrl: () => urls.broker,
          localOrigins: options.HEARTH_DIAL_PRIVATE === 'on',
        },
        options.HEARTH_WEBUI_DIR ?? WEBUI_DIR,
        log,
      );
      await api.listen({ host, port: options.HEARTH_API_PORT });
      closers.push(() => api.close());
      const address = api.server.address();
      if (!options.HEARTH_API_URL && typeof address === 'object' && address)
        urls.api = urlOf('http', host, address.port);
    }

    const listener = listen(
      options.DATABASE_URL,
      {
        commands: (boxId) => (boxId === '' ? broker?.dispatchAll() : broker?.dispatch(boxId)),
        desired: (boxId) => worker?.changed(boxId),
        routes: (assetId) => catalogue?.forget(assetId),
        boxes: (boxId) => {
          void catalogue?.refresh();
          void relay?.recheck(boxId);
          broker
            ?.recheck(boxId)
            .catch((error: unknown) => log.warn({ boxId, err: String(error) }, 'could not recheck boxes'));
        },
      },
      log,
    );
    closers.push(() => listener.close());
    return {
      urls: {
        ...(has('api') && { apiUrl: urls.api }),
        ...(has('router') && { routerUrl: urls.router }),
        ...(has('broker') && { brokerUrl: urls.broker }),
        ...(relay && { relayUrl: relay.urls.publicUrl }),
        ...(urls.dns && { dns: urls.dns }),
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A database that starts at the same time as this process gets a minute to come up. */
async function waitForDatabase(work: () => Promise<string[]>, log: Logger): Promise<void> {
  const deadline = Date.now() + DATABASE_WAIT_MS;
  for (;;) {
    try {
      const applied = await work();
      if (applied.length > 0) log.info({ applied }, 'migrated the database');
      return;
    } catch (error) {
      if (!isDatabaseAway(error) || Date.now() > deadline) throw error;
      log.info('waiting for the database');
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

function urlOf(scheme: string, host: string, port: number): string {
  const reachable = host === '0.0.0.0' || host === '::' ? 'localhost' : host;
  return `${scheme}://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}
