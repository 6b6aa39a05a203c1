import type { Architecture } from '#protocol/release.ts';
import { architectureSchema } from '#protocol/release.ts';

/** `e_machine` of an ELF header (its specification, and the ABI of each processor). */
const ELF_MACHINES: Record<number, Architecture> = { 40: 'armv7', 62: 'x64', 183: 'arm64' };
const ELF_MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);
/** The first lines that the agent's build writes: device-agent/build.ts. */
const BANNER = /^\/\/ hearth-agent (\S+) (\S+)$/m;

/** What an executable says of itself; null where it does not. */
export interface ProgramKind {
  architecture: Architecture | null;
  version: string | null;
}

/** Reads for which processor, and as which version, a file was built. */
export function kindOfProgram(bytes: Buffer): ProgramKind {
  if (bytes.subarray(0, 4).equals(ELF_MAGIC) && bytes.length >= 20) {
    const isLittle = bytes[5] === 1;
    const machine = isLittle ? bytes.readUInt16LE(18) : bytes.readUInt16BE(18);
    return { architecture: (isLittle && ELF_MACHINES[machine]) || null, version: null };
  }
  const [, version = null, name] = BANNER.exec(bytes.subarray(0, 512).toString('latin1')) ?? [];
  return { architecture: architectureSchema.safeParse(name).data ?? null, version };
}
