import type { DebianArch } from './debian.ts';

/** An emulated board: which QEMU machine it is and what runs on it. */
export interface BoardKind {
  name: string;
  description: string;
  arch: DebianArch;
  /** OpenWrt's, of the package that is installed. */
  packageArch: string;
  /** The metapackage of the kernel. */
  kernel: string;
  /** Below `usr/lib/linux-image-<version>/`; null: QEMU makes the device tree. */
  deviceTree: string | null;
  modules: string[];
  qemu: string;
  machine: string[];
  /** The QEMU arguments that attach the card's image, already a node named `system`. */
  systemDisk: string[];
  /** What that is called in the guest. */
  systemDevice: string;
  /** The QEMU arguments that put it into the network of such options (`user,...`). */
  network: (user: string) => string[];
  /** Where USB devices are plugged in. */
  usbBus: string;
  console: string;
  maxMemoryMib: number;
  /** The only size QEMU's machine takes, if there is one. */
  fixedMemoryMib: number | null;
}

const ORANGE_PI_PC: BoardKind = {
  name: 'orangepi-pc',
  description: 'Orange Pi PC: Allwinner H3, four Cortex-A7, up to 1 GB, USB 2, 100 Mbit/s Ethernet',
  arch: 'armhf',
  packageArch: 'arm_cortex-a7_neon-vfpv4',
  kernel: 'linux-image-armmp',
  deviceTree: 'sun8i-h3-orangepi-pc.dtb',
  modules: [
    // What its own SD card, Ethernet and USB ports need, then ext4 with the checksum it asks for by name.
    'sunxi-mmc',
    'mmc_block',
    'mdio-mux',
    'realtek',
    'dwmac-sun8i',
    'phy-sun4i-usb',
    'ehci-platform',
    'ohci-platform',
    'usb-storage',
    'sd_mod',
    'crc32c_generic',
    'ext4',
  ],
  qemu: 'qemu-system-arm',
  machine: ['-M', 'orangepi-pc'],
  systemDisk: ['-drive', 'if=sd,format=raw,file='],
  systemDevice: '/dev/mmcblk0',
  network: (user) => ['-nic', user],
  usbBus: 'usb-bus.0',
  console: 'ttyS0,115200',
  maxMemoryMib: 1024,
  fixedMemoryMib: 1024,
};

const VIRT_ARM64: BoardKind = {
  name: 'virt-arm64',
  description: 'a 64-bit ARM board as QEMU imagines it: four Cortex-A53, USB 3, virtio card and Ethernet',
  arch: 'arm64',
  packageArch: 'aarch64_generic',
  kernel: 'linux-image-arm64',
  deviceTree: null,
  modules: [
    'virtio_pci',
    'virtio_blk',
    'virtio_net',
    'xhci_pci',
    'usb-storage',
    'sd_mod',
    'crc32c_generic',
    'ext4',
  ],
  qemu: 'qemu-system-aarch64',
  machine: ['-M', 'virt', '-cpu', 'cortex-a53', '-smp', '4', '-device', 'qemu-xhci,id=xhci'],
  systemDisk: ['-drive', 'if=virtio,format=raw,file='],
  systemDevice: '/dev/vda',
  // Without its boot program, which is in a package of its own (ipxe-qemu).
  network: (user) => ['-netdev', `${user},id=lan`, '-device', 'virtio-net-pci,netdev=lan,romfile='],
  usbBus: 'xhci.0',
  console: 'ttyAMA0',
  maxMemoryMib: 8192,
  fixedMemoryMib: null,
};

export const BOARDS: Readonly<Record<string, BoardKind>> = {
  [ORANGE_PI_PC.name]: ORANGE_PI_PC,
  [VIRT_ARM64.name]: VIRT_ARM64,
};
