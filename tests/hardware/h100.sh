#!/bin/bash
# Runs the studies of examples/h100 on a GPU machine that is reached only now and then, for some minutes:
# what takes longer than that goes on by itself, and is asked for later.
#
# usage: tests/hardware/h100.sh COMMAND...
#
#   pack FOLDER          where spica is built: bundle, studies and scripts into FOLDER, to be carried
#   take FOLDER...       collect the pieces of tools/gpu-lab/prepare that lie in these folders
#   setup [llama]        unpack pieces and bundle, install, lay out the studies (llama: and compile it)
#   warm [once]          start vLLM twice: the first start compiles kernels; prints how long each took
#   hold MIB | release   start a neighbour that leaves so much of the card; end it
#   start STUDY [OPTION] spica run in the background, or resume; OPTIONs go to it. STUDY=NAME gives the
#                        results another name
#   wait STUDY SECONDS   until it ends, at most so long; shows where it is; status as spica's, or 75
#   stop STUDY           stop it cleanly; start resumes
#   doctor healthy       a Whisper on the card: what spica doctor says
#   doctor faults        the same beside three servers with a fault each
#   state                what runs, who holds the card
#   save FOLDER          compiled kernels and the CUDA llama-server, in parts of 15 MiB for the next time
#   load FOLDER          those of another time, before setup
#   record oom [MIB] | race [SECONDS]   logs of real failures: vLLM whose memory is taken away but for so
#                        much while it serves, and two that start so far apart
#   collect FOLDER [STUDY...]   small results of these studies (default: all) as FOLDER/h100.tar.xz
#
# With several cards H100_CARD=1 puts neighbour, study and recordings on the second; CONTENTION=50% lets
# others use so much of the cores meanwhile (10 % is too little beside a second study).
#
# Everything lies in $H100_ROOT (/tmp/h100): parts/, lab/, spica/, studies/. Only processes whose ids were
# written down here are ended.

set -euo pipefail
export LC_ALL=C.UTF-8

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
base=${H100_ROOT:-/tmp/h100} card=${H100_CARD:-0}
parts=$base/parts lab=$base/lab studies=$base/studies/h100
spica=$base/spica/bin/spica

say() { printf 'h100: %s\n' "$*"; }
die() {
    printf 'h100: %s\n' "$@" >&2
    exit 1
}

# alive FILE: the process whose id it holds still runs, and is the one that was started
alive() {
    local pid started
    [[ -f $1 ]] || return 1
    read -r pid started <"$1" || return 1
    [[ -n $started && $(start_time "$pid") == "$started" ]]
}

# A number is given to another process sooner or later; with the time of its start it is not.
start_time() { sed -n 's/^.*) //p' "/proc/$1/stat" 2>/dev/null | awk '$1 !~ /[ZX]/ { print $20 }'; }
note_process() { printf '%s %s\n' "$1" "$(start_time "$1")" >"$2"; }

# ---- where spica is built ------------------------------------------------------------------------

do_pack() {
    local target=${1:?FOLDER} bundle
    mkdir -p "$target"
    bundle=$("$repository/tools/bundle" --output "$repository/build" | tail -n 1)
    rm -rf "$target/kit"
    mkdir -p "$target/kit/examples"
    cp "$bundle" "$target/kit/"
    cp -r "$repository/examples/h100" "$target/kit/examples/"
    rm -rf "$target/kit/examples/h100/lab" "$target"/kit/examples/h100/*.spica
    cp "$repository"/examples/*.py "$target/kit/examples/" 2>/dev/null || say "no examples/*.py yet"
    cp "$here"/{h100.sh,export_study.py,faster_whisper_server.py} "$repository/tools/gpu-lab/setup" "$target/kit/"
    say "$target/kit: $(du -sk "$target/kit" | cut -f1) KiB"
}

# ---- on the GPU machine --------------------------------------------------------------------------

do_take() {
    local folder
    mkdir -p "$parts"
    for folder in "$@"; do
        if [[ -d $folder/extra ]]; then # for doctor: CTranslate2, a llama-server without CUDA
            cp -r "$folder/extra" "$base/"
            continue
        fi
        compgen -G "$folder/part.*" >/dev/null || die "no piece in $folder"
        cp "$folder"/part.* "$parts/"
    done
    say "$(compgen -G "$parts/part.*" | wc -l) pieces, $(du -sm "$parts" | cut -f1) MiB"
}

find_kit() {
    local folder
    for folder in "$here" "${KIT:-}" "$repository/.gpu/kit" "$repository/build"; do
        [[ -z $folder ]] || ! compgen -G "$folder/spica-*-linux-x86_64.tar.xz" >/dev/null ||
            { printf '%s\n' "$folder"; return; }
    done
    die "no spica-*-linux-x86_64.tar.xz beside this script, in \$KIT, .gpu/kit or build"
}

# The newest bundle, each time: a mended spica is carried alone.
install_spica() {
    local kit archive
    kit=$(find_kit)
    archive=$(find "$kit" -maxdepth 1 -name 'spica-*-linux-x86_64.tar.xz' | sort -V | tail -n 1)
    rm -rf "$base/spica.new"
    mkdir -p "$base/spica.new"
    tar -xJf "$archive" -C "$base/spica.new" --strip-components=1
    rm -rf "$base/spica"
    mv "$base/spica.new" "$base/spica"
    sha256sum "$archive" >"$base/spica/bundle.sha256"
    lay_out_studies "$kit"
    say "$("$spica" --version | head -n 1)"
}

# The kit's files first, since they are of the bundle's age; the tree's where no kit has them.
lay_out_studies() {
    local from=$1/examples
    [[ -d $from/h100 ]] || from=$repository/examples
    mkdir -p "$studies"
    cp "$from"/h100/*.yaml "$from"/h100/*.py "$studies/"
    cp "$from"/*.py "$base/studies/"
    ln -sfn "$lab" "$studies/lab"
    [[ ! -f $base/spawn ]] ||
        sed -i 's/VLLM_WORKER_MULTIPROC_METHOD: fork/VLLM_WORKER_MULTIPROC_METHOD: spawn/' \
            "$studies"/*.yaml
}

do_setup() {
    local setup=$repository/tools/gpu-lab/setup options=()
    [[ ! -f $here/setup ]] || setup=$here/setup
    [[ ${1:-} != llama ]] || options=(--llama)
    mkdir -p "$base"
    "$setup" "$parts" "$lab" "${options[@]}" || die "setting the lab up failed"
    install_spica
}

# run_vllm METHOD SHARE PORT [OPTION...]: becomes vLLM
run_vllm() {
    local method=$1 share=$2 port=$3
    shift 3
    cd "$lab"
    VLLM_WORKER_MULTIPROC_METHOD=$method PYTHONPATH=$lab/site HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 \
        VLLM_NO_USAGE_STATS=1 PYTHONUNBUFFERED=1 CUDA_DEVICE_ORDER=PCI_BUS_ID \
        CUDA_VISIBLE_DEVICES=$card exec setsid python3 -m vllm.entrypoints.openai.api_server \
        --model llm-7b --served-model-name llm --load-format dummy --gpu-memory-utilization "$share" \
        --max-model-len 4096 --enforce-eager --host 127.0.0.1 --port "$port" "$@"
}

# vllm_once METHOD: seconds from start to /health, then the end of it
vllm_once() {
    local port=18999 start=$SECONDS pid limit=${WARM_LIMIT_S:-300}
    run_vllm "$1" 0.40 $port >"$base/warm-$1.log" 2>&1 </dev/null &
    pid=$!
    until answers $port; do
        if ! kill -0 $pid 2>/dev/null || ((SECONDS - start > limit)); then
            kill -KILL -- -$pid 2>/dev/null || :
            wait $pid 2>/dev/null || :
            say "vLLM ($1) did not start: $(tail -n 1 "$base/warm-$1.log")"
            return 1
        fi
        sleep 0.5
    done
    say "vLLM ($1) ready after $((SECONDS - start)) s; $(card_used)"
    kill -TERM -- -$pid 2>/dev/null || :
    wait $pid 2>/dev/null || :
    kill -KILL -- -$pid 2>/dev/null || : # an engine that outlived its front
}

answers() {
    python3 -c 'import sys, urllib.request as u; u.urlopen("http://127.0.0.1:%s/health" % sys.argv[1], timeout=2)' \
        "$1" 2>/dev/null
}

card_used() {
    nvidia-smi --query-gpu=memory.used,memory.free --format=csv,noheader 2>/dev/null || echo "no nvidia-smi"
}

# Where fork does not work for its engine, the studies are told so: a start then takes 19 s more.
do_warm() {
    rm -f "$base/spawn"
    vllm_once fork || { touch "$base/spawn"; vllm_once spawn; }
    if [[ ${1:-} == once ]]; then :; elif [[ -f $base/spawn ]]; then vllm_once spawn; else vllm_once fork; fi
    lay_out_studies "$(find_kit)"
}

do_hold() {
    local mib=${1:?MIB} hold=$base/hold$card file=$base/hold$card.pid
    ! alive "$file" || do_release
    rm -f "$hold.ready"
    setsid python3 "$studies/hold.py" --leave "$mib" --device "$card" --ready "$hold.ready" \
        >"$hold.log" 2>&1 </dev/null &
    note_process $! "$file"
    for _ in $(seq 300); do
        [[ ! -f $hold.ready ]] || break
        alive "$file" || die "the neighbour did not start: $(tail -n 1 "$hold.log")"
        sleep 0.1
    done
    alive "$file" || die "the neighbour ended: $(tail -n 1 "$hold.log")"
    say "$(tail -n 1 "$hold.log")"
}

do_release() {
    local file=$base/hold$card.pid
    end_process "$file" TERM 50
    say "no neighbour; $(card_used)"
}

# end_process FILE SIGNAL TENTHS: asks, and waits for it
end_process() {
    local pid _
    alive "$1" || return 0
    read -r pid _ <"$1"
    kill -"$2" "$pid" 2>/dev/null || :
    for _ in $(seq "$3"); do
        alive "$1" || return 0
        sleep 0.1
    done
    die "process $pid does not end"
}

# The file of a study, changed for another card or for more company; prints its name.
study_for_card() {
    local study=$1 edits=()
    [[ $card == 0 ]] || edits+=(-e "s/^device: gpu0/device: gpu$card/" -e "s/first: \"0\"/first: \"$card\"/")
    [[ -z ${CONTENTION:-} ]] || edits+=(-e "s/^measure: {/measure: {contention: $CONTENTION, /")
    if ((${#edits[@]})); then
        sed "${edits[@]}" "$studies/$study.yaml" >"$studies/$study-card$card.yaml"
        study=$study-card$card
    fi
    printf '%s\n' "$study"
}

do_start() {
    local study=${1:?STUDY} name run
    name=${study#*=} study=${study%%=*} run=$base/run-$name
    shift
    [[ -f $studies/$study.yaml ]] || die "no study $study: $(cd "$studies" && echo *.yaml)"
    if alive "$run.pid"; then
        say "$name runs already"
        return
    fi
    rm -f "$run.status"
    study=$(study_for_card "$study")
    date +"== %FT%TZ $name $*" -u >>"$run.log"
    # shellcheck disable=SC2016 # expanded by the inner shell, which leaves spica's status behind
    setsid bash -c '
        run=$1 folder=$2; shift 2
        cd "$folder" || exit
        "$@" >>"$run.log" 2>&1 </dev/null &
        pid=$!
        printf "%s %s\n" $pid "$(sed "s/^.*) //" /proc/$pid/stat | cut -d" " -f20)" >"$run.pid"
        status=0
        wait $pid || status=$?
        printf "%s\n" $status >"$run.status"' \
        bash "$run" "$studies" "$spica" run "$study.yaml" --out "$studies/$name.spica" "$@" \
        >/dev/null 2>&1 </dev/null &
    say "$name is started"
}

do_wait() {
    local name=${1:?STUDY} limit=${2:?SECONDS} start=$SECONDS run
    name=${name#*=} run=$base/run-$name
    [[ -f $run.log ]] || die "$name was never started"
    while [[ ! -f $run.status ]] && ((SECONDS - start < limit)); do sleep 1; done
    tail -n "${H100_LINES:-25}" "$run.log"
    if [[ ! -f $run.status ]]; then
        say "$name goes on"
        return 75
    fi
    say "$name ended with status $(<"$run.status")"
    return "$(<"$run.status")"
}

do_stop() {
    local name=${1:?STUDY}
    end_process "$base/run-${name#*=}.pid" TERM 600 # not INT, which a shell ignores for its jobs
    do_wait "$name" 10 || :
}

# serve NAME PORT COMMAND...: in the background, its output in a file as a unit's would be in the journal
serve() {
    local name=$1 port=$2 pid
    shift 2
    setsid env PYTHONUNBUFFERED=1 "$@" >"$base/serve-$name.log" 2>&1 </dev/null &
    pid=$!
    note_process $pid "$base/serve-$name.pid"
    for _ in $(seq 600); do
        ! answers "$port" || return 0
        kill -0 $pid 2>/dev/null || break
        sleep 0.1
    done
    say "$name did not come up: $(tail -n 2 "$base/serve-$name.log")"
}

# What doctor says, with its exit status; also as JSON.
ask_doctor() {
    local status=0
    "$spica" doctor >"$base/doctor-$1.txt" 2>&1 || status=$?
    printf 'exit status %s\n' $status >>"$base/doctor-$1.txt"
    "$spica" doctor --json >"$base/doctor-$1.json" 2>/dev/null || :
    say "doctor, $1:"
    cat "$base/doctor-$1.txt"
}

speak() { # speak PORT: one request, so that what is loaded with the first audio is loaded
    local clip
    clip=$(find "$lab/speech" -name '*.wav' | sort | head -n 1)
    curl -s -m 60 -w ' %{time_total} s' -F "file=@$clip" -F model=whisper-1 "http://127.0.0.1:$1/v1/audio/transcriptions" |
        cut -c 1-200 || :
    echo
}

do_doctor() {
    local name whisper=$base/studies/openai_whisper_server.py extra=$base/extra
    local python=(PYTHONPATH="$lab/site:$extra/site" python3)
    case ${1:?healthy or faults} in
    healthy)
        serve healthy 18101 "${python[@]}" "$whisper" "$lab/whisper-tiny.en.pt" 18101
        for _ in 1 2 3 4 5; do speak 18101; done # how fast it is when nobody measures it
        ask_doctor healthy
        ;;
    faults)
        serve empty 18102 CUDA_VISIBLE_DEVICES= "${python[@]}" "$whisper" "$lab/whisper-tiny.en.pt" 18102
        [[ -d $extra/site ]] || python3 -m pip install -q --no-index --no-deps --no-compile \
            --no-cache-dir --target "$extra/site" "$extra"/ctranslate2-*.whl
        [[ -f $extra/model/model.bin ]] || cp "$lab/whisper-tiny.en.ct2" "$extra/model/model.bin"
        serve library 18103 "${python[@]}" "$here/faster_whisper_server.py" --model "$extra/model" \
            --port 18103
        serve build 18104 "$extra/llama/llama-server" \
            -m "$(find "$lab" -iname 'smollm2*.gguf' | head -n 1)" \
            -ngl 99 -c 2048 --host 127.0.0.1 --port 18104
        speak 18102
        speak 18103
        ask_doctor faults
        for name in healthy empty library build; do end_process "$base/serve-$name.pid" TERM 50; done
        ;;
    *) die "doctor healthy, or doctor faults" ;;
    esac
}

do_state() {
    local file
    for file in "$base"/run-*.log; do
        [[ -f $file ]] || continue
        file=${file%.log}
        if alive "$file.pid"; then say "${file##*/run-}: runs"; else
            say "${file##*/run-}: ended with $(cat "$file.status" 2>/dev/null || echo nothing said)"
        fi
    done
    for file in "$base"/hold*.pid; do
        ! alive "$file" || say "neighbour: $(tail -n 1 "${file%.pid}.log")"
    done
    say "card: $(card_used)"
    nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv,noheader 2>/dev/null || :
    [[ ! -f $lab/llama/build.log ]] || say "llama-server: $(tail -n 1 "$lab/llama/build.log")"
}

# ends_or_answers PID PORT SECONDS: which of both came first
ends_or_answers() {
    local start=$SECONDS
    until answers "$2"; do
        kill -0 "$1" 2>/dev/null || return 1
        ((SECONDS - start < $3)) || return 1
        sleep 0.5
    done
}

end_group() {
    kill -TERM -- -"$1" 2>/dev/null || :
    for _ in $(seq 100); do
        kill -0 -- -"$1" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL -- -"$1" 2>/dev/null || :
    wait "$1" 2>/dev/null || :
}

# Long prompts at once, with the log-probabilities of each token: logits of a whole chunk of a prompt over
# the whole vocabulary, in single precision, are no part of the run by which vLLM finds out what it needs.
ask_much() {
    local n port=$1 asked=()
    for n in 1 2 3 4 5 6 7 8; do
        python3 - "$port" "$n" <<'PYTHON' &
import json, sys, urllib.request
body = json.dumps({"model": "llm", "prompt": "the quick brown fox " * 600 + sys.argv[2], "max_tokens": 32, "prompt_logprobs": 5})
request = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/v1/completions", body.encode(),
                                 {"Content-Type": "application/json"})
try:
    print("request:", urllib.request.urlopen(request, timeout=30).status)
except Exception as error:
    print("request:", error, getattr(error, "read", lambda: b"")()[:300])
PYTHON
        asked+=($!)
    done
    wait "${asked[@]}" || :
}

do_record() {
    local log=$base/record-$1 pid other port=$((18990 + card * 4))
    case $1 in
    oom)
        run_vllm fork 0.40 $port --max-num-seqs 8 --max-num-batched-tokens 1024 \
            >"$log.log" 2>&1 </dev/null &
        pid=$!
        if ends_or_answers $pid $port 120; then
            do_hold "${2:-16}"
            ask_much $port >"$log-requests.txt" 2>&1
            cat "$log-requests.txt"
            sleep 2
            answers $port && say "it still says it is healthy"
            do_release
        fi
        end_group $pid
        ;;
    race)
        # Alone each has room for a context of 8,192 many times over; together the later one finds that
        # the earlier has taken what it was about to call its own.
        run_vllm fork 0.55 $port --max-model-len 8192 >"$log-1.log" 2>&1 </dev/null &
        pid=$!
        sleep "${2:-2}"
        run_vllm fork 0.55 $((port + 1)) --max-model-len 8192 >"$log-2.log" 2>&1 </dev/null &
        other=$!
        ends_or_answers $pid $port 90 && say "the first came up"
        ends_or_answers $other $((port + 1)) 30 && say "the second came up"
        end_group $pid
        end_group $other
        ;;
    *) die "record oom, or record race" ;;
    esac
    tail -n 3 "$log"*.log | cut -c 1-300
}

# What a first start compiles for minutes, and what setup does.
do_save() {
    local target=${1:?FOLDER} stage folder
    mkdir -p "$target"
    stage=$(mktemp -d "$base/.save.XXXXXX")
    mkdir -p "$stage/home" "$stage/bin"
    for folder in .cache/vllm .cache/flashinfer .triton .cache/torch_extensions .nv/ComputeCache; do
        [[ ! -d $HOME/$folder ]] || (cd "$HOME" && cp -r --parents "$folder" "$stage/home/")
    done
    folder=$lab/llama/llama.cpp/build/bin
    if [[ -x $folder/llama-server ]]; then
        cp -P "$folder/llama-server" "$folder"/*.so* "$stage/bin/" 2>/dev/null || :
        strip --strip-unneeded "$stage"/bin/* 2>/dev/null || :
    fi
    tar -C "$stage" -cf - . | xz -T0 -3 | split -b 15M -d - "$target/saved."
    rm -rf "$stage"
    say "saved: $(du -skc "$target"/saved.* | tail -n 1 | cut -f1) KiB"
}

do_load() {
    local stage
    stage=$(mktemp -d)
    cat "${1:?FOLDER}"/saved.* | tar -xJf - -C "$stage"
    cp -r "$stage/home/." "$HOME/"
    mkdir -p "$lab/llama/llama.cpp/build"
    [[ ! -d $stage/bin ]] || cp -rP "$stage/bin" "$lab/llama/llama.cpp/build/"
    rm -rf "$stage"
}

do_collect() {
    local target=${1:?FOLDER} stage name names=()
    shift
    mkdir -p "$target"
    stage=$(mktemp -d "$base/.collect.XXXXXX")
    mkdir "$stage/h100"
    if (($#)); then names=("$@"); else
        for name in "$studies"/*.spica; do
            [[ ! -d $name ]] || names+=("$(basename "$name" .spica)")
        done
    fi
    for name in "${names[@]}"; do
        name=${name#*=}
        [[ -f $studies/$name.spica/study.db ]] || { say "$name has no results"; continue; }
        # Of a study that was stopped there is no report yet, or an old one.
        "$spica" report "$studies/$name.spica" >/dev/null 2>&1 || say "$name: no report"
        python3 "$here/export_study.py" "$studies/$name.spica" "$stage/h100/$name" ||
            say "$name: export failed"
        cp "$base/run-$name.log" "$stage/h100/$name/run.txt" 2>/dev/null || :
    done
    describe >"$stage/h100/machine.txt" 2>&1 || :
    cp "$base"/warm-*.log "$base"/record-* "$base"/doctor-* "$base"/serve-*.log "$stage/h100/" 2>/dev/null || :
    cp "$studies"/*.yaml "$stage/h100/"
    tar -C "$stage" --sort=name -cJf "$target/h100.tar.xz" h100
    rm -rf "$stage"
    say "$target/h100.tar.xz: $(du -k "$target/h100.tar.xz" | cut -f1) KiB, ${#names[@]} studies"
}

describe() {
    date -u +%FT%TZ
    cat "$base/spica/bundle.sha256"
    "$spica" --version
    nvidia-smi
    uname -sr
    lscpu | sed -n '/^Model name/p;/^CPU(s)/p'
    free -g | sed -n 2p
    python3 --version
    PYTHONPATH=$lab/site python3 -m pip list 2>/dev/null | grep -iE '^(torch|vllm|openai-whisper|numpy) '
    return 0
}

usage() { sed -n '5,30s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

command=${1:-help}
(($# == 0)) || shift
case $command in
    pack | take | setup | warm | hold | release | start | wait | stop | doctor | state | save | load | record | collect) "do_$command" "$@" ;;
    help | -h | --help) usage ;;
    *) usage >&2; exit 2 ;;
esac
