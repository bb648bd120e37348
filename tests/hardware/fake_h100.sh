# Sourced by the dry runs: one H100 of the fake driver in $work/world, a python3 before the real one on PATH
# that starts fake services, and a lab as tools/gpu-lab/setup leaves one. Wants $here, $build (a build
# folder, absolute) and $work (a folder).
# shellcheck shell=bash

: "${here:?}" "${build:?}" "${work:?}"
root=$here/../..
export H100_ROOT=$work/h100 FAKE_NVML_WORLD=$work/world SPICA_LOCK_DIR=$work/lock
export SPICA_NVML_LIBRARY=$build/tests/fakes/libfake-nvml.so FAKE=$build/tests/fakes/fake-service
lab=$H100_ROOT/lab

# usage: make_world TINY_LATENCY BASE_LATENCY [SLOTS]      how long a Whisper takes, and how many it takes at once
make_world() {
    mkdir -p "$work"/{world,lock,bin}
    : >"$work/world/began"
    echo "card GPU-00000000-1111-2222-3333-444444444444 0000:41:00.0 81559 480 NVIDIA H100 80GB HBM3" \
        >"$work/world/world"
    ln -sf "$FAKE" "$work/bin/hold"
    cat >"$work/bin/python3" <<'PYTHON'
#!/bin/bash
card="--gpu $FAKE_NVML_WORLD --gpu-sm 30 --life 30m"
case "$*" in
    *hold.py*)
        while (($#)); do case $1 in --leave) leave=$2 ;; --ready) ready=$2 ;; esac; shift; done
        used=$(cat "$FAKE_NVML_WORLD"/*.gpu 2>/dev/null | awk '/^process/ { sum += $4 } END { print int(sum) }')
        echo "hold: all but $leave MiB held" && echo 0 >"$ready"
        exec hold $card --gpu-hold "$((81079 - used - leave))M" ;;
    *vllm.entrypoints*)
        shift 2
        printf '%s\n' "--gpu $FAKE_NVML_WORLD" "--life 30m" "--latency 40ms" >"$H100_ROOT/vllm-$$.script"
        FAKE_SERVICE_SCRIPT=$H100_ROOT/vllm-$$.script exec "$FAKE" --as vllm "$@" ;;
    *openai_whisper_server.py*)
        memory=900M latency=$FAKE_TINY; [[ $2 == *tiny* ]] || memory=1100M latency=$FAKE_BASE
        exec "$FAKE" $card --kind stt --port "$3" --gpu-memory $memory --latency $latency \
            ${FAKE_SLOTS:+--slots $FAKE_SLOTS} --transcripts lab/speech/manifest.jsonl ;;
    *) exec /usr/bin/env -u PYTHONHOME "$REAL_PYTHON" "$@" ;;
esac
PYTHON
    chmod +x "$work/bin/python3"
    REAL_PYTHON=$(python3 -c 'import sys; print(sys.executable)')
    export REAL_PYTHON FAKE_TINY=$1 FAKE_BASE=$2 FAKE_SLOTS=${3:-} PATH=$work/bin:$PATH
}

make_lab() {
    mkdir -p "$lab"/{site/whisper,llm-7b,llama/llama.cpp/build/bin} "$H100_ROOT/parts"
    touch "$lab"/{.unpacked,site/.installed,whisper-{tiny.en,base}.{ct2,pt}}
    echo '{}' >"$lab/llm-7b/config.json"
    printf GGUF >"$lab/smollm2-135m-q4_1.gguf"
    cp -rL "$root/build/demo/speech-real" "$lab/speech"
    cp "$root/tools/corpus/prompts.jsonl" "$lab/"
}
