import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { globSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { runTool } from '#firmware/qemu/run-tool.ts';
import { HearthError } from '#protocol/errors.ts';
import type { PayloadFile } from '../payload.ts';
import { contentsOf, stage } from '../payload.ts';
import type { PackageFacts } from './packages.ts';
import { MAINTAINER } from './packages.ts';

/**
 * apk-tools of the third generation, which alone writes what OpenWrt 25.12 reads: `APK` names it, else it is looked
 * for in PATH.
 * @throws HearthError `unavailable` that says where to get it
 */
export function findApk(): string {
  const program = process.env.APK || 'apk';
  const asked = spawnSync(program, ['--version'], { encoding: 'utf8' });
  const found = asked.status === 0 ? asked.stdout.trim().split(',')[0] : undefined;
  if (found?.startsWith('apk-tools 3')) return program;
  const what = found === undefined ? `there is no ${program}` : `${program} is ${found}`;
  throw new HearthError(
    'unavailable',
    `${what}, and packages for OpenWrt 25.12 and later are made by apk-tools 3: any OpenWrt SDK or ImageBuilder of ` +
      '25.12 has it as staging_dir/host/bin/apk, Alpine 3.23 as apk. Name it with APK=FILE. For 24.10: npm run build:ipk',
  );
}

/** Writes a package by `apk mkpkg`, with the files and scripts that OpenWrt's package-pack.mk gives it. */
export async function writeApk(
  apk: string,
  facts: PackageFacts,
  folder: string,
  epochS: number,
): Promise<string> {
  const work = mkdtempSync(path.join(tmpdir(), 'hearth-apk-'));
  try {
    const [data, scripts] = [path.join(work, 'data'), path.join(work, 'scripts')];
    stage([...facts.files, ...listsOf(facts)], data);
    stage(
      Object.entries(scriptsOf(facts)).map(([name, text]) => file(`/${name}`, text, 0o755)),
      scripts,
    );
    // apk keeps what the files say: the time is the package's, and the owner root.
    await runTool('find', [data, '-exec', 'touch', '-h', '-d', `@${epochS}`, '{}', '+']);
    if (process.getuid?.() === 0) await runTool('chown', ['-R', '0:0', data]);
    const info: Record<string, string> = {
      name: facts.name,
      version: facts.version,
      description: facts.description,
      arch: facts.arch === 'all' ? 'noarch' : facts.arch,
      license: facts.license,
      origin: `feeds/hearth/${facts.name}`,
      maintainer: MAINTAINER,
      depends: facts.depends.join(' '),
      ...(facts.recommends.length > 0 ? { recommends: facts.recommends.join(' ') } : {}),
    };
    mkdirSync(folder, { recursive: true });
    const output = path.join(folder, `${facts.name}-${facts.version}.apk`);
    await runTool(
      apk,
      [
        'mkpkg',
        ...Object.entries(info).flatMap(([name, value]) => ['--info', `${name}:${value}`]),
        ...Object.keys(scriptsOf(facts)).flatMap((name) => [
          '--script',
          `${name}:${path.join(scripts, name)}`,
        ]),
        // The best of what every apk on a box can read.
        ...['--compression', 'deflate:9', '--files', data, '--output', output],
      ],
      { env: { ...process.env, SOURCE_DATE_EPOCH: String(epochS) } },
    );
    return output;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Writes the index apk asks a feed for. */
export async function writeApkIndex(
  apk: string,
  folder: string,
  keyFile: string | null,
  epochS: number,
): Promise<void> {
  const packages = globSync('*.apk', { cwd: folder }).sort();
  const sign = keyFile === null ? [] : ['--sign-key', path.resolve(keyFile)];
  // Packages are not signed themselves: the index holds their hashes.
  const args = ['mkndx', '--allow-untrusted', ...sign, '--output', 'packages.adb', ...packages];
  await runTool(apk, args, { cwd: folder, env: { ...process.env, SOURCE_DATE_EPOCH: String(epochS) } });
}

/** What OpenWrt's own scripts look for in the package: its files, settings and user. */
function listsOf(facts: PackageFacts): PayloadFile[] {
  const base = `/lib/apk/packages/${facts.name}`;
  const lists: PayloadFile[] = [];
  if (facts.requireUser !== null) lists.push(file(`${base}.rusers`, `${facts.requireUser}\n`));
  const listed = [...facts.files, ...lists].map((one) => one.path).sort();
  lists.push(file(`${base}.list`, `${listed.join('\n')}\n`));
  if (facts.conffiles.length > 0) {
    const sums = facts.conffiles.map((name) => {
      const found = facts.files.find((one) => one.path === name);
      if (!found) throw new HearthError('internal', `the package has no ${name}`);
      return `${name} ${createHash('sha256').update(contentsOf(found)).digest('hex')}\n`;
    });
    lists.push(file(`${base}.conffiles`, `${facts.conffiles.join('\n')}\n`));
    lists.push(file(`${base}.conffiles_static`, sums.join('')));
  }
  return lists;
}

/** As package-pack.mk writes them: the same stubs, told the package's name. */
function scriptsOf(facts: PackageFacts): Record<string, string> {
  const source = [
    `[ -s "$IPKG_INSTROOT/lib/functions.sh" ] || exit 0`,
    '. "$IPKG_INSTROOT/lib/functions.sh"',
    'export root="$IPKG_INSTROOT"',
    `export pkgname="${facts.name}"`,
  ];
  const install = [
    '[ "$IPKG_NO_SCRIPT" = "1" ] && exit 0',
    ...source,
    'add_group_and_user',
    'default_postinst',
  ];
  const script = (...lines: string[]) => `#!/bin/sh\n${lines.join('\n')}\n`;
  return {
    'post-install': script(...install),
    'post-upgrade': script('export PKG_UPGRADE=1', ...install),
    'pre-deinstall': script(...source, 'default_prerm', ...(facts.prerm === null ? [] : [facts.prerm])),
  };
}

function file(name: string, text: string, mode = 0o644): PayloadFile {
  return { path: name, mode, source: { text } };
}
