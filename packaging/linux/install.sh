#!/bin/sh
# Installs the Hearth agent on Debian, Armbian and other Linux with systemd, on arm64, armhf (ARMv7) and x64.
#
#   wget -qO- URL/install.sh | sudo sh -s -- --from URL --key KEY
#   sudo sh install.sh --from FOLDER|URL --key KEY      FOLDER or URL holds the release: hearth-agent_VERSION_ARCH.tar.gz,
#                                                       SHA256SUMS and SHA256SUMS.sig; KEY is the public key that signs
#                                                       it, a file or its second line
#   sudo sh install.sh --uninstall [--purge]            removes the program; --purge its identity and settings too
#
# Nothing is unpacked before the signature over SHA256SUMS and the archive's hash were found right. What is on the
# disk's folder "hearth" is never touched. --root FOLDER works on another root, and starts nothing.

set -eu
umask 022

from='' key='' root='' action=install purge=''
fail() {
	echo "install.sh: $*" >&2
	exit 1
}

while [ $# -gt 0 ]; do
	case "$1" in
		--from | --key | --root) [ $# -ge 2 ] || fail "$1 wants a value" ;;
	esac
	case "$1" in
		--from) from=$2 && shift ;;
		--key) key=$2 && shift ;;
		--root) root=${2%/} && shift ;;
		--uninstall) action=uninstall ;;
		--purge) purge=1 ;;
		*) fail "unknown argument $1; see the head of this file" ;;
	esac
	shift
done

[ "$(id -u)" = 0 ] || fail 'root is needed: put sudo before it'

on_system() {
	[ -z "$root" ] && [ -d /run/systemd/system ]
}

uninstall() {
	if on_system; then
		systemctl disable --now hearth.service 2>/dev/null || true
	fi
	rm -rf "$root/usr/lib/hearth" "$root/usr/lib/hearth.old" "$root/usr/share/hearth"
	rm -f "$root/etc/systemd/system/hearth.service" "$root/etc/sysctl.d/90-hearth.conf"
	rm -f "$root/etc/systemd/system/multi-user.target.wants/hearth.service"
	if [ -n "$purge" ]; then rm -rf "$root/etc/hearth" "$root/var/lib/hearth"; fi
	on_system && systemctl daemon-reload
	echo 'Hearth is removed.'
}

get() {
	case "$from" in
		http://* | https://*)
			if command -v curl >/dev/null; then
				curl -fsSL --retry 3 -o "$work/$1" "$from/$1" || fail "cannot download $from/$1"
			else
				wget -q -O "$work/$1" "$from/$1" || fail "cannot download $from/$1"
			fi
			;;
		*) cp "$from/$1" "$work/$1" || fail "there is no $from/$1" ;;
	esac
}

# Ed25519 by openssl, which is on every Debian: signify's format is taken apart here.
verify() {
	if [ -f "$key" ]; then key=$(sed -n 2p "$key"); fi
	printf '%s' "$key" | base64 -d >"$work/key" 2>/dev/null || fail 'this is no public key: it is not base64'
	sed -n 2p "$work/SHA256SUMS.sig" | base64 -d >"$work/sig" 2>/dev/null || fail 'SHA256SUMS.sig is no signature'
	[ "$(wc -c <"$work/key")" = 42 ] || fail 'this is no public key: it wants 42 bytes'
	[ "$(wc -c <"$work/sig")" = 74 ] || fail 'SHA256SUMS.sig is no signature: it wants 74 bytes'
	# 0 2a 30 ...: the head of an Ed25519 public key in DER.
	{ printf '\060\052\060\005\006\003\053\145\160\003\041\000' && tail -c 32 "$work/key"; } >"$work/key.der"
	tail -c 64 "$work/sig" >"$work/sig.raw"
	command -v openssl >/dev/null || fail 'openssl is needed to check the signature: apt-get install openssl'
	openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/key.der" -rawin \
		-in "$work/SHA256SUMS" -sigfile "$work/sig.raw" >/dev/null 2>&1 ||
		fail 'the signature over SHA256SUMS is not of this key: nothing was installed'
}

arch() {
	case "$(uname -m)" in
		aarch64 | arm64) if [ "$(getconf LONG_BIT)" = 32 ]; then echo armv7; else echo arm64; fi ;;
		armv7* | armv8l) echo armv7 ;;
		x86_64) if [ "$(getconf LONG_BIT)" = 64 ]; then echo x64; else fail 'no build for 32-bit x86'; fi ;;
		*) fail "no build for $(uname -m): there are arm64, armv7 and x64" ;;
	esac
}

install_release() {
	if [ -z "$from" ] || [ -z "$key" ]; then fail '--from and --key are needed; see the head of this file'; fi
	for tool in tar gzip sha256sum base64; do
		command -v "$tool" >/dev/null || fail "$tool is needed"
	done
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	get SHA256SUMS
	get SHA256SUMS.sig
	verify
	target=$(arch)
	name=$(sed -n "s/^[0-9a-f]\{64\}  \(hearth-agent_[0-9A-Za-z.-]*_$target\.tar\.gz\)\$/\1/p" "$work/SHA256SUMS" | head -n 1)
	[ -n "$name" ] || fail "this release has nothing for $target"
	get "$name"
	(cd "$work" && grep "  $name\$" SHA256SUMS | sha256sum -c - >/dev/null 2>&1) ||
		fail "$name is not what SHA256SUMS says: nothing was installed"

	if [ -z "$root" ]; then
		getent group hearth >/dev/null || groupadd --system hearth
		getent passwd hearth >/dev/null ||
			useradd --system --gid hearth --home-dir /var/lib/hearth --no-create-home --shell /usr/sbin/nologin hearth
	fi
	mkdir "$work/new"
	tar -xzf "$work/$name" -C "$work/new" --no-same-owner
	# Beside the old one first: a program is never half of each.
	mkdir -p "$root/usr/lib" "$root/usr/share/hearth" "$root/etc/hearth" "$root/etc/systemd/system" "$root/etc/sysctl.d"
	rm -rf "$root/usr/lib/hearth.new" "$root/usr/lib/hearth.old"
	cp -a "$work/new/usr/lib/hearth" "$root/usr/lib/hearth.new"
	if [ -d "$root/usr/lib/hearth" ]; then mv "$root/usr/lib/hearth" "$root/usr/lib/hearth.old"; fi
	mv "$root/usr/lib/hearth.new" "$root/usr/lib/hearth"
	rm -rf "$root/usr/lib/hearth.old" "$root/usr/share/hearth/webui"
	cp -a "$work/new/usr/share/hearth/webui" "$root/usr/share/hearth/webui"
	cp "$work/new/etc/systemd/system/hearth.service" "$root/etc/systemd/system/hearth.service"
	cp "$work/new/etc/sysctl.d/90-hearth.conf" "$root/etc/sysctl.d/90-hearth.conf"
	if [ ! -e "$root/etc/hearth/options" ]; then
		echo '# HEARTH_NAME=VALUE, one a line; systemctl restart hearth afterwards.' >"$root/etc/hearth/options"
		chmod 0600 "$root/etc/hearth/options"
	fi
	if on_system; then
		sysctl -q -p /etc/sysctl.d/90-hearth.conf || true
		systemctl daemon-reload
		systemctl enable hearth.service
		systemctl restart hearth.service
		echo "Hearth runs. Its dashboard: http://$(hostname):7070/"
	else
		echo 'Hearth is installed. systemd does not run here: start it by systemctl enable --now hearth.'
	fi
}

case "$action" in
	install) install_release ;;
	uninstall) uninstall ;;
esac
exit 0
