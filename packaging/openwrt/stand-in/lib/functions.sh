# shellcheck shell=dash disable=SC1090,SC2013,SC3043
# As OpenWrt's: UCI files into variables, and what packages do when they are installed and removed.

config() {
	CONFIG_SECTION=${2:-cfg$((CONFIG_COUNT = ${CONFIG_COUNT:-0} + 1))}
	CONFIG_SECTIONS="$CONFIG_SECTIONS $CONFIG_SECTION"
	eval "CONFIG_${CONFIG_SECTION}_TYPE=\$1"
}
option() { eval "CONFIG_${CONFIG_SECTION}_$1=\$2"; }
list() { eval "CONFIG_${CONFIG_SECTION}_$1=\"\${CONFIG_${CONFIG_SECTION}_$1:+\$CONFIG_${CONFIG_SECTION}_$1 }\$2\""; }
package() { return 0; }

config_load() {
	[ -z "$IPKG_INSTROOT" ] || return 0
	CONFIG_SECTIONS=
	[ ! -r "${UCI_CONFIG_DIR:-/etc/config}/$1" ] || . "${UCI_CONFIG_DIR:-/etc/config}/$1"
}
config_get() { eval "$1=\${CONFIG_$2_$3:-\$4}"; }

user_exists() { grep -qs "^$1:" "$IPKG_INSTROOT/etc/passwd"; }
group_exists() { grep -qs "^$1:" "$IPKG_INSTROOT/etc/group"; }

# Require-User: name=uid:group=gid
add_group_and_user() {
	local tuple user group
	tuple=$(sed -n 's/^Require-User: *//p' "$IPKG_INSTROOT/usr/lib/opkg/info/$1.control")
	[ -n "$tuple" ] || return 0
	user=${tuple%%:*}
	group=${tuple#*:}
	group_exists "${group%%=*}" || echo "${group%%=*}:x:${group#*=}:" >>"$IPKG_INSTROOT/etc/group"
	user_exists "${user%%=*}" || {
		echo "${user%%=*}:x:${user#*=}:${group#*=}:${user%%=*}:/var/run/${user%%=*}:/bin/false" >>"$IPKG_INSTROOT/etc/passwd"
		echo "${user%%=*}:x:0:0:99999:7:::" >>"$IPKG_INSTROOT/etc/shadow"
	}
}

default_postinst() {
	local pkgname list file
	pkgname=$(basename "${1%.*}")
	list=$IPKG_INSTROOT/usr/lib/opkg/info/$pkgname.list
	add_group_and_user "$pkgname"
	if [ -z "$IPKG_INSTROOT" ]; then
		for file in $(grep -s '^/etc/uci-defaults/' "$list"); do
			# shellcheck disable=SC2015
			([ -f "$file" ] && cd "$(dirname "$file")" && . "$file") && rm -f "$file"
		done
	fi
	for file in $(grep -s '^/etc/init.d/' "$list"); do
		sh "$IPKG_INSTROOT/etc/rc.common" "$IPKG_INSTROOT$file" enable
		[ -n "$IPKG_INSTROOT" ] || "$file" start
	done
	return 0
}

default_prerm() {
	local pkgname file ret=0
	pkgname=$(basename "${1%.*}")
	if [ -f "$IPKG_INSTROOT/usr/lib/opkg/info/$pkgname.prerm-pkg" ]; then
		(. "$IPKG_INSTROOT/usr/lib/opkg/info/$pkgname.prerm-pkg")
		ret=$?
	fi
	for file in $(grep -s '^/etc/init.d/' "$IPKG_INSTROOT/usr/lib/opkg/info/$pkgname.list"); do
		sh "$IPKG_INSTROOT/etc/rc.common" "$IPKG_INSTROOT$file" disable
		[ -n "$IPKG_INSTROOT" ] || "$file" stop
	done
	return $ret
}
