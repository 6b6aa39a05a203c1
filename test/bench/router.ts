import type { Bench } from './bench.ts';
import { KIB, pathOf, startServingBox } from './bench.ts';
import type { Measured } from './measure.ts';
import { cannotPin, measure, median, pinServer } from './measure.ts';
import { startNginx } from './nginx.ts';

/** Redirects a second and their p99, beside nginx answering a fixed 302: what the choice and the signature cost. */
export const router: Bench = async ({ measureMs, rounds, emit, progress }) => {
  const why = cannotPin();
  if (why !== null) return progress(`router: skipped, ${why}`);
  const size = 64 * KIB;
  const box = await startServingBox([size]);
  const nginx = await startNginx('tuned', box.system.origin.root, box.system.directory);
  try {
    const { system, site } = box;
    pinServer([system.fleetPid, ...(nginx?.workerPids ?? [])]);
    for (const connections of [1, 16, 128]) {
      const name = `302 c${connections}`;
      progress(`router: ${name}`);
      const mine: Measured[] = [];
      const peer: Measured[] = [];
      for (let round = 0; round < rounds; round++) {
        const plan = {
          host: site.hostname,
          connections,
          warmupMs: 400,
          measureMs,
          expectStatus: 302,
          expectBytes: null,
        };
        mine.push(
          await measure({ ...plan, port: system.routerPort, paths: [pathOf(size)] }, [system.fleetPid]),
        );
        if (nginx)
          peer.push(await measure({ ...plan, port: nginx.port, paths: ['/redirect'] }, nginx.workerPids));
      }
      const rate = (runs: Measured[]) => median(runs.map((run) => (run.requests / run.measuredMs) * 1000));
      const p99 = (runs: Measured[]) => median(runs.map((run) => run.p99Ms));
      const beside = nginx ? nginx.name : null;
      const base = { bench: 'router', case: name, peer: beside };
      emit({
        ...base,
        value: rate(mine),
        unit: 'redirects/s',
        ratio: nginx ? rate(mine) / rate(peer) : null,
      });
      emit({ ...base, value: p99(mine), unit: 'p99 ms', ratio: nginx ? p99(peer) / p99(mine) : null });
    }
  } finally {
    await nginx?.stop();
    await box.close();
  }
};
