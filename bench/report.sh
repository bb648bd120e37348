#!/usr/bin/env bash
# The report over 2,000 trials and 1,000,000 request rows. bench_report.c says more.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${SPICA_BUILD:-build}
[ -x "$build/bench/bench-report" ] || { echo "bench: $build/bench/bench-report is not there" >&2; exit 1; }
mkdir -p "$build/bench-results/report"
status=0
lines=$("$build/bench/bench-report" "$build/bench-results/report") || status=$?
[ -n "$lines" ] || exit "$((status ? status : 1))"
printf '%s\n' "$lines"
