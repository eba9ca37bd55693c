# shellcheck shell=bash
# Shared by the set-up scripts: source it, it runs nothing by itself.
set -euo pipefail

# Tools that every clone on this machine shares, so that a second clone builds nothing again.
SOCLE_TOOLS=/usr/local/lib/socle
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Counted from the first script on, through the scripts that it calls.
export SOCLE_SETUP_START=${SOCLE_SETUP_START:-$(date +%s)}

# say TEXT: one line per step, with the seconds since set-up began, on stderr (stdout is data).
say() { printf 'setup %4ds  %s\n' "$(($(date +%s) - SOCLE_SETUP_START))" "$*" >&2; }

# die TEXT REMEDY: what is wrong, and what to do about it.
die() {
  printf 'setup: %s\n  remedy: %s\n' "$1" "$2" >&2
  exit 2
}

# with_heartbeat TEXT LOG COMMAND...: runs COMMAND with its output added to LOG, saying TEXT every 30 s so that
# long work is seen to live.
with_heartbeat() {
  local text=$1 log=$2 worker ticker result=0
  shift 2
  "$@" >>"$log" 2>&1 </dev/null &
  worker=$!
  # The sleep holds none of our outputs: whoever reads them must not wait for it.
  (while sleep 30 &>/dev/null && kill -0 "$worker" 2>/dev/null; do say "$text"; done) &
  ticker=$!
  wait "$worker" || result=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  return "$result"
}

# version_within VERSION LOWEST ABOVE: true when LOWEST <= VERSION < ABOVE, by Debian's own ordering.
version_within() {
  dpkg --compare-versions "${1#v}" ge "$2" && dpkg --compare-versions "${1#v}" lt "$3"
}
