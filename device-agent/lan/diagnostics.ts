import { redactDeep } from '#agent/logs/redact.ts';
import { messageOf } from '#protocol/errors.ts';
import { logQuerySchema } from '#protocol/http-box.ts';
import type { Routes } from './api.ts';
import { present, readQuery } from './api.ts';
import type { BoxView } from './box-view.ts';

/** For whoever helps: the log, and everything the box knows of itself but its secrets and what it holds. */
export function diagnosticsRoutes(view: BoxView): Routes {
  return {
    'GET /logs': ({ query }) => {
      const { after, level } = readQuery(query, logQuerySchema);
      return { items: present(view.logs).list(after, level) };
    },
    'GET /diagnostics': async ({ response }) => {
      const bundle = await diagnosticsOf(view);
      const body = Buffer.from(`${JSON.stringify(bundle, null, 1)}\n`);
      const day = new Date().toISOString().slice(0, 10);
      response.writeHead(200, {
        'content-type': 'application/json; charset=utf-8',
        'content-length': body.length,
        'content-disposition': `attachment; filename="hearth-diagnostics-${day}.json"`,
        'cache-control': 'no-store',
      });
      response.end(body);
    },
  };
}

/** Made of what the API shows anyway, and gone through for secrets once more. A part that fails says why. */
async function diagnosticsOf(view: BoxView): Promise<unknown> {
  const parts: Record<string, () => unknown> = {
    status: view.status,
    settings: () => view.settings.now,
    network: view.network,
    disks: () => view.disks?.list() ?? null,
    uplink: () => view.uplink.view(),
    history: () => view.uplink.history(),
    scrub: () => view.scrub?.() ?? null,
    reach: () => view.reach?.report() ?? null,
    activity: () => view.activity.list(),
    logs: () => view.logs?.list(0, 'debug') ?? null,
  };
  const bundle: Record<string, unknown> = {
    v: 1,
    at: new Date().toISOString(),
    node: process.version,
    architecture: process.arch,
    memory: process.memoryUsage(),
  };
  for (const [name, read] of Object.entries(parts)) {
    try {
      bundle[name] = await read();
    } catch (error) {
      bundle[name] = { problem: messageOf(error) };
    }
  }
  return redactDeep(bundle);
}
