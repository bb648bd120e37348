#!/usr/bin/env bash
# The report over 2,000 trials and 1,000,000 request rows. bench_report.c says more.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${SPICA_BUILD:-build}
[ -x "$build/bench/bench-report" ] || { echo "bench: $build/bench/bench-report is not there" >&2; exit 1; }
folder=$build/bench-results/report
rm -rf "$folder"
mkdir -p "$folder"
status=0
lines=$("$build/bench/bench-report" "$folder") || status=$?
rm -f "$folder"/study.db* # 100 MB that nobody reads again
[ -n "$lines" ] || exit "$((status ? status : 1))"
printf '%s\n' "$lines"
