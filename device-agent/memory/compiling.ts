import v8 from 'node:v8';

/**
 * By V8's major version: what makes it keep little of what it compiles and optimize next to nothing, and what takes
 * that back. In others nothing is set: a flag that is not known is a complaint on standard error.
 */
const FLAGS: Record<number, { idle: string[]; serving: string[] }> = {
  // Node 20
  11: {
    idle: ['--optimize-for-size', '--interrupt-budget=900000'],
    serving: ['--no-optimize-for-size', '--interrupt-budget=67584'],
  },
  // Node 22
  12: {
    idle: ['--optimize-for-size', '--minimum-invocations-before-optimization=50000', '--bytecode-old-age=1'],
    serving: [
      '--no-optimize-for-size',
      '--minimum-invocations-before-optimization=2',
      '--bytecode-old-age=6',
    ],
  },
};
const flags = FLAGS[Number.parseInt(process.versions.v8, 10)] ?? { idle: [], serving: [] };

/**
 * For a box that has nothing to do: the first function the optimizing compiler takes brings 5 MB of its own pages into
 * memory, and making the schemas at the start is reason enough for it.
 */
export function compileLittle(): void {
  for (const flag of flags.idle) v8.setFlagsFromString(flag);
}

/** For a box that serves: what a request costs is what counts. */
export function compileAsUsual(): void {
  for (const flag of flags.serving) v8.setFlagsFromString(flag);
}
