import path from 'node:path';
import { parseArgs } from 'node:util';
import { buildAgent } from '#agent/build.ts';
import { HearthError, messageOf } from '#protocol/errors.ts';
import { TARGETS, targetNamed } from '../targets.ts';
import { BASES, buildExecutable } from './build.ts';

const USAGE = `npm run build:agent [-- --target ${Object.keys(TARGETS).join('|')}|all [--base ${BASES.join('|')}]]
Without a target: the agent as one bundle for Node 20.11 and later, in dist/agent. With one: an executable with its own
Node, in dist/executables/TARGET-BASE. Base linuxstatic (what releases carry) is one static file; base npm needs nothing
but npm and Debian's packages.`;

try {
  const { values } = parseArgs({
    options: {
      target: { type: 'string' },
      base: { type: 'string', default: 'linuxstatic' },
      help: { type: 'boolean' },
    },
  });
  const base = BASES.find((name) => name === values.base);
  if (values.help) {
    process.stdout.write(`${USAGE}\n`);
  } else if (base === undefined) {
    throw new HearthError('bad_request', `no base ${values.base}: there are ${BASES.join(', ')}`);
  } else if (values.target === undefined) {
    tell(await buildAgent());
  } else {
    const targets = values.target === 'all' ? Object.values(TARGETS) : [targetNamed(values.target)];
    for (const target of targets) {
      const log = (line: string) => process.stderr.write(`${target.name}: ${line}\n`);
      tell((await buildExecutable({ target, base, log })).folder);
    }
  }
} catch (error) {
  process.stderr.write(`build:agent: ${messageOf(error)}\n`);
  process.exitCode = 1;
}

function tell(file: string): void {
  process.stdout.write(`${path.relative(process.cwd(), file)}\n`);
}
