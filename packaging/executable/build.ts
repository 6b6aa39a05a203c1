import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { BuildFacts } from '#agent/build.ts';
import { AGENT_ENVIRONMENT, buildAgent, buildAgentFile } from '#agent/build.ts';
import { AGENT_VERSION } from '#agent/version.ts';
import { nodeFromNpm } from '#firmware/qemu/npm-node.ts';
import { withoutUnloaded } from '../node/elf.ts';
import { keepLanguages } from '../node/icu.ts';
import { nodeLibraries } from '../node/libraries.ts';
import { fetchStaticBase, NODE_RANGE } from '../node/static-base.ts';
import type { Target } from '../targets.ts';
import { builtWebui } from '../webui.ts';

/**
 * Where Node comes from. `linuxstatic`: pkg's own build, static, one file with the agent inside. `npm`: nodejs.org's
 * build, as npm has it, with a C library beside it that nothing else uses; runs where the system's is musl.
 */
export type Base = 'linuxstatic' | 'npm';
export const BASES: readonly Base[] = ['linuxstatic', 'npm'];

/** Where `npm run build:agent -- --target` puts what it makes: below it target and base. */
export const EXECUTABLES = path.resolve(import.meta.dirname, '..', '..', 'dist', 'executables');

/** Where `npm run build:agent -- --artefact` puts what `hearth release add` takes. */
export const ARTEFACTS = path.resolve(import.meta.dirname, '..', '..', 'dist', 'artefacts');

/** The program in the folder that `buildExecutable` fills. */
export const PROGRAM = 'hearth-agent';

/** What the agent says and reads is English and Chinese; its dates and numbers are ISO 8601 and JSON. */
const LANGUAGES = ['en'];

const LAUNCHER = path.resolve(import.meta.dirname, '..', '..', 'device-agent', 'update', 'launch.sh');

/** With base `linuxstatic`: Node and the agent in one file, which an update replaces whole. */
const STATIC_PROGRAM = 'agent';

export interface Executable {
  target: Target;
  base: Base;
  /** Holds the program and, with base `npm`, what it starts. */
  folder: string;
}

/** Makes the agent's executable for a target. The same sources and the same base give the same bytes. */
export async function buildExecutable(options: {
  target: Target;
  base: Base;
  folder?: string;
  log?: (line: string) => void;
}): Promise<Executable> {
  const { target, base, log = () => {} } = options;
  const folder = options.folder ?? path.join(EXECUTABLES, `${target.name}-${base}`);
  const draft = `${folder}.${process.pid}`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true });
  chmodSync(draft, 0o755);
  try {
    await (base === 'npm' ? withNpmNode(target, draft, log) : withPkg(target, draft, log));
    rmSync(folder, { recursive: true, force: true });
    renameSync(draft, folder);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return { target, base, folder };
}

async function withNpmNode(target: Target, folder: string, log: (line: string) => void): Promise<void> {
  const image = withoutUnloaded(readFileSync(await nodeFromNpm(target.node, log)));
  keepLanguages(image, LANGUAGES);
  write(path.join(folder, 'node.bin'), image, 0o755);
  write(path.join(folder, 'node'), nodeScript(target), 0o755);
  mkdirSync(path.join(folder, 'lib'));
  chmodSync(path.join(folder, 'lib'), 0o755);
  for (const { name, file } of await nodeLibraries(target, log)) {
    write(path.join(folder, 'lib', name), readFileSync(file), name === target.loader ? 0o755 : 0o644);
  }
  const agent = path.join(folder, 'agent');
  await buildAgent(agent);
  chmodSync(agent, 0o755);
  for (const name of readdirSync(agent)) chmodSync(path.join(agent, name), 0o644);
  writeStart(folder, '$here/node', '"$here/node" "$here/agent/main.cjs"');
}

/**
 * Bytecode is made by running the target's Node, so it cannot be made for another processor; and it saves no memory,
 * since V8 keeps it beside the source. Hence plain sources, and pkg asks that their publication be wanted.
 */
async function withPkg(target: Target, folder: string, log: (line: string) => void): Promise<void> {
  await packStatic(target, path.join(folder, STATIC_PROGRAM), log, {});
  writeStart(folder, '', `"$here/${STATIC_PROGRAM}"`);
}

async function packStatic(
  target: Target,
  file: string,
  log: (line: string) => void,
  facts: BuildFacts,
): Promise<void> {
  await fetchStaticBase(target, log);
  // Its name is in what pkg makes: always the same.
  const work = `${file}.work`;
  const main = await buildAgent(path.join(work, 'bundle'), { ...facts, architecture: target.name });
  const pkg = await import('@yao-pkg/pkg');
  const switches = AGENT_ENVIRONMENT.NODE_OPTIONS.replace(/^--/, '').replaceAll(' --', ',');
  await (pkg.default ?? pkg).exec([
    ...['--target', `${NODE_RANGE}-linuxstatic-${target.name}`],
    ...['--output', file, '--options', switches],
    ...['--no-bytecode', '--public', '--public-packages', '*', '--no-native-build', main],
  ]);
  rmSync(work, { recursive: true });
}

/**
 * Starts Node by its own loader. The library path is an argument, not a variable, so that programs the agent starts
 * (df, umount) keep the system's libraries.
 */
function nodeScript(target: Target): string {
  const environment = Object.entries(AGENT_ENVIRONMENT)
    .filter(([name]) => name !== 'NODE_OPTIONS')
    .map(([name, value]) => `export ${name}=${value}\n`);
  return `#!/bin/sh
# Node for ${target.name}, with the C library beside it: the system's may be another one.
here=\${0%/*}
${environment.join('')}exec "$here/lib/${target.loader}" --argv0 ${PROGRAM} --library-path "$here/lib" "$here/node.bin" "$@"
`;
}

/**
 * Updates are the launcher's (device-agent/update): it starts the packaged agent, or one that was installed since.
 * @param runner what an installed agent is started by; '' where it starts by itself
 * @param packaged the packaged agent's words, for a shell
 */
export function writeStart(folder: string, runner: string, packaged: string): void {
  const script = `#!/bin/sh
# The Hearth agent, packaged or updated; with an argument such as "doctor", the packaged one alone.
here=\${0%/*}
# What the caller says of memory comes after ours.
export NODE_OPTIONS="${AGENT_ENVIRONMENT.NODE_OPTIONS}\${NODE_OPTIONS:+ $NODE_OPTIONS}"
[ $# = 0 ] || exec ${packaged} "$@"
# Whoever set this wants another root of trust than the package's.
if [ -z "\${HEARTH_UPDATE_ROOT:-}" ] && [ -f "$here/root.json" ]; then export HEARTH_UPDATE_ROOT="$here/root.json"; fi
export HEARTH_PACKAGED_VERSION=${AGENT_VERSION} HEARTH_UPDATE_RUNNER="${runner}"
exec /bin/sh "$here/launch.sh" ${packaged}
`;
  write(path.join(folder, 'launch.sh'), readFileSync(LAUNCHER), 0o755);
  write(path.join(folder, PROGRAM), script, 0o755);
}

/**
 * Makes what `hearth release add --artefact` takes: one file that a box of this target and base runs instead of its
 * packaged agent, with the dashboard that belongs to it. With base `npm` it is the agent for the Node of the package;
 * with `linuxstatic` it brings its own.
 * @param version what it calls itself, if not what the sources say
 * @returns the file
 * @throws HearthError `not_found` when the dashboard was not built
 */
export async function makeArtefact(options: {
  target: Target;
  base: Base;
  folder?: string;
  version?: string | undefined;
  webui?: string;
  log?: (line: string) => void;
}): Promise<string> {
  const { target, base, folder = ARTEFACTS, version = AGENT_VERSION, log = () => {} } = options;
  const facts = { version, architecture: target.name, webui: builtWebui(options.webui) };
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `hearth-agent-${version}-${target.name}-${base}`);
  const draft = `${file}.${process.pid}`;
  try {
    if (base === 'npm') await buildAgentFile(draft, facts);
    else await packStatic(target, draft, log, facts);
    chmodSync(draft, 0o755);
    renameSync(draft, file);
  } finally {
    rmSync(draft, { force: true });
    rmSync(`${draft}.work`, { recursive: true, force: true });
  }
  return file;
}

function write(file: string, contents: Buffer | string, mode: number): void {
  writeFileSync(file, contents);
  // Whatever the umask is.
  chmodSync(file, mode);
}
