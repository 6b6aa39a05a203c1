import path from 'node:path';
import { parseArgs } from 'node:util';
import { buildAgent } from '#agent/build.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';
import { releaseVersionSchema } from '#protocol/release.ts';
import { TARGETS, targetNamed } from '../targets.ts';
import { BASES, buildExecutable, makeArtefact } from './build.ts';

const USAGE = `npm run build:agent [-- --target ${Object.keys(TARGETS).join('|')}|all [--base ${BASES.join('|')}] [--artefact [--version X.Y.Z]]]
Without a target: the agent as one bundle for Node 20.11 and later, in dist/agent. With one: an executable with its own
Node, in dist/executables/TARGET-BASE. Base linuxstatic (what releases carry) is one static file; base npm needs nothing
but npm and Debian's packages. --artefact: the one file that "hearth release add" takes for boxes whose package was made
with that base, in dist/artefacts; --version is what it calls itself, if not what the sources say.`;

try {
  const { values } = parseArgs({
    options: {
      target: { type: 'string' },
      base: { type: 'string', default: 'linuxstatic' },
      artefact: { type: 'boolean', default: false },
      version: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  const base = BASES.find((name) => name === values.base);
  if (values.help) {
    process.stdout.write(`${USAGE}\n`);
  } else if (base === undefined) {
    throw new HearthError('bad_request', `no base ${values.base}: there are ${BASES.join(', ')}`);
  } else if (values.version !== undefined && !(values.artefact && isVersion(values.version))) {
    throw new HearthError('bad_request', '--version is for --artefact, and such as 1.4.0');
  } else if (values.target === undefined) {
    if (values.artefact) throw new HearthError('bad_request', '--artefact wants --target');
    tell(await buildAgent());
  } else {
    const targets = values.target === 'all' ? Object.values(TARGETS) : [targetNamed(values.target)];
    for (const target of targets) {
      const log = (line: string) => process.stderr.write(`${target.name}: ${line}\n`);
      const { artefact, version } = values;
      if (artefact) tell(await makeArtefact({ target, base, version, log }));
      else tell((await buildExecutable({ target, base, log })).folder);
    }
  }
} catch (error) {
  process.stderr.write(`build:agent: ${messageOf(error)}\n`);
  process.exitCode = 1;
}

function isVersion(text: string): boolean {
  return releaseVersionSchema.safeParse(text).success;
}

function tell(file: string): void {
  process.stdout.write(`${path.relative(process.cwd(), file)}\n`);
}
