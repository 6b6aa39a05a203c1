import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { changedSchema, waitFor } from '#fleet/client/fleet-api.ts';
import { prepareVideo } from '#local/video.ts';
import { TestSystem } from '#test/support/system.ts';
import type { Bench } from './bench.ts';
import { median } from './measure.ts';

/** From the operator's `assign` to the fleet knowing that the box holds the video (22.7 MB), origin and box on loopback. */
export const assign: Bench = async ({ rounds, emit, progress }) => {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-bench-video-'));
  const system = await TestSystem.start({ boxes: 1 });
  try {
    const video = await prepareVideo(folder);
    system.origin.write('/bbb.mp4', readFileSync(join(video.root, 'bbb.mp4')));
    const site = await system.addSite();
    const assets = await system.ingest(site, ['/bbb.mp4']);
    const tookMs: number[] = [];
    for (let round = 0; round < rounds; round++) {
      progress(`assign: round ${round + 1}`);
      const from = performance.now();
      await system.assign(assets, system.boxes);
      await waitFor(
        async () =>
          (await system.placements(assets)).some(
            (one) => one.desired === 'held' && one.reported === 'held',
          ) || null,
        'the box does not hold the video',
        { everyMs: 10 },
      );
      tookMs.push(performance.now() - from);
      await system.api.post(
        '/unassign',
        { assets: { assetIds: assets.map((asset) => asset.id) } },
        changedSchema,
      );
      await waitFor(
        async () => (await system.placements(assets)).every((one) => one.reported !== 'held') || null,
        'the box does not let go of the video',
      );
    }
    emit({
      bench: 'assign',
      case: 'video 22.7MB',
      value: median(tookMs),
      unit: 'ms to held',
      peer: null,
      ratio: null,
    });
  } finally {
    await system.close();
    rmSync(folder, { recursive: true });
  }
};
