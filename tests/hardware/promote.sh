#!/bin/bash
# On a GPU machine without systemd: examples/h100/promote.yaml is measured, its winner promoted by commands
# with its placement proven on the card, rolled back, and promoted once more with CUDA_VISIBLE_DEVICES
# emptied in `apply`: that has to be seen and undone. Unattended, about 4 minutes.
#
# usage: tests/hardware/promote.sh FOLDER           after h100.sh setup, with the CUDA llama-server
#
# All that was printed, the records and summary.txt come into FOLDER (some 100 KB). Ends with 0 when each
# step came out as it should. Called again after it was cut off, it resumes the study and does the rest anew.
# H100_ROOT and H100_CARD as of h100.sh.

set -euo pipefail
export LC_ALL=C.UTF-8

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "${1:?FOLDER}"
out=$(cd "$1" && pwd)
base=${H100_ROOT:-/tmp/h100} card=${H100_CARD:-0}
studies=$base/studies/h100 spica=$base/spica/bin/spica
bad=0

say() { printf '%s\n' "$*" | tee -a "$out/summary.txt"; }
seconds() { printf '%3d s' $SECONDS; }

# expect STATUS FILE COMMAND...: its output in that file. What comes after another status would show nothing.
expect() {
    local wanted=$1 file=$out/$2 status=0 start=$SECONDS
    shift 2
    "$@" >"$file" 2>&1 </dev/null || status=$?
    printf 'exit status %s\n' $status >>"$file"
    if [[ $status == "$wanted" ]]; then
        say "$(seconds)  ok    ${file##*/}: status $status after $((SECONDS - start)) s"
        return
    fi
    bad=$((bad + 1))
    say "$(seconds)  BAD   ${file##*/}: status $status, not $wanted: $(tail -n 3 "$file" | head -n 2)"
    exit 1
}

# require WHAT COMMAND...
require() {
    local what=$1
    shift
    if "$@"; then say "$(seconds)  ok    $what"; else
        bad=$((bad + 1))
        say "$(seconds)  BAD   $what"
    fi
}

lay_out() {
    local from=$here/../../examples
    [[ -d $from/h100 ]] || from=$here/examples
    mkdir -p "$studies"
    cp "$from"/h100/promote.yaml "$from"/h100/services.{py,json} "$studies/"
    cp "$from/openai_whisper_server.py" "$base/studies/"
    ln -sfn "$base/lab" "$studies/lab"
    [[ $card == 0 ]] || sed -i -e "s/^device: gpu0/device: gpu$card/" \
        -e "s/CUDA_VISIBLE_DEVICES=0/CUDA_VISIBLE_DEVICES=$card/" "$studies/promote.yaml"
    chmod go-w "$base" "$base/studies" "$studies" "$studies/services.py" # what is run as root is root's
    [[ $card == 0 ]] || sed -i "s/\"CUDA_VISIBLE_DEVICES\": \"0\"/\"CUDA_VISIBLE_DEVICES\": \"$card\"/" \
        "$studies/services.json"
}

card_used() {
    nvidia-smi -i "$card" --query-gpu=memory.used --format=csv,noheader 2>/dev/null || echo "not told"
}

# who [TITLE]: what production is, and who is on the card
who() {
    {
        printf '== %s\n' "$1"
        ./services.py state
        nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv,noheader 2>&1 || :
    } >>"$out/production.txt" 2>&1
}

# plan_id FILE: of what --plan-only says, which goes into the file
plan_id() {
    "$spica" promote promote.yaml --plan-only --json "${accept[@]}" >"$out/$1" 2>"$out/$1.err" || :
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["plan"]["id"])' "$out/$1" 2>/dev/null ||
        echo none
}

# seen RECORD SERVICE CHECK WORD...: a check of the n-th record has such words
seen() {
    "$spica" history promote.yaml --json >"$out/history.json"
    python3 -c '
import json, sys
record, service, check, *words = sys.argv[2:]
with open(sys.argv[1]) as file:
    checks = json.load(file)["promotions"][int(record)]["checks"]
found = [json.dumps(c) for c in checks if c["check"] == check and service in ("any", c["service"])]
sys.exit(0 if any(all(word in text for word in words) for text in found) else 1)' "$out/history.json" "$@"
}

# What Whisper says of its own device; a server that says nothing of it is believed.
not_on_cpu() { ! ./services.py state stt | grep -q '"device": "cpu'; }
nothing_left() { ! ./services.py state | grep -v 'process None'; }

end() {
    ./services.py stop >/dev/null 2>&1 || :
    cp production/{*.log,changes.txt} "$out/" 2>/dev/null || :
    truncate -s '<30K' "$out"/{llm,stt}.log 2>/dev/null || :
}

: >"$out/summary.txt"
: >"$out/production.txt"
[[ -x $spica ]] || { say "no $spica: h100.sh setup first"; exit 2; }
lay_out
cd "$studies"
./services.py stop 2>/dev/null || :
rm -rf production promote.spica.promotion.json promote.spica.promotions
trap end EXIT
say "$("$spica" --version | head -n 1), card: $(nvidia-smi -i "$card" --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo "not told")"
before=$(card_used)

expect 0 1-run.txt "$spica" run promote.yaml
cp promote.spica/{report.md,winner.json} "$out/" 2>/dev/null || :

expect 0 2-today.txt ./services.py start
who "today's production"

accept=()
expect 0 3-plan.txt "$spica" promote promote.yaml --dry-run
expect 0 4-promote.txt "$spica" promote promote.yaml --approve "$(plan_id 3-plan.json)"
who "promoted"
for service in llm stt; do
    require "$service: placement proven on the card" seen 0 $service placement passed "gpu$card"
done
require "the window of load was kept" seen 0 any load passed

expect 0 5-rollback.txt "$spica" rollback promote.yaml
who "rolled back by hand"
require "llm and stt are ready, as before" seen 1 any ready passed
require "stt does not say cpu" not_on_cpu

# The fault: one word of what applies it, as somebody edits it who means "the default card".
sed -i '/set, stt/s/CUDA_VISIBLE_DEVICES=[0-9]*/CUDA_VISIBLE_DEVICES=/' promote.yaml
expect 0 6-fault-plan.txt "$spica" promote promote.yaml --dry-run
expect 7 7-fault-promote.txt "$spica" promote promote.yaml --approve "$(plan_id 6-fault-plan.json)"
who "after the fault"
require "the fault: /health answered 200" seen 2 stt ready passed
require "the fault: named cpu_fallback" grep -q cpu_fallback "$out/7-fault-promote.txt"
require "the fault: stt had been started without a card" grep -q 'CUDA_VISIBLE_DEVICES=$' production/stt.log
require "the old stt serves again, placement proven on the card" seen 2 stt placement passed "gpu$card"
require "the old stt does not say cpu" not_on_cpu
require "it has the setting of before" ./services.py runs stt model=base "CUDA_VISIBLE_DEVICES=$card"
require "llm too" ./services.py runs llm slots=1 "CUDA_VISIBLE_DEVICES=$card"
require "three records: promoted, rolled back, rolled back" \
    [ "$(grep -c '"outcome": "rolled back"' "$out/history.json")" = 2 ]
expect 0 8-history.txt "$spica" history promote.yaml
mkdir -p "$out/records"
cp promote.spica.promotions/* "$out/records/"

expect 0 9-stop.txt ./services.py stop
require "no process is left" nothing_left
say "memory of the card in use: $before before, $(card_used) after"
say "$(seconds)  $([[ $bad == 0 ]] && echo "all as it should be" || echo "$bad came out otherwise"); $(du -sk "$out" | cut -f1) KiB in $out"
[[ $bad == 0 ]]
