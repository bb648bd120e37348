#!/bin/bash
# promote.sh without a GPU: the fake driver shows one H100, and fake services stand for Whisper and
# llama-server, which without a visible card compute on the CPU and say that they are well.
#
# usage: tests/hardware/promote_dry_run.sh BUILD_FOLDER SPICA [FOLDER]   (SPICA: the program, or a bundle)
#
# Two minutes. The lines of summary.txt are printed as they come.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
build=$(cd "${1:?BUILD_FOLDER}" && pwd)
program=$(readlink -f "${2:?SPICA}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=${3:-$work/out}
export H100_ROOT=$work/h100 FAKE_NVML_WORLD=$work/world SPICA_LOCK_DIR=$work/lock
export SPICA_NVML_LIBRARY=$build/tests/fakes/libfake-nvml.so FAKE=$build/tests/fakes/fake-service
lab=$H100_ROOT/lab server=$H100_ROOT/lab/llama/llama.cpp/build/bin/llama-server

mkdir -p "$work"/{world,lock,bin} "$lab/site" "$H100_ROOT/spica/bin" "$(dirname "$server")"
: >"$work/world/began"
echo "card GPU-00000000-1111-2222-3333-444444444444 0000:41:00.0 81559 480 NVIDIA H100 80GB HBM3" \
    >"$work/world/world"
if [[ $program == *.tar.xz ]]; then
    tar -xJf "$program" -C "$H100_ROOT/spica" --strip-components=1
else
    ln -s "$program" "$H100_ROOT/spica/bin/spica"
fi

cat >"$work/bin/python3" <<'PYTHON'
#!/bin/bash
case "$*" in
    *openai_whisper_server.py*)
        memory=900M latency=20ms; [[ $2 == *tiny* ]] || memory=1100M latency=250ms
        exec "$FAKE" --gpu "$FAKE_NVML_WORLD" --gpu-sm 30 --life 10m --kind stt --port "$3" \
            --gpu-memory $memory --latency $latency --transcripts lab/speech/manifest.jsonl ;;
    *) exec /usr/bin/python3 "$@" ;;
esac
PYTHON
# Four at once where it has four slots: else each waits for three others.
cat >"$server" <<'LLAMA'
#!/bin/bash
[[ ${1:-} != --version ]] || { echo "version: 5172 (eb1776b1)"; exit; }
latency=200ms; [[ "$*" != *"--parallel 4"* ]] || latency=20ms
printf '%s\n' "--gpu $FAKE_NVML_WORLD" "--gpu-memory 1200M" "--gpu-sm 30" "--life 10m" \
    "--latency $latency" >"$H100_ROOT/llama-$$.script"
FAKE_SERVICE_SCRIPT=$H100_ROOT/llama-$$.script exec "$FAKE" --as llama-server "$@"
LLAMA
chmod +x "$work/bin/python3" "$server"
export PATH=$work/bin:$PATH

cp -rL "$root/build/demo/speech-real" "$lab/speech"
cp "$root/tools/corpus/prompts.jsonl" "$lab/"
touch "$lab"/whisper-{tiny.en,base}.pt
printf GGUF >"$lab/smollm2-135m-q4_1.gguf"

# Other work is on these machines, and a fake's own words are not what the card's are.
mkdir -p "$work/kit/tests/hardware" "$work/kit/examples"
cp "$here/promote.sh" "$work/kit/tests/hardware/"
cp -r "$root/examples/h100" "$root/examples/openai_whisper_server.py" "$work/kit/examples/"
sed -i -E 's/^measure: \{.*/measure: {warmup: 0s, window: 2s, alone: 0s, repeats: 3, contention: 100%, lateness: 100ms}/' \
    "$work/kit/examples/h100/promote.yaml"
"$work/kit/tests/hardware/promote.sh" "$out"
