#!/bin/sh
# OpenWrt's CI runs this where the packages of this folder were installed: test.sh PACKAGE VERSION.

[ "$1" = hearth-agent ] || exit 0
said=$(/usr/lib/hearth/hearth-agent --version) || exit 1
echo "$said"
# What the package calls itself has its own release number behind.
case $said in
	*"\"version\":\"${2%-r*}\""*) ;;
	*)
		echo "this is not version ${2%-r*}" >&2
		exit 1
		;;
esac
for file in /etc/init.d/hearth /etc/config/hearth /usr/lib/hearth/launch.sh /usr/share/hearth/webui/index.html; do
	[ -s "$file" ] || {
		echo "$file is missing" >&2
		exit 1
	}
done
