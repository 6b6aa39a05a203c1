import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ImageBoard } from '../boards/board.ts';
import type { Release } from './release.ts';

/**
 * A folder with the ImageBuilder's interface, as its Makefile documents it: `make info`, `make image` with PROFILE,
 * PACKAGES, FILES, BIN_DIR, EXTRA_IMAGE_NAME and ROOTFS_PARTSIZE, packages of one's own in packages/. Its image is a gzipped
 * tar of the root file system with the size asked for beside it, and a package it does not have fails it, as there.
 */
export function writeImageBuilder(folder: string, { openwrt }: ImageBoard, release: Release): void {
  const { target, subtarget, profile, image } = openwrt;
  const base = `https://downloads.openwrt.org/releases/${release.version}/packages`;
  const repositories = release.packages === 'apk' ? 'repositories' : 'repositories.conf';
  mkdirSync(join(folder, 'packages'), { recursive: true });
  writeFileSync(join(folder, repositories), `${base}/base\n`);
  writeFileSync(join(folder, 'packages', 'README'), 'Packages of your own go here.\n');
  writeFileSync(
    join(folder, 'known-packages'),
    'luci block-mount blockd kmod-usb-storage kmod-usb-storage-uas kmod-fs-ext4 ' +
      'kmod-fs-exfat kmod-fs-ntfs3 kmod-fs-vfat kmod-nls-cp437 kmod-nls-iso8859-1 kmod-nls-utf8 ca-bundle umdns\n',
  );
  const name = `openwrt-${release.version}-$(EXTRA_IMAGE_NAME)-${target}-${subtarget}-${profile}`;
  writeFileSync(
    join(folder, 'Makefile'),
    `info:
	@echo 'Current Target: "${target}/${subtarget}"'
	@echo 'Current Revision: "r1-fixture"'
	@echo 'Available Profiles:'
	@echo
	@echo 'other_board:'
	@echo '${profile}:'
	@echo '    Packages: '

image:
	@[ "$(PROFILE)" = "${profile}" ] || { echo 'Profile "$(PROFILE)" does not exist!'; exit 1; }
	@echo 'Building images for ${profile}'
	@echo 'Installing packages...'
	@[ ! -e packages/Packages.gz ] || { echo 'the index is older than the packages' >&2; exit 1; }
	@mkdir -p $(BIN_DIR) rootfs
	@for package in $(PACKAGES); do \\
	  grep -qw -- "$$package" known-packages || ls packages/"$$package"[_-]*.${release.packages} >/dev/null 2>&1 || { \\
	    echo " * opkg_install_cmd: Cannot install package $$package." >&2; exit 255; }; \\
	  echo "$$package - 1"; \\
	done > '$(BIN_DIR)/${name}.manifest'
	@echo 'Finalizing root filesystem...'
	@rm -rf rootfs && mkdir rootfs && cp -fpR $(FILES)/. rootfs && echo $(ROOTFS_PARTSIZE) > rootfs/partsize
	@echo 'Building images...'
	@tar -C rootfs -cf - . | gzip -n > '$(BIN_DIR)/${name}-${image}'
	@touch '$(BIN_DIR)/sha256sums' '$(BIN_DIR)/profiles.json'
	@echo 'Calculating checksums...'
`,
  );
}
