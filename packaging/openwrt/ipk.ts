import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { compress, pack } from '../archive.ts';
import type { PayloadFile } from '../payload.ts';
import { stage } from '../payload.ts';
import type { PackageFacts } from './packages.ts';
import { MAINTAINER } from './packages.ts';

/** What every package of OpenWrt's has: the work is done by the system's functions.sh, of whatever version that is. */
const POSTINST = `#!/bin/sh
[ "\${IPKG_NO_SCRIPT}" = "1" ] && exit 0
[ -s "\${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. \${IPKG_INSTROOT}/lib/functions.sh
default_postinst $0 $@
`;
const PRERM = `#!/bin/sh
[ -s "\${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. \${IPKG_INSTROOT}/lib/functions.sh
default_prerm $0 $@
`;

/** A package's files as it holds them: the same for every architecture a program runs on. */
export interface IpkData {
  gzFile: string;
  /** Not packed: what the control file calls Installed-Size. */
  sizeBytes: number;
}

/** Packs files into `data.tar.gz` below `folder`. */
export async function packData(
  files: readonly PayloadFile[],
  folder: string,
  epochS: number,
): Promise<IpkData> {
  const data = path.join(folder, 'data');
  mkdirSync(data, { recursive: true });
  stage(files, data);
  const tar = await pack(data, path.join(folder, 'data.tar'), ['.'], epochS);
  const sizeBytes = statSync(tar).size;
  rmSync(data, { recursive: true });
  await compress(tar);
  return { gzFile: `${tar}.gz`, sizeBytes };
}

/**
 * Writes a package for opkg as OpenWrt's ipkg-build does: a gzipped tar of `debian-binary`, `data.tar.gz` and
 * `control.tar.gz`, GNU format, owners 0:0, names sorted, every time the same. The same files and the same time give
 * the same bytes.
 * @param epochS of every file in it, seconds since 1970
 * @param packed its files, where they were packed before
 * @returns the package's path
 */
export async function writeIpk(
  facts: PackageFacts,
  folder: string,
  epochS: number,
  packed?: IpkData,
): Promise<string> {
  const work = mkdtempSync(path.join(tmpdir(), 'hearth-ipk-'));
  try {
    const parts = path.join(work, 'parts');
    mkdirSync(parts);
    const { gzFile, sizeBytes } = packed ?? (await packData(facts.files, work, epochS));
    cpSync(gzFile, path.join(parts, 'data.tar.gz'));
    const control = path.join(work, 'control');
    stage(controlFiles(facts, sizeBytes, epochS), control);
    await compress(await pack(control, path.join(parts, 'control.tar'), ['.'], epochS));
    writeFileSync(path.join(parts, 'debian-binary'), '2.0\n');
    const members = ['debian-binary', 'data.tar.gz', 'control.tar.gz'];
    for (const member of members) chmodSync(path.join(parts, member), 0o644);
    const whole = await pack(
      parts,
      path.join(work, 'ipk'),
      members.map((member) => `./${member}`),
      epochS,
    );
    mkdirSync(folder, { recursive: true });
    const file = path.join(folder, ipkName(facts));
    await compress(whole, file);
    return file;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

export function ipkName({ name, version, arch }: PackageFacts): string {
  return `${name}_${version}_${arch}.ipk`;
}

/** The control file, in the order OpenWrt writes the fields. */
export function controlOf(facts: PackageFacts, installedSizeBytes: number, epochS: number): string {
  const fields: [string, string | null][] = [
    ['Package', facts.name],
    ['Version', facts.version],
    ['Depends', facts.depends.join(', ') || null],
    ['Recommends', facts.recommends.join(', ') || null],
    ['Source', `feeds/hearth/${facts.name}`],
    ['SourceName', facts.name],
    ['License', facts.license],
    ['Section', facts.section],
    ['Require-User', facts.requireUser],
    ['SourceDateEpoch', String(epochS)],
    ['Maintainer', MAINTAINER],
    ['Architecture', facts.arch],
    ['Installed-Size', String(installedSizeBytes)],
    ['Description', ` ${facts.description}`],
  ];
  return fields.flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}\n`])).join('');
}

function controlFiles(facts: PackageFacts, installedSizeBytes: number, epochS: number) {
  const file = (name: string, mode: number, text: string) => ({ path: `/${name}`, mode, source: { text } });
  return [
    file('control', 0o644, controlOf(facts, installedSizeBytes, epochS)),
    file('postinst', 0o755, POSTINST),
    file('prerm', 0o755, PRERM),
    ...(facts.conffiles.length === 0 ? [] : [file('conffiles', 0o644, `${facts.conffiles.join('\n')}\n`)]),
    ...(facts.prerm === null ? [] : [file('prerm-pkg', 0o755, `#!/bin/sh\n${facts.prerm}\n`)]),
  ];
}
