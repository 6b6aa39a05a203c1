import { closeSync, existsSync, openSync, readFileSync, readSync, statSync, truncateSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HearthError, messageOf } from '#protocol/errors.ts';
import { configOf } from './card.ts';
import { runTool } from './run-tool.ts';
import type { SerialConsole } from './serial.ts';

/** What starts images for armsr, from Debian's qemu-efi-aarch64. */
export const UEFI = '/usr/share/qemu-efi-aarch64/QEMU_EFI.fd';

/** The address OpenWrt's LAN has before anyone says otherwise; ours asks DHCP, which gives the same one. */
const ADDRESS = '192.168.1.1';
export const IMAGE_HOST_ADDRESS = '192.168.1.2';
const SETTINGS = `net=192.168.1.0/24,host=${IMAGE_HOST_ADDRESS},dns=192.168.1.3,dhcpstart=${ADDRESS}`;
export const IMAGE_NETWORK = { address: ADDRESS, settings: SETTINGS };

const SECTOR_BYTES = 512;
/** Where the H3 looks for its first program on a card, and the name that must be in its header. */
const H3_PROGRAM_BYTES = 8 * 1024;
const MOST_IMAGE_BYTES = 8 * 2 ** 30;
const PATIENCE_MS = 60_000;

/**
 * Copies an image, unpacked and made as large as a card (a power of two), and checks that the board can start it.
 * @throws HearthError `not_found`, or `bad_request` with what is wrong with it
 */
export async function copyImage(
  board: string,
  image: string,
  to: string,
  log: (line: string) => void,
): Promise<void> {
  if (!existsSync(image) || !statSync(image).isFile()) {
    throw new HearthError('not_found', `there is no image ${image}: npm run firmware makes one`);
  }
  log(`copying ${image}`);
  const packed = at(image, 0, 2).equals(Buffer.from([0x1f, 0x8b]));
  if (packed) {
    // What OpenWrt appends to a packed image for sysupgrade is a warning (2), and left out.
    const script = 'gzip -dc < "$1" > "$2" || [ $? = 2 ]';
    await runTool('sh', ['-c', script, 'sh', image, to]).catch((error: unknown) => {
      throw new HearthError('bad_request', `${image} cannot be unpacked: ${messageOf(error)}`);
    });
  } else {
    await copyFile(image, to);
  }
  checkImage(board, image, to);
  const { size } = statSync(to);
  if (size > MOST_IMAGE_BYTES) throw new HearthError('bad_request', `${image} is larger than 8 GiB`);
  truncateSync(to, Math.max(512 * 2 ** 20, 2 ** Math.ceil(Math.log2(size))));
}

function checkImage(board: string, name: string, file: string): void {
  const wrong = (why: string) => new HearthError('bad_request', `${name} is no image for ${board}: ${why}`);
  if (at(file, 510, 2).toString('hex') !== '55aa') throw wrong('it has no partition table');
  if (board === 'orangepi-pc') {
    if (at(file, H3_PROGRAM_BYTES + 4, 8).toString('latin1') !== 'eGON.BT0') {
      throw wrong("it has no program for Allwinner's chip: take sunxi's *-sdcard.img.gz");
    }
  } else if (at(file, SECTOR_BYTES, 8).toString('latin1') !== 'EFI PART') {
    throw wrong("it does not start by UEFI: take armsr's *-combined-efi.img.gz");
  } else if (!existsSync(UEFI)) {
    throw new HearthError('unavailable', `${UEFI} is missing (apt-get install qemu-efi-aarch64)`);
  }
}

function at(file: string, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const handle = openSync(file, 'r');
  readSync(handle, bytes, 0, length, position);
  closeSync(handle);
  return bytes;
}

const GUEST = join(import.meta.dirname, 'guest');

/**
 * Takes the console of an OpenWrt that starts, as a person would, has it run our commands from then on, and gives the
 * agent its settings. "localhost" is the host, as on our own cards.
 * @throws HearthError `unavailable` when it does not start in time, `not_found` when the package is not in it
 */
export async function activateConsole(
  serial: SerialConsole,
  settings: Record<string, string>,
  timeoutMs: number,
): Promise<void> {
  await serial.waitFor(/Please press Enter to activate this console/, timeoutMs);
  // What is typed before the shell is there may be lost.
  const shell = serial.waitFor(/^hearth shell$/, PATIENCE_MS);
  serial.type('\n');
  const again = setInterval(() => serial.type("echo 'hearth shell'\n"), 2_000);
  await shell.finally(() => clearInterval(again));
  const console = serial.waitFor(/^hearth console$/, PATIENCE_MS);
  for (const name of ['console', 'agent-pid']) {
    serial.type(
      `cat > /tmp/${name} <<'END_OF_FILE'\n${readFileSync(join(GUEST, name), 'utf8')}END_OF_FILE\n`,
    );
  }
  // The kernel's words would fall between those of an answer.
  serial.type("dmesg -n 1; echo 'hearth console'; exec sh /tmp/console\n");
  await console;
  const must = async (command: string, complaint: string, code: 'not_found' | 'unavailable') => {
    const answer = await serial.run(command, PATIENCE_MS);
    if (answer.code !== 0) throw new HearthError(code, `${complaint}: ${answer.output}`);
  };
  await must(
    '[ -x /etc/init.d/hearth ]',
    'hearth-agent is not in this image (npm run firmware makes one)',
    'not_found',
  );
  await must(
    'cp /tmp/agent-pid /sbin/agent-pid && chmod 755 /sbin/agent-pid',
    'cannot write to it',
    'unavailable',
  );
  await must(`echo '${IMAGE_HOST_ADDRESS} localhost host' > /etc/hosts`, 'cannot write to it', 'unavailable');
  await must(configure(settings), 'its settings cannot be changed', 'unavailable');
}

/** A command that makes these the settings of the agent, and says so to procd. */
export function configure(settings: Record<string, string>): string {
  const text = configOf("config hearth 'main'", settings);
  return `cat > /etc/config/hearth.new <<'END'\n${text}END\nchmod 600 /etc/config/hearth.new && mv /etc/config/hearth.new /etc/config/hearth && sync && /etc/init.d/hearth reload`;
}
