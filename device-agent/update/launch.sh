#!/bin/sh
# Starts the agent: the installed version on trial, else the one that was kept, else the packaged one, which is always
# the last resort. A service manager starts this, always by the same path; it stays, as the parent of what it started.
#
#   launch.sh PACKAGED-AGENT [ARGUMENT...]
#
#   HEARTH_STATE_DIR           update/choice in it is written by the agent: what is on trial, what is kept
#   HEARTH_PACKAGED_VERSION    of PACKAGED-AGENT: what is older than it is not started
#   HEARTH_UPDATE_RUNNER       words before an installed executable's path, such as a loader with its arguments
#   HEARTH_UPDATE_DEADLINE_MS  how long a version may take to prove itself (240000)
#   HEARTH_DRAIN_MS            how long running responses may take to end when it is told to stop (10000)
#
# POSIX sh, and of programs only sha256sum, sync, sleep, mv and grep: BusyBox has them all.

state=${HEARTH_STATE_DIR:?must be set}/update
# A quarter more than it allows itself: it starts later than it was started, and may end by its own judgement.
deadline_s=$((${HEARTH_UPDATE_DEADLINE_MS:-240000} / 800))
# So many starts without proof, and a version is given up.
most_starts=3
# A kept version that ends sooner than this, so often in a row, is given up as well.
early_s=60
# The agent asks for this: start what the choice says now.
again=75

# Two seconds less than procd gives it. What is no number the agent refuses, with words.
case ${HEARTH_DRAIN_MS:-} in
  '' | *[!0-9]* | 0?*) stop_s=18 ;;
  *) stop_s=$((HEARTH_DRAIN_MS / 1000 + 8)) ;;
esac

stopping=
child=
forcing=
trap 'stopping=1; [ -z "$child" ] || end_child' TERM INT HUP

end_child() {
  kill -TERM "$child" 2>/dev/null
  [ -z "$forcing" ] || return 0
  forcing=1
  force "$child" &
}

# Ends a version that hangs: OpenWrt's jail would end this shell alone, and the version would keep ports and disk.
force() {
  waited=0
  while [ "$waited" -lt "$stop_s" ]; do
    sleep 1
    waited=$((waited + 1))
    kill -0 "$1" 2>/dev/null || return 0
  done
  say "the agent did not stop within $stop_s s"
  kill -KILL "$1" 2>/dev/null
}

say() { echo "{\"level\":40,\"program\":\"launcher\",\"msg\":\"$*\"}"; }

# Time since boot: the clock may be set meanwhile.
uptime_s() {
  if read -r up _ 2>/dev/null </proc/uptime; then echo "${up%%.*}"; else date +%s; fi
}

# newer A B: version A is newer than B. What is no version is not newer than anything.
newer() {
  case $1$2 in *[!0-9.]*) return 1 ;; esac
  a=$1. b=$2.
  while [ -n "$a" ]; do
    x=${a%%.*} y=${b%%.*} a=${a#*.} b=${b#*.}
    [ "${x:-0}" -gt "${y:-0}" ] && return 0
    [ "${x:-0}" -lt "${y:-0}" ] && return 1
  done
  return 1
}

# The choice is one whole file or none: it is replaced by a rename, and ends with a line that says so.
read_choice() {
  trial_sha='' trial_version='' trial_path='' kept_sha='' kept_version='' kept_path='' whole=''
  [ -f "$state/choice" ] || return 0
  while read -r kind sha version path; do
    case $kind in
      trial) trial_sha=$sha trial_version=$version trial_path=$path ;;
      kept) kept_sha=$sha kept_version=$version kept_path=$path ;;
      end) whole=1 ;;
    esac
  done <"$state/choice"
  [ -n "$whole" ] || { trial_sha='' kept_sha=''; }
}

read_starts() {
  starts_sha='' starts=0 starts_why=crashed
  [ ! -f "$state/starts" ] || read -r starts_sha starts starts_why <"$state/starts"
  case $starts in '' | *[!0-9]*) starts=0 ;; esac
  [ "$starts_sha" = "$trial_sha" ] || { starts=0 starts_why=crashed; }
}

# Counted before the start, and on the disk before it: a version may take the power with it.
write_starts() {
  { echo "$1 $2 $3" >"$state/starts.new"; } 2>/dev/null && mv "$state/starts.new" "$state/starts" && sync
}

# state_of PATH SHA: ok, missing or damaged. The disk comes from outside: what it holds is believed by its hash.
state_of() {
  [ -f "$1" ] || { echo missing; return; }
  sum=$(sha256sum <"$1" 2>/dev/null)
  if [ "${sum%% *}" = "$2" ]; then echo ok; else echo damaged; fi
}

# Ends a version on trial that has not proved itself in time: it may hang, and then nothing else would end it.
watch() {
  waited=0
  while [ "$waited" -lt "$deadline_s" ]; do
    sleep 1
    waited=$((waited + 1))
    kill -0 "$1" 2>/dev/null || return 0
    ! grep -q "^kept $2 " "$state/choice" 2>/dev/null || return 0
  done
  say "the version on trial did not prove itself within $deadline_s s"
  write_starts "$2" "$most_starts" timeout
  kill -KILL "$1" 2>/dev/null
}

kept_ends=0
while :; do
  read_choice
  run=packaged trial_note='' kept_note=''
  if [ -n "$trial_sha" ]; then
    read_starts
    if [ "$starts" -ge "$most_starts" ]; then
      trial_note=$starts_why
    else
      trial_note=$(state_of "$trial_path" "$trial_sha")
      if [ "$trial_note" = ok ]; then
        if write_starts "$trial_sha" "$((starts + 1))" crashed; then run=trial; else trial_note=unwritable; fi
      fi
    fi
  fi
  if [ "$run" = packaged ] && [ -n "$kept_sha" ]; then
    if [ "$kept_ends" -ge "$most_starts" ]; then
      kept_note=crashed
    elif newer "${HEARTH_PACKAGED_VERSION:-}" "$kept_version"; then
      kept_note=older
    else
      kept_note=$(state_of "$kept_path" "$kept_sha")
      [ "$kept_note" != ok ] || run=kept
    fi
  fi
  [ -z "$stopping" ] || exit 0

  export HEARTH_LAUNCH="$run" HEARTH_LAUNCH_TRIAL="$trial_note" HEARTH_LAUNCH_KEPT="$kept_note" HEARTH_LAUNCHER_PID=$$
  began=$(uptime_s)
  watcher=
  case $run in
    trial)
      say "version $trial_version is on trial, start $((starts + 1)) of $most_starts"
      # shellcheck disable=SC2086 # words, to be split
      ${HEARTH_UPDATE_RUNNER:-} "$trial_path" </dev/null &
      ;;
    kept)
      # shellcheck disable=SC2086
      ${HEARTH_UPDATE_RUNNER:-} "$kept_path" </dev/null &
      ;;
    packaged) "$@" </dev/null & ;;
  esac
  child=$!
  [ -z "$stopping" ] || end_child
  if [ "$run" = trial ]; then
    watch "$child" "$trial_sha" &
    watcher=$!
  fi
  # A signal ends a wait early.
  wait "$child"
  status=$?
  while kill -0 "$child" 2>/dev/null; do
    wait "$child"
    status=$?
  done
  child=
  [ -z "$watcher" ] || kill "$watcher" 2>/dev/null
  [ -z "$stopping" ] || exit "$status"

  lived=$(($(uptime_s) - began))
  if [ "$run" = kept ] && [ "$status" -ne "$again" ] && [ "$lived" -lt "$early_s" ]; then
    kept_ends=$((kept_ends + 1))
    say "version $kept_version ended with $status after $lived s, $kept_ends of $most_starts"
  else
    kept_ends=0
  fi
  # The packaged one is the service manager's to start again.
  [ "$run" != packaged ] || [ "$status" -eq "$again" ] || exit "$status"
  sleep 1 &
  child=$!
  wait "$child"
  child=
done
