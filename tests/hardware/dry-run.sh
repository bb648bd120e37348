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
export H100_ROOT=$work/h100 FAKE_NVML_WORLD=$work/world SPICA_LOCK_DIR=$work/lock
export SPICA_NVML_LIBRARY=$build/tests/fakes/libfake-nvml.so FAKE=$build/tests/fakes/fake-service
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

make_world() {
    mkdir -p "$work"/{world,lock,bin,kit/examples}
    : >"$work/world/began"
    echo "card GPU-00000000-1111-2222-3333-444444444444 0000:41:00.0 81559 480 NVIDIA H100 80GB HBM3" \
        >"$work/world/world"
    ln -s "$FAKE" "$work/bin/hold"
    cat >"$work/bin/python3" <<'PYTHON'
#!/bin/bash
card="--gpu $FAKE_NVML_WORLD --life 10m"
case "$*" in
    *hold.py*)
        while (($#)); do case $1 in --leave) leave=$2 ;; --ready) ready=$2 ;; esac; shift; done
        echo "hold: all but $leave MiB held" && echo 0 >"$ready"
        exec hold $card --gpu-hold "$((81079 - leave))M" ;;
    *vllm.entrypoints*)
        shift 2
        printf '%s\n' "--gpu $FAKE_NVML_WORLD" "--life 10m" "--latency 40ms" >"$H100_ROOT/vllm.script"
        FAKE_SERVICE_SCRIPT=$H100_ROOT/vllm.script exec "$FAKE" --as vllm "$@" ;;
    *openai_whisper_server.py*)
        memory=900M; [[ $2 == *tiny* ]] || memory=1100M
        exec "$FAKE" $card --kind stt --port "$3" --gpu-memory $memory --latency 20ms \
            --transcripts lab/speech/manifest.jsonl ;;
    *) exec /usr/bin/python3 "$@" ;;
esac
PYTHON
    chmod +x "$work/bin/python3"
    export PATH=$work/bin:$PATH
}

# As tools/gpu-lab/setup leaves it, so that it finds nothing more to do.
make_lab() {
    local lab=$H100_ROOT/lab root=$here/../..
    mkdir -p "$lab"/{site/whisper,llm-7b} "$H100_ROOT/parts"
    touch "$lab"/{.unpacked,site/.installed,whisper-{tiny.en,base}.{ct2,pt}}
    echo '{}' >"$lab/llm-7b/config.json"
    cp -rL "$root/build/demo/speech-real" "$lab/speech"
    cp "$root/tools/corpus/prompts.jsonl" "$lab/"
    mkdir -p "$lab/llama/llama.cpp/build/bin"
    ln -s "$FAKE" "$lab/llama/llama.cpp/build/bin/llama-server"
    printf GGUF >"$lab/smollm2-135m-q4_1.gguf"
}

make_kit() {
    cp "$bundle" "$work/kit/"
    cp "$here"/{h100.sh,export_study.py} "$here/../../tools/gpu-lab/setup" "$work/kit/"
    cp -r "$here/../../examples/h100" "$work/kit/examples/"
    sed -i -E 's/window: [0-9]+s/window: 2s/; s/warmup: [0-9]s/warmup: 0s/' \
        "$work"/kit/examples/h100/*.yaml
    sed -i -E 's/^measure: \{/&contention: 100%, lateness: 100ms, /' "$work"/kit/examples/h100/*.yaml
    : >"$work/kit/examples/openai_whisper_server.py"
}

make_world
make_lab
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
