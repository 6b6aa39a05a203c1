# shellcheck shell=dash disable=SC2120,SC3043
# As OpenWrt's, for those that call it; see README.md for what it does instead.

PROCD_CALLS=${PROCD_CALLS:-/run/procd}

_procd_say() {
	printf '%s\037' "$@" >>"$_procd_draft"
	echo >>"$_procd_draft"
}

for _verb in open_instance close_instance set_param append_param add_jail open_data close_data \
	add_reload_trigger add_action_mount_trigger; do
	eval "procd_$_verb() { _procd_say $_verb \"\$@\"; }"
done
for _verb in add_object add_array add_string close_object close_array; do
	eval "json_$_verb() { _procd_say json_$_verb \"\$@\"; }"
done
unset _verb

procd_open_service() {
	PROCD_SERVICE=$1
	mkdir -p "$PROCD_CALLS"
	# Each caller its own: a disk that comes makes several.
	_procd_draft=$PROCD_CALLS/.$1.$$
	rm -f "$_procd_draft"
	_procd_say open_service "$@"
}
procd_close_service() {
	service_triggers
	_procd_say close_service "$@"
	# Whole or not at all, for whoever looks.
	mv "$_procd_draft" "$PROCD_CALLS/$PROCD_SERVICE"
}
procd_kill() { rm -f "$PROCD_CALLS/$1"; }
procd_set_config_changed() { echo "$1" >>"$PROCD_CALLS/.changed"; }
procd_add_mdns_service() { _procd_say add_mdns_service "$@"; }
procd_add_validation() { "$@"; }

# uci_load_validate PACKAGE TYPE SECTION FUNCTION NAME:TYPE:DEFAULT...; without a section it tells the types.
uci_load_validate() {
	local _package=$1 _type=$2 _name=$3 _function=$4 _option _result
	shift 4
	if [ -z "$_name" ]; then
		for _option in "$@"; do _procd_say validation "$_package" "$_type" "$_option"; done
		return 0
	fi
	for _option in "$@"; do
		eval "local ${_option%%:*}"
	done
	_result=$(/sbin/validate_data "$_package" "$_type" "$_name" "$@" 2>/dev/null)
	_option=$?
	eval "$_result"
	[ $_option = 0 ] || /sbin/validate_data "$_package" "$_type" "$_name" "$@" >/dev/null
	"$_function" "$_name" "$_option"
}
