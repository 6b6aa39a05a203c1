import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sourceEpoch } from '#packaging/epoch.ts';
import { buildExecutable } from '#packaging/executable/build.ts';
import { writeIpk } from '#packaging/openwrt/ipk.ts';
import { agentPackage } from '#packaging/openwrt/packages.ts';
import { agentPayload } from '#packaging/openwrt/payload.ts';
import { targetOfOpenwrt } from '#packaging/targets.ts';
import { runTool } from './run-tool.ts';

/** Of the package, as opkg knows it. */
const NAME = 'hearth-agent';

/**
 * Makes the package as it ships, with Node from npm, for one of OpenWrt's architectures.
 * @param root the text of the root of trust for updates that it brings; null: none
 * @returns its path below `folder`
 */
export async function makePackage(
  arch: string,
  folder: string,
  root: string | null,
  log: (line: string) => void,
): Promise<string> {
  log(`making the package for ${arch}`);
  const program = join(folder, 'program');
  const executable = await buildExecutable({
    target: targetOfOpenwrt(arch),
    base: 'npm',
    folder: program,
    log,
  });
  const file = await writeIpk(agentPackage(arch, agentPayload(executable, { root })), folder, sourceEpoch());
  rmSync(program, { recursive: true });
  return file;
}

/**
 * Installs a package into a root that is not running, as opkg does for the ImageBuilder: its files, what it says of
 * itself, and its postinst, offline. Owners are not kept: only root could.
 * @throws HearthError `unavailable` with the words of what failed
 */
export async function installPackage(ipk: string, root: string): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'hearth-opkg-'));
  const tar = (...words: string[]) => runTool('tar', words);
  try {
    await tar('-xzf', ipk, '-C', work);
    const data = join(work, 'data.tar.gz');
    await tar('-xzf', data, '-C', root, '--no-same-owner', '-p');
    const control = join(work, 'control');
    mkdirSync(control);
    await tar('-xzf', join(work, 'control.tar.gz'), '-C', control, '--no-same-owner', '-p');
    const info = join(root, 'usr/lib/opkg/info');
    mkdirSync(info, { recursive: true });
    for (const name of readdirSync(control)) cpSync(join(control, name), join(info, `${NAME}.${name}`));
    const names = (await tar('-tzf', data)).split('\n').filter((name) => name !== '' && !name.endsWith('/'));
    const list = names.map((name) => `${name.replace(/^\./, '')}\n`).join('');
    writeFileSync(join(info, `${NAME}.list`), list);
    const env = { PATH: process.env.PATH, IPKG_INSTROOT: root };
    await runTool('sh', [join(info, `${NAME}.postinst`), 'configure'], { env });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
