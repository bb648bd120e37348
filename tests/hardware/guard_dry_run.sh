#!/bin/bash
# guard.py without a GPU: the fake driver shows one H100, and fake services stand for vLLM, Whisper and the
# neighbour. What can go wrong in the script, the study and the units goes wrong here, where minutes cost nothing.
# A fake has no engine process and prints no line of PyTorch's, so out_of_memory and leak are not played.
#
# usage: tests/hardware/guard_dry_run.sh BUILD_FOLDER [PART...]      (root; about five minutes)

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
build=$(cd "${1:?BUILD_FOLDER}" && pwd)
shift
(($#)) || set -- quiet swing back_on_cpu tier_on_cpu frozen_engine dead_engine pressure killed
work=${GUARD_DRY:-$(mktemp -d)} # kept where it is named, and the study is not run again
[[ -n ${GUARD_DRY:-} ]] || trap 'rm -rf "$work"' EXIT
export H100_ROOT=$work/h100 FAKE_NVML_WORLD=$work/world SPICA_LOCK_DIR=$work/lock SPICA=$build/src/cli/spica
export SPICA_NVML_LIBRARY=$build/tests/fakes/libfake-nvml.so FAKE=$build/tests/fakes/fake-service
studies=$H100_ROOT/studies/h100 lab=$H100_ROOT/lab

rm -rf "$work"/{world,bin,h100/lab,h100/vllm-*}
mkdir -p "$work"/{world,lock,bin} "$lab/site" "$lab/llm-7b" "$studies"
: >"$work/world/began"
echo "card GPU-00000000-1111-2222-3333-444444444444 0000:41:00.0 81559 480 NVIDIA H100 80GB HBM3" \
    >"$work/world/world"
ln -s "$FAKE" "$work/bin/hold"
cat >"$work/bin/python3" <<'PYTHON'
#!/bin/bash
card="--gpu $FAKE_NVML_WORLD --gpu-sm 30 --life 30m"
case "$*" in
    *hold.py*)
        while (($#)); do case $1 in --leave) leave=$2 ;; --ready) ready=$2 ;; esac; shift; done
        echo 0 >"$ready"
        used=$(awk '/^process/ { sum += $4 } END { print int(sum) }' "$FAKE_NVML_WORLD"/*.gpu)
        exec hold $card --gpu-hold "$((81079 - used - leave))M" ;;
    *vllm.entrypoints*)
        shift 2
        printf '%s\n' "--gpu $FAKE_NVML_WORLD" "--life 30m" "--latency 40ms" >"$H100_ROOT/vllm-$$.script"
        FAKE_SERVICE_SCRIPT=$H100_ROOT/vllm-$$.script exec "$FAKE" --as vllm "$@" ;;
    *openai_whisper_server.py*)
        memory=900M latency=50ms; [[ $2 == *tiny* ]] || memory=1100M latency=100ms
        exec "$FAKE" $card --kind stt --port "$3" --gpu-memory $memory --latency $latency --slots 1 \
            --transcripts lab/speech/manifest.jsonl ;;
    *) exec /usr/bin/env -u PYTHONHOME "$REAL_PYTHON" "$@" ;;
esac
PYTHON
chmod +x "$work/bin/python3"
REAL_PYTHON=$(python3 -c 'import sys; print(sys.executable)')
export REAL_PYTHON PATH=$work/bin:$PATH:/usr/sbin

cp -rL "$root/build/demo/speech-real" "$lab/speech"
cp "$root/tools/corpus/prompts.jsonl" "$lab/"
touch "$lab"/whisper-{tiny.en,base}.pt
echo '{}' >"$lab/llm-7b/config.json"
cp "$root"/examples/h100/{guard.yaml,hold.py} "$studies/"
cp "$root/examples/openai_whisper_server.py" "$H100_ROOT/studies/"
ln -sfn "$lab" "$studies/lab"
# Other work is on these machines, and a fake's own words are not what the card's are.
sed -i -E -e 's/^measure: \{.*/measure: {warmup: 0s, window: 2s, alone: 0s, repeats: 3, contention: 100%, lateness: 1s}/' \
    -e 's/window: 15s, warmup: 1s/window: 3s, warmup: 1s/' "$studies/guard.yaml"
[[ -f $studies/guard.spica/winner.json ]] || (cd "$studies" && "$SPICA" run guard.yaml --quiet)
"$here/guard.py" play "$work/out" "$@"
