#!/usr/bin/env bash
# The load worker as an instrument, in three scenes against the fake service (1,000 requests a second on new connections;
# 5,000 of 1 KiB JSON on kept ones; 2,000 streams at once), beside a bare clock_nanosleep sender in the same seconds.
# bench_load.c says more. load.sh [SECONDS [SCENE...]]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${SPICA_BUILD:-build}
seconds=${1:-20}
shift $(($# > 0))
[ $# -gt 0 ] || set -- send json streams
worst=0
for scene in "$@"; do
    status=0
    lines=$("$build/bench/bench-load" "$build/tests/fakes/fake-service" "$seconds" "$scene") || status=$?
    # It ends with 1 also when a number fell short; without numbers it could not measure.
    [ -n "$lines" ] || worst=$((status ? status : 1))
    awk 'NF { floor = sub(/\.floor$/, "_floor", $1); gsub(/\./, "_", $1)
              print $1, $2, $3, floor ? "-" : $4, floor ? "-" : $5 }' <<<"$lines"
done
exit "$worst"
