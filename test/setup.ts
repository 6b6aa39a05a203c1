import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { debianPackage, findTool, howToGet, isDebian, TOOL_NAMES } from './support/tools.ts';

/** dpkg asks this before it starts a service (invoke-rc.d(8)); 101 is "no". */
const POLICY = '/usr/sbin/policy-rc.d';
const POLICY_TEXT =
  '#!/bin/sh\n# Made by Hearth while it installs test tools: their services are not wanted.\nexit 101\n';

/**
 * Installs what the test suites need beside npm packages: on Debian as root with apt, only what is missing.
 * Elsewhere it says what is missing and how to get it.
 * @returns true when everything is there afterwards
 */
export function setup(print: (line: string) => void): boolean {
  const missing = TOOL_NAMES.filter((name) => findTool(name) === null);
  if (missing.length === 0) {
    print(`test tools are all there: ${TOOL_NAMES.join(', ')}`);
    return true;
  }
  if (isDebian() && process.getuid?.() === 0) {
    const packages = [...new Set(missing.map(debianPackage))];
    print(`installing with apt: ${packages.join(' ')}`);
    withoutServices(() => {
      apt(['update', '-q']);
      apt(['install', '-q', '-y', '--no-install-recommends', ...packages]);
    }, print);
  }
  const still = TOOL_NAMES.filter((name) => findTool(name) === null);
  for (const name of still)
    print(`missing: ${name}; ${howToGet(name)}. Suites that need it are skipped by name.`);
  if (still.length === 0) print(`test tools are all there: ${TOOL_NAMES.join(', ')}`);
  return still.length === 0;
}

function apt(args: string[]): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const run = spawnSync('apt-get', ['-o', 'DPkg::Lock::Timeout=120', ...args], { stdio: 'inherit', env });
  if (run.status !== 0) throw new Error(`apt-get ${args.join(' ')} failed`);
}

/** Tests start nginx and mosquitto themselves, on their own ports; the packages would start them as services. */
function withoutServices(work: () => void, print: (line: string) => void): void {
  const ours = !existsSync(POLICY) || readFileSync(POLICY, 'utf8') === POLICY_TEXT;
  try {
    if (ours) writeFileSync(POLICY, POLICY_TEXT, { mode: 0o755 });
    work();
  } catch (error) {
    print(`cannot install: ${error instanceof Error ? error.message : error}`);
  } finally {
    if (ours) rmSync(POLICY, { force: true });
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const complete = setup((line) => console.log(line));
  process.exitCode = complete || process.env.CI !== 'true' ? 0 : 1;
}
