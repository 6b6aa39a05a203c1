import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AGENT_ENVIRONMENT, buildAgent } from '#agent/build.ts';
import type { Bench } from './bench.ts';
import { HOUSEHOLD_INTERVALS, MIB, pathOf, signedPaths, startServingBox } from './bench.ts';
import { measure, rssBytes } from './measure.ts';

/**
 * The agent's resident memory: idle, and the most it reaches while serving. As a bundle, which is what boxes are
 * shipped, and idle from the sources too, where Node's own TypeScript stripper is in the process.
 */
export const memory: Bench = async ({ measureMs, emit, progress }) => {
  if (process.platform !== 'linux') return progress('memory: skipped, needs Linux (/proc)');
  const box = await startServingBox([MIB, 64 * MIB]);
  try {
    const agent = box.system.box(0);
    const report = (name: string, bytes: number) =>
      emit({ bench: 'memory', case: name, value: bytes / 1e6, unit: 'MB RSS', peer: null, ratio: null });
    const bundle = await buildAgent(join(box.system.directory, 'agent'));
    for (const [name, script, environment] of [
      ['idle, sources', undefined, {}],
      ['idle, bundle without its environment', bundle, {}],
      ['idle', bundle, AGENT_ENVIRONMENT],
    ] as const) {
      progress(`memory: ${name}`);
      await agent.stop();
      await agent.start(script, { ...environment, ...HOUSEHOLD_INTERVALS });
      await box.system.untilRoutable(agent);
      // The self-check at start and the collector's first rounds are over by then.
      await sleep(Math.max(10_000, measureMs));
      report(name, rssBytes([agent.pid]));
    }
    for (const [name, size, connections] of [
      ['serving 1MiB c16', MIB, 16],
      ['serving 64MiB c16', 64 * MIB, 16],
      ['serving 64MiB c128', 64 * MIB, 128],
    ] as const) {
      progress(`memory: ${name}`);
      let most = 0;
      const watch = setInterval(() => {
        most = Math.max(most, rssBytes([agent.pid]));
      }, 50);
      const plan = {
        port: agent.contentPort,
        host: 'bench.localhost',
        paths: signedPaths(box, pathOf(size), connections),
        connections,
        warmupMs: 100,
        measureMs: measureMs * 3,
        expectStatus: 200,
        expectBytes: size,
      };
      await measure(plan, [agent.pid]).finally(() => clearInterval(watch));
      report(name, most);
    }
  } finally {
    await box.close();
  }
};
