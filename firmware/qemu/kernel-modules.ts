import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { HearthError } from '#protocol/errors.ts';

/** What is known of a kernel's modules without running depmod: their files, and what is built in. */
export class KernelModules {
  private readonly files = new Map<string, string>();
  private readonly builtIn: Set<string>;

  /** @param folder `lib/modules/<version>` of an unpacked kernel */
  constructor(folder: string) {
    for (const file of globSync('kernel/**/*.ko*', { cwd: folder })) {
      this.files.set(nameOf(file), join(folder, file));
    }
    const lines = readFileSync(join(folder, 'modules.builtin'), 'utf8').trim().split('\n');
    this.builtIn = new Set(lines.map(nameOf));
  }

  /**
   * The files to load for these modules, in an order that loads none before what it depends on.
   * @throws HearthError `unavailable` naming a module this kernel does not have
   */
  inLoadOrder(wanted: string[]): string[] {
    const order = new Map<string, string>();
    const visit = (name: string): void => {
      if (order.has(name) || this.builtIn.has(name)) return;
      const file = this.files.get(name);
      if (file === undefined) throw new HearthError('unavailable', `the kernel has no module ${name}`);
      if (!file.endsWith('.ko')) {
        throw new HearthError('unavailable', `${file}: compressed modules are not supported`);
      }
      for (const dependency of dependenciesOf(readFileSync(file))) visit(dependency);
      order.set(name, file);
    };
    for (const name of wanted) visit(name.replaceAll('-', '_'));
    return [...order.values()];
  }
}

/** The `depends=` of a module's .modinfo section: names separated by commas, ended by a NUL. */
export function dependenciesOf(module: Buffer): string[] {
  const key = Buffer.from('\0depends=');
  const at = module.indexOf(key);
  if (at < 0) return [];
  const from = at + key.length;
  const text = module.toString('latin1', from, module.indexOf(0, from));
  return text === '' ? [] : text.split(',').map((name) => name.replaceAll('-', '_'));
}

function nameOf(file: string): string {
  return basename(file)
    .replace(/\.ko(\.[a-z0-9]+)?$/, '')
    .replaceAll('-', '_');
}
