#!/usr/bin/env bash
# The load worker as an instrument: 1,000 requests a second for 20 s against the fake service, beside a
# bare clock_nanosleep sender in the same seconds. bench_load.c says more.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${SPICA_BUILD:-build}
status=0
lines=$("$build/bench/bench-load" "$build/tests/fakes/fake-service" "${1:-20}") || status=$?
# It ends with 1 also when a number fell short; without numbers it could not measure.
[ -n "$lines" ] || exit "$((status ? status : 1))"
awk '{ floor = sub(/\.floor$/, "_floor", $1); gsub(/\./, "_", $1)
       print $1, $2, $3, floor ? "-" : $4, floor ? "-" : $5 }' <<<"$lines"
