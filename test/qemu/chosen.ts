import { BOARDS } from '#firmware/qemu/boards.ts';
import { needsTool } from '#test/support/tools.ts';

const { HEARTH_QEMU_BOARD, HEARTH_QEMU_CUTS, HEARTH_QEMU_IMAGE, HEARTH_QEMU_QUICK } = process.env;

/** What test/run.ts was told (--board, --cuts, --image, --quick). */
export const CHOSEN = {
  boards: Object.keys(BOARDS).filter((name) => HEARTH_QEMU_BOARD === undefined || name === HEARTH_QEMU_BOARD),
  /** The essential alone, in the time a landing has: start, enrol, cache, serve, memory; the rest on one board. */
  quick: HEARTH_QEMU_QUICK === '1',
  cuts: Number(HEARTH_QEMU_CUTS ?? (HEARTH_QEMU_QUICK === '1' ? 2 : 10)),
  /** A whole OpenWrt image in place of our card. */
  image: HEARTH_QEMU_IMAGE,
};

/** The board on which the quick run does everything: the faster of the two. */
export const WHOLE_BOARD = 'virt-arm64';

export const needsQemu = () => needsTool('qemu-system-arm', 'dpkg-deb', 'libdeflate-gzip', 'mkfs.ext4');
