import { BOARDS } from '#firmware/qemu/boards.ts';
import { nodeFromNpm } from '#firmware/qemu/npm-node.ts';
import { boardParts } from '#firmware/qemu/parts.ts';
import { nodeLibraries } from '#packaging/node/libraries.ts';
import { targetOfOpenwrt } from '#packaging/targets.ts';
import { messageOf } from '#protocol/errors.ts';
import { needsTool } from '#test/support/tools.ts';

const { HEARTH_QEMU_BOARD, HEARTH_QEMU_CUTS, HEARTH_QEMU_IMAGE, HEARTH_QEMU_QUICK } = process.env;
const quick = HEARTH_QEMU_QUICK === '1';

/** What test/run.ts was told (--board, --cuts, --image, --quick). */
export const CHOSEN = {
  boards: Object.keys(BOARDS).filter((name) => HEARTH_QEMU_BOARD === undefined || name === HEARTH_QEMU_BOARD),
  /** What a landing has time for: the essential on one board (start, enrol, cache, serve, memory), all on the other. */
  quick,
  cuts: Number(HEARTH_QEMU_CUTS ?? (quick ? 2 : 10)),
  /** A whole OpenWrt image in place of our card. */
  image: HEARTH_QEMU_IMAGE,
  /** No suite takes longer, ms. */
  timeoutMs: quick ? 1_200_000 : 3_600_000,
};

/** The board on which the quick run does everything: the faster of the two. */
export const WHOLE_BOARD = 'virt-arm64';

/**
 * Options for `describe`: nothing when all can be had that a board is made of, else a skip that says what not.
 * @throws with CI=true in place of the skip
 */
export async function needsBoard(name: string): Promise<{ skip?: string }> {
  const tools = needsTool('qemu-system-arm', 'dpkg-deb', 'libdeflate-gzip', 'mkfs.ext4', 'mkfs.vfat');
  const board = BOARDS[name];
  if (tools.skip !== undefined || board === undefined || CHOSEN.image !== undefined) return tools;
  const log = (line: string) => console.error(`${name}: ${line}`);
  try {
    const target = targetOfOpenwrt(board.packageArch);
    await boardParts(board, log);
    await nodeFromNpm(target.node, log);
    await nodeLibraries(target, log);
    return {};
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    return { skip: `needs packages of Debian and npm: ${messageOf(error)}` };
  }
}
