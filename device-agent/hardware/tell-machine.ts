import { messageOf } from '#protocol/errors.ts';
import type { Machine } from './machine.ts';

/** The part of the program that `askMachine` starts: tells its parent, once, and ends. */
export async function tellMachine(): Promise<void> {
  process.once('disconnect', () => process.exit(0));
  const system = await import('systeminformation').then((module) => module.default ?? module);
  const faults: Machine['faults'] = {};
  const ask = async <T>(what: string, question: () => Promise<T>): Promise<T | null> => {
    try {
      return await question();
    } catch (error) {
      faults[what] = messageOf(error);
      return null;
    }
  };
  const told = {
    system: await ask('system', () => system.system()),
    os: await ask('os', () => system.osInfo()),
    cpu: await ask('cpu', () => system.cpu()),
    network: await ask('network', async () => [await system.networkInterfaces()].flat()),
    blockDevices: await ask('block devices', () => system.blockDevices()),
    faults,
  };
  process.send?.(told, () => process.exit(0));
}
