import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before } from 'node:test';
import { buildAgentFile } from '#agent/build.ts';
import type { Architecture, Artefact } from '#protocol/release.ts';
import { architectureOf } from '#protocol/release.ts';

/** What an artefact does beside being the agent. */
export type Fault =
  | 'none'
  /** Ends at its start. */
  | 'crashes'
  /** Never gets to anything. */
  | 'hangs'
  /** Starts, links, and serves nobody: no token is good to it. */
  | 'cannot-serve'
  /** Is not what it was released as. */
  | 'lies';

const NOT_ASKED = `process.argv[2] !== '--version'`;
const FAULTS: Record<Fault, string> = {
  none: '',
  crashes: `if (${NOT_ASKED}) process.exit(9);`,
  hangs: `if (${NOT_ASKED}) for (;;);`,
  'cannot-serve': `require('node:crypto').timingSafeEqual = () => false;`,
  lies: `if (!(${NOT_ASKED})) { console.log('{"version":"9.9.9","architecture":"x64"}'); process.exit(0); }`,
};

export interface BuiltArtefact {
  file: string;
  version: string;
  sha256: string;
  sizeBytes: number;
}

/** The architecture of this machine, which tests release for. */
export const HERE = architectureOf(process.arch) as Architecture;

/** As a release lists it: for this machine, from any version, unless said otherwise. */
export function entryOf(
  { version, sha256, sizeBytes }: BuiltArtefact,
  terms: Partial<Artefact> = {},
): Artefact {
  const open = { architecture: HERE, minimumFrom: '0.0.0', rollbackFrom: [] };
  return { version, sha256, sizeBytes, ...open, ...terms };
}

/** The agent of a version as one file, for `HEARTH_UPDATE_RUNNER` = this Node. */
export async function buildArtefact(
  folder: string,
  version: string,
  fault: Fault = 'none',
  architecture: Architecture = HERE,
): Promise<BuiltArtefact> {
  const file = path.join(folder, `agent-${version}-${architecture}.cjs`);
  await buildAgentFile(file, { architecture, version });
  const program = (await readFile(file, 'utf8')).replace(/^#!.*\n/, '');
  await writeFile(file, `${FAULTS[fault]}\n${program}`);
  return builtOf(file, version);
}

/** An artefact that somebody else has built. */
export async function builtOf(file: string, version: string): Promise<BuiltArtefact> {
  const bytes = await readFile(file);
  return { file, version, sha256: createHash('sha256').update(bytes).digest('hex'), sizeBytes: bytes.length };
}

export interface BuiltArtefacts {
  /** For more of them. */
  folder: string;
  packaged: BuiltArtefact;
  good: BuiltArtefact;
}

/** Version 1.0.0, which boxes bring, and the good 1.1.0: built once for the tests of a file. */
export function useArtefacts(): BuiltArtefacts {
  const none = { file: '', version: '', sha256: '', sizeBytes: 0 };
  const built: BuiltArtefacts = { folder: '', packaged: none, good: none };
  before(async () => {
    built.folder = await mkdtemp(path.join(os.tmpdir(), 'hearth-artefacts-'));
    built.packaged = await buildArtefact(built.folder, '1.0.0');
    built.good = await buildArtefact(built.folder, '1.1.0');
  });
  after(() => rm(built.folder, { recursive: true, force: true }));
  return built;
}
