import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { AGENT_VERSION } from '#agent/version.ts';
import { compress, pack } from '../archive.ts';
import type { Executable } from '../executable/build.ts';
import type { SigningKey } from '../openwrt/usign.ts';
import { signText } from '../openwrt/usign.ts';
import { makeFolder } from '../out-folder.ts';
import type { PayloadFile, PayloadOptions } from '../payload.ts';
import { programPayload, stage } from '../payload.ts';

/** The program with what systemd and the kernel are to know of it. */
export function linuxPayload(executable: Executable, options?: PayloadOptions): PayloadFile[] {
  const own = (name: string, to: string): PayloadFile => ({
    path: to,
    mode: 0o644,
    source: { file: path.join(import.meta.dirname, name) },
  });
  return [
    ...programPayload(executable, options),
    own('hearth.service', '/etc/systemd/system/hearth.service'),
    own('90-hearth.conf', '/etc/sysctl.d/90-hearth.conf'),
  ];
}

type ReleaseOptions = { epochS: number; key: SigningKey | null } & PayloadOptions;

/**
 * Writes a release for Linux with systemd: an archive for each executable, their hashes, the signature over those, and
 * install.sh, which checks them.
 * @param epochS of every file in the archives, seconds since 1970
 * @param key null: not signed, and install.sh will not take it
 * @throws HearthError `bad_request` when something else than a release is in the folder
 */
export async function writeRelease(
  executables: readonly Executable[],
  folder: string,
  options: ReleaseOptions,
): Promise<void> {
  await makeFolder(folder, 'install.sh', (draft) => fill(executables, draft, options));
}

async function fill(
  executables: readonly Executable[],
  folder: string,
  options: ReleaseOptions,
): Promise<void> {
  const sums: string[] = [];
  for (const executable of executables) {
    const name = `hearth-agent_${AGENT_VERSION}_${executable.target.name}.tar.gz`;
    const work = mkdtempSync(path.join(tmpdir(), 'hearth-linux-'));
    try {
      const root = path.join(work, 'root');
      stage(linuxPayload(executable, options), root);
      const tar = await pack(root, path.join(work, 'tar'), ['./etc', './usr'], options.epochS);
      await compress(tar, path.join(folder, name));
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
    const hash = createHash('sha256').update(readFileSync(path.join(folder, name)));
    sums.push(`${hash.digest('hex')}  ${name}\n`);
  }
  const text = Buffer.from(sums.join(''));
  writeFileSync(path.join(folder, 'SHA256SUMS'), text);
  if (options.key !== null) writeFileSync(path.join(folder, 'SHA256SUMS.sig'), signText(options.key, text));
  cpSync(path.join(import.meta.dirname, 'install.sh'), path.join(folder, 'install.sh'));
}
