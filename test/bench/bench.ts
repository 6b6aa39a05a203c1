import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { AGENT_ENVIRONMENT, buildAgent } from '#agent/build.ts';
import type { Asset, Site } from '#protocol/http-fleet.ts';
import { mintFor } from '#test/support/minting.ts';
import { TestSystem } from '#test/support/system.ts';
import type { Figure } from './report.ts';

export const KIB = 1024;
export const MIB = 1024 * 1024;

export interface BenchContext {
  /** Measuring time of one run of one case, ms. */
  measureMs: number;
  /** Runs of each case; the median counts. */
  rounds: number;
  emit: (figure: Figure) => void;
  progress: (line: string) => void;
}

export type Bench = (context: BenchContext) => Promise<void>;

/** A fleet with one box that holds files of these sizes, as a household's would: assigned, fetched, verified. */
export interface ServingBox {
  system: TestSystem;
  site: Site;
  assets: Map<number, Asset>;
  close(): Promise<void>;
}

/** @param agentEnv options of the agent beside those of every test */
export async function startServingBox(
  sizes: number[],
  agentEnv: Record<string, string> = {},
): Promise<ServingBox> {
  const system = await TestSystem.start({ boxes: 1, agentEnv });
  try {
    const site = await system.addSite();
    for (const size of sizes) system.origin.write(pathOf(size), randomBytes(size));
    const assets = await system.ingest(site, sizes.map(pathOf));
    await system.assign(assets, system.boxes);
    await system.untilHeld(assets, system.boxes);
    const bySize = new Map(sizes.map((size, index) => [size, assets[index] as Asset]));
    return { system, site, assets: bySize, close: () => system.close() };
  } catch (error) {
    console.error(system.logs());
    await system.close();
    throw error;
  }
}

/** As boxes are shipped; a test system's are shorter. The heartbeat stays the fleet's. */
export const HOUSEHOLD_INTERVALS = { HEARTH_DELIVERY_FLUSH_MS: '5000', HEARTH_DISK_PROBE_MS: '3000' };

/**
 * Starts the box anew as boxes are shipped: the bundle, its environment, and the intervals of a household instead of
 * a test's.
 */
export async function startAsShipped({ system }: ServingBox): Promise<void> {
  const agent = system.box(0);
  const bundle = await buildAgent(join(system.directory, 'agent'));
  await agent.stop();
  await agent.start(bundle, {
    ...AGENT_ENVIRONMENT,
    ...HOUSEHOLD_INTERVALS,
  });
  await system.untilRoutable(agent);
}

export function pathOf(sizeBytes: number): string {
  return `/bench/${sizeBytes}.bin`;
}

/** Links as the router gives them, but with room for as many bytes as a bench takes. */
export function signedPaths({ system, site }: ServingBox, path: string, count: number): string[] {
  const boxId = system.box(0).id;
  const expiresAtMs = Date.now() + 3_600_000;
  const scope = { boxId, siteId: site.id, prefix: '/bench/', maxBytes: 2 ** 47, expiresAtMs };
  return Array.from({ length: count }, () => `/c/${mintFor(system, scope)}/${site.id}${path}`);
}
