#!/bin/bash
# h100.sh and the studies of examples/h100 without a GPU: the fake driver shows one H100, and a python3 of
# our own on PATH starts fake services for vLLM, Whisper and the neighbour. Whatever can go wrong in the
# scripts and study files goes wrong here, where minutes cost nothing.
#
# usage: tests/hardware/dry-run.sh BUILD_FOLDER BUNDLE [STUDY...]      (default: cuda-empty and whisper-starved)
#
# Windows are cut to 2 s. The whole takes about two minutes.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(cd "${1:?BUILD_FOLDER}" && pwd)
bundle=$(readlink -f "${2:?BUNDLE}")
shift 2
(($#)) || set -- cuda-empty whisper-starved
work=$(mktemp -d)
# shellcheck source-path=SCRIPTDIR source=fake_h100.sh
. "$here/fake_h100.sh"
h100=$work/kit/h100.sh

end() {
    "$h100" release >/dev/null 2>&1 || :
    for study in "$H100_ROOT"/run-*.pid; do
        study=${study##*/run-}
        [[ ! -f $H100_ROOT/run-$study ]] || "$h100" stop "${study%.pid}" >/dev/null 2>&1 || :
    done
    rm -rf "$work"
}
trap end EXIT

fail() {
    printf 'dry-run: %s\n' "$@" >&2
    exit 1
}

make_kit() {
    mkdir -p "$work/kit/examples"
    cp "$bundle" "$work/kit/"
    cp "$here"/{h100.sh,export_study.py} "$root/tools/gpu-lab/setup" "$work/kit/"
    cp -r "$root/examples/h100" "$work/kit/examples/"
    sed -i -E 's/window: [0-9]+s/window: 2s/; s/warmup: [0-9]s/warmup: 0s/' \
        "$work"/kit/examples/h100/*.yaml
    sed -i -E 's/^measure: \{/&contention: 100%, lateness: 100ms, /' "$work"/kit/examples/h100/*.yaml
    : >"$work/kit/examples/openai_whisper_server.py"
}

make_world 20ms 20ms
make_lab
ln -s "$FAKE" "$lab/llama/llama.cpp/build/bin/llama-server"
make_kit
"$h100" setup
"$h100" warm
for study in "$H100_ROOT"/studies/h100/*.yaml; do
    (cd "$(dirname "$study")" && "$H100_ROOT/spica/bin/spica" check "$study" >"$work/check.txt" 2>&1) ||
        fail "${study##*/} is refused:" "$(cat "$work/check.txt")"
    sed -n 's/^/check: /; /about/p' "$work/check.txt" | sed -n 1p
done
for study in "$@"; do
    case $study in
        neighbour | llm-too-large) "$h100" hold 34300 ;;
        whisper-starved) "$h100" hold 1000 ;;
    esac
    "$h100" start "$study"
    "$h100" wait "$study" 1 || :
    "$h100" stop "$study"
    "$h100" start "$study"
    "$h100" wait "$study" 400 || [[ $? -eq 3 ]] || fail "$study did not end well"
    "$h100" release
done
"$h100" state
"$h100" collect "$work/out"
tar -tJf "$work/out/h100.tar.xz" | grep -v '\.yaml$'
tar -xJf "$work/out/h100.tar.xz" -C "$work/out"
for study in "$@"; do
    xzcat "$work/out/h100/$study/study.sql.xz" | /usr/bin/python3 -c '
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.executescript(sys.stdin.read())
print(*db.execute("SELECT number, candidate, verdict, summary FROM trials"), sep="\n")' \
        "$work/out/again-$study.db"
done
