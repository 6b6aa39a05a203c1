import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A program some tests need beside Node: where it may be, and how one gets it. */
interface Tool {
  /** Names looked for in PATH and the system folders, or absolute paths. */
  names: string[];
  debian: string;
  otherwise: string;
}

const TOOLS = {
  chromium: {
    names: [
      'chromium',
      'chromium-browser',
      'google-chrome',
      '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
      '/Applications/Chromium.app/Contents/MacOS/Chromium',
    ],
    debian: 'chromium',
    otherwise: 'install Chromium or Chrome',
  },
  ffmpeg: { names: ['ffmpeg'], debian: 'ffmpeg', otherwise: 'install ffmpeg' },
  nginx: { names: ['nginx'], debian: 'nginx-light', otherwise: 'install nginx' },
  /** A home router, for tests in network namespaces, and what such a network is made of. */
  ip: { names: ['ip'], debian: 'iproute2', otherwise: 'install iproute2 (Linux only)' },
  nft: { names: ['nft'], debian: 'nftables', otherwise: 'install nftables (Linux only)' },
  miniupnpd: {
    names: ['miniupnpd'],
    debian: 'miniupnpd-nftables',
    otherwise: 'install miniupnpd built for nftables (Linux only)',
  },
  upnpc: { names: ['upnpc'], debian: 'miniupnpc', otherwise: 'install miniupnpc' },
  /** Let's Encrypt's own test server, and a resolver that is not ours. */
  pebble: { names: ['pebble'], debian: 'pebble', otherwise: 'install pebble (letsencrypt/pebble)' },
  dig: { names: ['dig'], debian: 'bind9-dnsutils', otherwise: 'install dig (BIND utilities)' },
  dnsmasq: { names: ['dnsmasq'], debian: 'dnsmasq-base', otherwise: 'install dnsmasq' },
  /** Attacks by slowness, and an HTTP/2 client, by others than us. */
  slowhttptest: { names: ['slowhttptest'], debian: 'slowhttptest', otherwise: 'install slowhttptest' },
  h2load: { names: ['h2load'], debian: 'nghttp2-client', otherwise: 'install h2load (nghttp2)' },
  /** Disks as households have them, made and mounted on loop devices. */
  losetup: { names: ['losetup'], debian: 'mount', otherwise: 'install losetup (util-linux, Linux only)' },
  'mkfs.ext4': { names: ['mkfs.ext4'], debian: 'e2fsprogs', otherwise: 'install e2fsprogs' },
  'mkfs.exfat': { names: ['mkfs.exfat'], debian: 'exfatprogs', otherwise: 'install exfatprogs' },
  'mount.exfat-fuse': {
    names: ['mount.exfat-fuse'],
    debian: 'exfat-fuse',
    otherwise: 'install exfat-fuse (Linux only)',
  },
  'mkfs.ntfs': { names: ['mkfs.ntfs'], debian: 'ntfs-3g', otherwise: 'install ntfs-3g' },
  'ntfs-3g': { names: ['ntfs-3g'], debian: 'ntfs-3g', otherwise: 'install ntfs-3g (Linux only)' },
  'mkfs.vfat': { names: ['mkfs.vfat'], debian: 'dosfstools', otherwise: 'install dosfstools' },
  /** Packages: emulators of their processors, and tools that are not ours to check them with. */
  'qemu-arm': {
    names: ['qemu-arm-static'],
    debian: 'qemu-user-static',
    otherwise: 'install qemu-user-static (Linux only)',
  },
  /** Boards: both of Debian's emulators of whole ARM machines come with it. */
  'qemu-system-arm': {
    names: ['qemu-system-arm'],
    debian: 'qemu-system-arm',
    otherwise: "install QEMU's system emulators for arm and aarch64",
  },
  'libdeflate-gzip': {
    names: ['libdeflate-gzip'],
    debian: 'libdeflate-tools',
    otherwise: 'install libdeflate',
  },
  'dpkg-deb': { names: ['dpkg-deb'], debian: 'dpkg', otherwise: 'only Debian and its kin have it' },
  busybox: { names: ['busybox'], debian: 'busybox-static', otherwise: 'install busybox' },
  shellcheck: { names: ['shellcheck'], debian: 'shellcheck', otherwise: 'install shellcheck' },
  git: { names: ['git'], debian: 'git', otherwise: 'install git' },
  openssl: { names: ['openssl'], debian: 'openssl', otherwise: 'install OpenSSL' },
  cpio: { names: ['cpio'], debian: 'cpio', otherwise: 'install cpio' },
  /** The ImageBuilder is a Makefile in such a tarball. */
  make: { names: ['make'], debian: 'make', otherwise: 'install make' },
  zstd: { names: ['zstd'], debian: 'zstd', otherwise: 'install zstd' },
  signify: {
    names: ['signify-openbsd', 'signify'],
    debian: 'signify-openbsd',
    otherwise: 'install signify',
  },
  'systemd-analyze': {
    names: ['systemd-analyze'],
    debian: 'systemd',
    otherwise: 'only Linux with systemd has it',
  },
  mosquitto: { names: ['mosquitto'], debian: 'mosquitto', otherwise: 'install mosquitto' },
  /** Not a program, but screenshots in Chinese are boxes without it. */
  'fonts-cjk': {
    names: [
      '/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc',
      '/System/Library/Fonts/PingFang.ttc',
      '/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc',
    ],
    debian: 'fonts-noto-cjk',
    otherwise: 'install a Chinese font, such as Noto Sans CJK',
  },
} satisfies Record<string, Tool>;

export type ToolName = keyof typeof TOOLS;
export const TOOL_NAMES = Object.keys(TOOLS) as ToolName[];

/** Where a tool is, or null. Debian keeps servers in /usr/sbin, which is not in everyone's PATH. */
export function findTool(name: ToolName): string | null {
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    '/usr/sbin',
    '/usr/local/sbin',
    '/opt/homebrew/bin',
  ];
  for (const candidate of TOOLS[name].names) {
    const paths = candidate.startsWith('/') ? [candidate] : folders.map((folder) => join(folder, candidate));
    const found = paths.find((path) => (name === 'fonts-cjk' ? existsSync(path) : isExecutable(path)));
    if (found !== undefined) return found;
  }
  return null;
}

/** How a person gets it, in one line. */
export function howToGet(name: ToolName): string {
  const { debian, otherwise } = TOOLS[name];
  return isDebian() ? `apt-get install ${debian} (npm run test:setup does it as root)` : otherwise;
}

export function debianPackage(name: ToolName): string {
  return TOOLS[name].debian;
}

/**
 * Options for `it` and `describe`: nothing when the tools are there, else a skip that names what is missing.
 * @throws with CI=true when one is missing: what CI does not run must not look green
 */
export function needsTool(...names: ToolName[]): { skip?: string } {
  const missing = names.filter((name) => findTool(name) === null);
  if (missing.length === 0) return {};
  const text = missing.map((name) => `needs ${name}: ${howToGet(name)}`).join('; ');
  if (process.env.CI === 'true') throw new Error(`CI=true, and a suite ${text}`);
  return { skip: text };
}

/** The path of a tool that `needsTool` has let through. Throws where it is missing. */
export function requireTool(name: ToolName): string {
  const path = findTool(name);
  if (path === null) throw new Error(`needs ${name}: ${howToGet(name)}`);
  return path;
}

export function isDebian(): boolean {
  try {
    return /^ID=debian$/m.test(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return false;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
