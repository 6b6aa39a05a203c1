import { randomBytes } from 'node:crypto';
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
