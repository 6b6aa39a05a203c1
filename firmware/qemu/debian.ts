import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import * as z from 'zod';
import { HearthError } from '#protocol/errors.ts';
import { cacheFolder, onceInCache, verifyFile } from './cache.ts';
import { runTool } from './run-tool.ts';

export type DebianArch = 'armhf' | 'arm64' | 'amd64';

/** One package as the archive's signed index describes it. */
const packageSchema = z.object({
  name: z.string(),
  /** Name, version and architecture: the archive never reuses it for other bytes. */
  file: z.string(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type DebianPackage = z.infer<typeof packageSchema>;

/**
 * Packages of another architecture by the host's apt, from the sources and with the keys it already trusts. It has
 * lists of its own: the host's package state is neither read nor changed, no architecture is added to dpkg, and
 * root is not needed.
 */
export class DebianArchive {
  private readonly arch: DebianArch;
  private readonly log: (line: string) => void;
  private updated = false;

  constructor(arch: DebianArch, log: (line: string) => void) {
    this.arch = arch;
    this.log = log;
  }

  /**
   * The packages, downloaded and checked. What was resolved once is kept, so that later runs need no network and
   * use the same versions, until `refresh`.
   * @param wanted names; `name>` stands for the package it depends on, as linux-image-armmp does
   */
  async packages(wanted: string[], refresh = false): Promise<Map<string, string>> {
    const record = join(cacheFolder('debian', this.arch), `${wanted.join('+').replaceAll('>', '')}.json`);
    let packages = refresh ? null : readRecord(record);
    if (packages === null) {
      packages = await this.resolve(wanted);
      writeFileSync(`${record}.${process.pid}`, JSON.stringify(packages, null, 2));
      renameSync(`${record}.${process.pid}`, record);
    }
    const files = new Map<string, string>();
    for (const [index, one] of packages.entries()) {
      files.set(wanted[index]?.replace('>', '') ?? one.name, await this.download(one));
    }
    return files;
  }

  private async resolve(wanted: string[]): Promise<DebianPackage[]> {
    await this.update();
    const names = await Promise.all(
      wanted.map(async (name) => (name.endsWith('>') ? this.dependencyOf(name.slice(0, -1)) : name)),
    );
    const listed = await this.apt('apt-get', ['download', '--print-uris', ...names]);
    // 'URI' file size SHA256:hash, in an order of apt's own.
    const found = [...listed.matchAll(/^'[^']*' (\S+) \d+ SHA256:([0-9a-f]{64})$/gm)].map((match) => ({
      file: match[1] ?? '',
      sha256: match[2] ?? '',
    }));
    return names.map((name) => {
      const one = found.find(({ file }) => file.startsWith(`${name}_`));
      if (!one) throw new HearthError('unavailable', `apt has no ${name}:${this.arch} in its sources`);
      return { name, ...one };
    });
  }

  private async dependencyOf(name: string): Promise<string> {
    const depends = await this.apt('apt-cache', ['depends', name]);
    const found = /^ {2}Depends: (linux-image-\S+)$/m.exec(depends)?.[1];
    if (found === undefined) {
      throw new HearthError('unavailable', `apt has no ${name}:${this.arch} in its sources`);
    }
    return found;
  }

  private async download({ name, file, sha256 }: DebianPackage): Promise<string> {
    const folder = await onceInCache(
      'packages',
      `${basename(file, '.deb')}-${sha256.slice(0, 16)}`,
      async (draft) => {
        this.log(`downloading ${name}:${this.arch}`);
        await this.update();
        await this.apt('apt-get', ['download', `${name}=${versionOf(file)}`], draft);
        await verifyFile(join(draft, file), { algorithm: 'sha256', encoding: 'hex', hash: sha256 });
      },
    );
    return join(folder, file);
  }

  private async update(): Promise<void> {
    if (this.updated) return;
    this.log(`reading the lists of packages for ${this.arch}`);
    for (const part of ['lists/partial', 'archives/partial']) {
      mkdirSync(join(cacheFolder('apt', this.arch), part), { recursive: true });
    }
    try {
      await this.apt('apt-get', ['update', '-q']);
    } catch (error) {
      // One broken source of several, as when a mirror is being synchronised: what is missing will be said by name.
      this.log(`apt-get update: ${error instanceof Error ? error.message.split('\n').at(-1) : error}`);
    }
    this.updated = true;
  }

  private apt(program: 'apt-get' | 'apt-cache', args: string[], cwd?: string): Promise<string> {
    const state = cacheFolder('apt', this.arch);
    const settings = {
      'APT::Architecture': this.arch,
      'APT::Architectures': this.arch,
      // Its unprivileged user cannot write into a home's cache.
      'APT::Sandbox::User': 'root',
      'Dir::State': state,
      'Dir::State::lists': join(state, 'lists'),
      'Dir::State::status': '/dev/null',
      'Dir::Cache': state,
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    return runTool(program, [...options, ...args], { cwd, debian: 'apt', timeoutMs: 600_000 });
  }
}

/**
 * Unpacks what matches of a package, once.
 * @param patterns shell patterns below the root, such as `./lib/*`
 */
export function unpackDebian(file: string, patterns: string[]): Promise<string> {
  return onceInCache('unpacked', basename(file, '.deb').replaceAll('%3a', '-'), async (folder) => {
    const whole = join(folder, 'data.tar');
    await runTool('sh', ['-c', 'exec dpkg-deb --fsys-tarfile "$1" > "$2"', 'sh', file, whole]);
    await runTool('tar', ['-x', '-f', whole, '-C', folder, '--wildcards', '--no-same-owner', ...patterns]);
    await runTool('rm', [whole]);
  });
}

function readRecord(file: string): DebianPackage[] | null {
  if (!existsSync(file)) return null;
  return z.array(packageSchema).parse(JSON.parse(readFileSync(file, 'utf8')));
}

/** `busybox-static_1%3a1.35.0-4_armhf.deb` -> `1:1.35.0-4` */
function versionOf(file: string): string {
  return decodeURIComponent(file.split('_')[1] ?? '');
}
