import type { ImageBoard } from '../boards/board.ts';
import type { Role } from './overlay.ts';
import type { Release } from './release.ts';

export interface GuideFacts {
  board: ImageBoard;
  release: Release;
  image: string;
  hostname: string;
  role: Role;
  signed: boolean;
}

/** How this image gets onto this board and what happens then, for the person who holds both. Markdown. */
export function flashingGuide({ board, release, image, hostname, role, signed }: GuideFacts): string {
  const isVirtual = board.bootsFrom.includes('virtual disk');
  return `# ${board.title}: flashing Hearth

OpenWrt ${release.version}, ${image}

## You need

${isVirtual ? VIRTUAL_NEEDS : realNeeds(board)}
## 1. Check what you have

    sha256sum -c SHA256SUMS
${signed ? '    signify-openbsd -V -p hearth.pub -m SHA256SUMS -x SHA256SUMS.sig\n' : ''}
## 2. ${isVirtual ? 'Start it' : 'Write the card'}

${isVirtual ? virtualStart(board, image) : WRITE_CARD(image)}
## 3. First start

${isVirtual ? '' : 'Put in the card, plug in network and USB disk, then power. '}The first start takes a minute or two: the box makes its keys and
takes an address from your router.
${role === 'guest' ? GUEST : ROUTER}
Open http://${hostname}.local:7070 (or http://${hostname}.lan:7070, or the address your router's list of devices shows, port 7070),
and follow the first run: language, password, disk, line, claim code.

root has no password yet. Set one: \`ssh root@${hostname}.local\`, then \`passwd\`${isVirtual ? '' : '; or in LuCI, on port 80'}.

## If it does not appear

- Wait three minutes, then look at your router's list of devices.
${isVirtual ? '' : '- The card: write it again, with another one if there is one; most boards that stay dark have a bad card.\n'}- A serial console (115200 baud) shows what it does while it starts.
- Failsafe and reset work as on any OpenWrt with squashfs: \`firstboot\` in failsafe mode forgets all settings, and the disk
  keeps its content.

## Later

The agent is updated by itself or with its package (\`${release.packages === 'apk' ? 'apk upgrade' : 'opkg upgrade'} hearth-agent\`). A new image is needed rarely; flash it with
\`sysupgrade\`, which keeps the settings. OpenWrt's own services for building images (attended sysupgrade) do not know
Hearth's packages and would leave them out.
`;
}

function realNeeds({ ramMib, usb, ethernetMbps, bootsFrom, notes }: ImageBoard): string {
  const disk = usb.map(
    ({ version, ports }) =>
      `USB ${version} (${ports === 0 ? 'on pins only' : `${ports} port${ports > 1 ? 's' : ''}`})`,
  );
  const net = ethernetMbps.length === 0 ? 'no Ethernet' : `Ethernet ${ethernetMbps.join(' and ')} Mbit/s`;
  return `- the board: ${ramMib.map((mib) => (mib < 1024 ? `${mib} MB` : `${mib / 1024} GB`)).join(' or ')} of memory, ${net}, ${disk.join(', ')}
- a card for it (${bootsFrom.join(' or ')}), 1 GB or more, that may be erased
- a USB disk for the content: ext4 is best, exFAT and NTFS work; it is not formatted and nothing on it is touched
- a power supply made for the board: disks that draw from a weak one drop off the bus under load
${notes ? `\n${notes}\n` : ''}`;
}

const VIRTUAL_NEEDS =
  '- QEMU (Debian: `qemu-system-arm`) and UEFI firmware for it (`qemu-efi-aarch64`, `qemu-efi-arm`)\n';

const WRITE_CARD = (
  image: string,
) => `With balenaEtcher or Raspberry Pi Imager ("use custom"): choose ${image} as it is, and the card.

Or on Linux, with the card's device in place of sdX (\`lsblk\` tells; everything on it is lost):

    gunzip -c ${image} | sudo dd of=/dev/sdX bs=4M conv=fsync status=progress
`;

function virtualStart({ openwrt }: ImageBoard, image: string): string {
  const is64 = openwrt.subtarget === 'armv8';
  const disk = image.replace(/\.gz$/, '');
  return `    gunzip ${image}
    qemu-system-${is64 ? 'aarch64' : 'arm'} -M virt -cpu ${is64 ? 'cortex-a53' : 'cortex-a15'} -m 512 -nographic \\
      -bios ${is64 ? '/usr/share/qemu-efi-aarch64/QEMU_EFI.fd' : '/usr/share/AAVMF/AAVMF32_CODE.fd'} \\
      -drive file=${disk},format=raw,if=virtio -device qemu-xhci -device usb-storage,drive=stick \\
      -drive file=stick.img,format=raw,if=none,id=stick -nic user,hostfwd=tcp:127.0.0.1:7070-:7070,hostfwd=tcp:127.0.0.1:7090-:7090
`;
}

const GUEST = `
The box is a guest in your network: every port takes an address from your router, and it hands out none itself.
`;
const ROUTER = `
The box is a router: its WAN port goes to your modem or router, its LAN ports are a network of their own (192.168.1.1).
`;
