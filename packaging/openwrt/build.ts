import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Base } from '../executable/build.ts';
import { buildExecutable } from '../executable/build.ts';
import { makeFolder } from '../out-folder.ts';
import type { PayloadFile } from '../payload.ts';
import type { Target } from '../targets.ts';
import { targetOfOpenwrt } from '../targets.ts';
import { findApk, writeApk, writeApkIndex } from './apk.ts';
import { writeOpkgIndex } from './feed-index.ts';
import type { IpkData } from './ipk.ts';
import { packData, writeIpk } from './ipk.ts';
import { luciPayload } from './luci-payload.ts';
import type { PackageFacts } from './packages.ts';
import { agentPackage, luciPackage } from './packages.ts';
import { agentPayload } from './payload.ts';
import type { SigningKey } from './usign.ts';

export interface FeedOptions {
  /** OpenWrt's package architectures. */
  archs: readonly string[];
  base: Base;
  /** Below it one folder for each architecture. */
  out: string;
  /** Of every file in the packages, seconds since 1970. */
  epochS: number;
  /** The text of the root of trust for updates. */
  root?: string | null;
  log?: (line: string) => void;
}

/**
 * Makes the packages and the index of a feed for opkg (OpenWrt 24.10), one folder for each architecture.
 * @param key signs the indexes; null: they are not signed
 * @returns the folders
 */
export async function buildIpkFeed(options: FeedOptions, key: SigningKey | null): Promise<string[]> {
  const work = mkdtempSync(path.join(tmpdir(), 'hearth-feed-'));
  try {
    const packed = new Map<readonly PayloadFile[], IpkData>();
    return await eachArch(options, 'Packages', async (facts, folder) => {
      for (const one of facts) {
        const data =
          packed.get(one.files) ??
          (await packData(one.files, path.join(work, String(packed.size)), options.epochS));
        packed.set(one.files, data);
        await writeIpk(one, folder, options.epochS, data);
      }
      await writeOpkgIndex(folder, key);
    });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/**
 * The same for apk (OpenWrt 25.12 and later), by apk itself.
 * @param keyFile an EC key in PEM that signs the indexes
 * @throws HearthError `unavailable` where there is no apk that makes packages
 */
export async function buildApkFeed(options: FeedOptions, keyFile: string | null): Promise<string[]> {
  const apk = findApk();
  return eachArch(options, 'packages.adb', async (facts, folder) => {
    for (const one of facts) await writeApk(apk, one, folder, options.epochS);
    await writeApkIndex(apk, folder, keyFile, options.epochS);
  });
}

/**
 * One executable for all architectures it runs on, so that all hold the same bytes.
 * @param mark the index, by which a folder of packages is known
 */
async function eachArch(
  { archs, base, out, root, log = () => {} }: FeedOptions,
  mark: string,
  write: (facts: PackageFacts[], folder: string) => Promise<void>,
): Promise<string[]> {
  const targets = new Map(archs.map((arch) => [arch, targetOfOpenwrt(arch)]));
  const payloads = new Map<Target, PayloadFile[]>();
  const luci = luciPayload();
  const folders: string[] = [];
  for (const [arch, target] of targets) {
    let files = payloads.get(target);
    if (!files) {
      log(`the executable for ${target.name}`);
      files = agentPayload(await buildExecutable({ target, base, log }), { root });
      payloads.set(target, files);
    }
    const folder = path.join(out, arch);
    log(`packages and index for ${arch}`);
    const facts = [agentPackage(arch, files), luciPackage(luci)];
    await makeFolder(folder, mark, (draft) => write(facts, draft));
    folders.push(folder);
  }
  return folders;
}
