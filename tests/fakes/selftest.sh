#!/bin/bash
# Drives fake-service with curl and checks what it answers. Usage: selftest.sh PATH-TO-FAKE-SERVICE
# Every wait is bounded; every process started here is ended here.
set -u
FAKE=$(realpath "${1:?usage: selftest.sh PATH-TO-FAKE-SERVICE}")
DIR=$(mktemp -d)
PID=
PORT=
FAILED=0
CHECKED=0

stop() { # ends the fake that runs, if any; its exit code in RC
    RC=
    [ -n "$PID" ] || return 0
    kill "${1:--TERM}" "$PID" 2>/dev/null
    wait "$PID" 2>/dev/null
    RC=$?
    PID=
}
trap 'stop -KILL; rm -rf "$DIR"' EXIT

start() { # start OPTIONS...: a fake on a free port, listening
    stop
    : >"$DIR/err"
    "$FAKE" --life 30s --port 0 "$@" >>"$DIR/out" 2>>"$DIR/err" &
    PID=$!
    PORT=
    for _ in $(seq 100); do
        PORT=$(sed -n -E 's/.*http:\/\/127\.0\.0\.1:([0-9]+).*|.*port ([0-9]+) open.*/\1\2/p' "$DIR/err" | head -n 1)
        [ -n "$PORT" ] && return 0
        kill -0 "$PID" 2>/dev/null || break
        sleep 0.02
    done
    return 1
}

until_true() { # until_true COMMAND...: tries for up to 5 s
    for _ in $(seq 100); do
        "$@" && return 0
        sleep 0.05
    done
    return 1
}
rss_over() { [ "$(awk '/VmRSS/{print $2}' "/proc/$1/status")" -gt "$2" ]; }

ask() { # ask PATH [curl options]: body on stdout
    local path=$1
    shift
    curl -s -m 5 "http://127.0.0.1:$PORT$path" "$@"
}
CHAT='{"messages":[{"role":"user","content":"say something"}],"max_tokens":6'
chat() { ask /v1/chat/completions -d "$CHAT}" "$@"; }
stream() { ask /v1/chat/completions -N -d "$CHAT,\"stream\":true,\"stream_options\":{\"include_usage\":true}}" "$@"; }
transcribe() { ask /v1/audio/transcriptions -F "file=@$DIR/a.wav" "$@"; }
code() { "$@" -o /dev/null -w '%{http_code}'; }
timed() { "$@" -o /dev/null -w '%{time_total}'; }

is() { # is WHAT GOT WANTED (a bash pattern)
    CHECKED=$((CHECKED + 1))
    # shellcheck disable=SC2053
    if [[ $2 == $3 ]]; then
        return 0
    fi
    FAILED=$((FAILED + 1))
    printf 'FAILED %s\n  got:    %.400s\n  wanted: %s\n' "$1" "$2" "$3"
}

at_least() { # at_least WHAT GOT MINIMUM: numbers; never an upper bound, machines may be busy
    is "$1: $2 >= $3" "$(awk -v got="$2" -v min="$3" 'BEGIN { print (got >= min) }')" 1
}

head -c 32044 /dev/zero >"$DIR/a.wav"
head -c 500 /dev/zero >"$DIR/b.wav"
printf '%s\n' '{"audio_filepath":"a.wav","text":"one two three four five six seven eight nine ten","duration":1.0}' \
    '{"audio_filepath":"b.wav","text":"known by \"size\"","duration":2.5}' >"$DIR/manifest.jsonl"

# --- options
is "help" "$("$FAKE" --help | grep -c -- '--')" '[4-9][0-9]'
"$FAKE" --port 1 --nonsense 2>"$DIR/err"
is "unknown option exits 2" "$? $(wc -l <"$DIR/err")" "2 1"
"$FAKE" --port 1 --latency 20 2>"$DIR/err"
is "a time wants a unit" "$? $(cat "$DIR/err")" "2 *wants a time*"
"$FAKE" 2>"$DIR/err"
is "no port" "$? $(cat "$DIR/err")" "2 *--port is missing*"
"$FAKE" --port 0 --at 3:explode 2>"$DIR/err"
is "unknown action" "$? $(cat "$DIR/err")" '2 *no action "explode"*'
"$FAKE" --port 0 --at 3:endless: 2>"$DIR/err"
is "nothing, again and again" "$? $(cat "$DIR/err")" '2 *endless: *'

# --- plain answers
printf '# a script\n--latency 5ms\nslots 2\n--transcripts=%s\n' "$DIR/manifest.jsonl" >"$DIR/script"
start --script "$DIR/script" --arrivals "$DIR/arrivals" --served "$DIR/served"
is "health" "$(ask /health)" '{"status":"ok"}'
is "models" "$(ask /v1/models)" '*"id":"fake-model"*'
is "props" "$(ask /props)" '*"total_slots":2*'
is "chat" "$(chat)" '*"role":"assistant","content":"*"*"usage":{"completion_tokens":6*'
is "chat is the same again" "$(chat | grep -o '"content":"[^"]*"')" "$(chat | grep -o '"content":"[^"]*"')"
is "completion" "$(ask /v1/completions -d '{"prompt":"x"}')" '*"text":"*"text_completion"*'
is "stream" "$(stream | grep -c '^data: ')" 10
is "stream ends" "$(stream | tail -n 5 | tr '\n' ' ')" '*"choices":[[]]*"completion_tokens":6*[[]DONE]*'
is "bad JSON" "$(code ask /v1/chat/completions -d nope)" 400
is "unknown path" "$(code ask /nowhere)" 404
is "transcript by name" "$(transcribe)" '{"text":"one two three four five six seven eight nine ten"}'
is "transcript by size" "$(ask /v1/audio/transcriptions -F "file=@$DIR/b.wav;filename=other.wav")" '*known by \\"size\\"*'
is "unknown file" "$(ask /v1/audio/transcriptions -F "file=@$DIR/script")" '{"text":"hello world"}'
is "verbose" "$(transcribe -F response_format=verbose_json)" '*"duration":1.000*"segments"*'
is "text" "$(transcribe -F response_format=text)" 'one two*ten'
is "whisper.cpp" "$(ask /inference -F "file=@$DIR/a.wav")" '{"text":" one*ten\\n"}'
is "no file" "$(code ask /inference -F model=x)" 400
is "metrics" "$(ask /metrics)" '*fake_requests_total 14*llamacpp:*vllm:kv_cache_usage_perc*'
is "keep-alive" "$(ask /health "http://127.0.0.1:$PORT/health" -o /dev/null -o /dev/null -w '%{num_connects} ')" '1 0 '
is "chunked body" "$(ask /v1/completions -H 'Transfer-Encoding: chunked' -d '{"prompt":"x","max_tokens":1}')" '*"completion_tokens":1*'
stop
is "TERM" "$RC" 0
is "arrivals" "$(awk '$4>0 && $2>=$1 && $3 ~ /^\/(v1|inf)/' "$DIR/arrivals" | wc -l)" 15

# number, first byte <= complete <= started, 5 ms later sent <= last sent; a stream in one piece
is "served" "$(awk 'NF==8 && $3>=$2 && $4>=$3 && $5>=$4+5000000 && $6>=$5 && $7>=0 && $8==1' "$DIR/served" | wc -l)" "1[0-9]"

# --- start
start --loading 700ms
is "loading" "$(ask /health)" '{"error":{"code":503,"message":"Loading model"*'
is "loaded" "$(ask /health --retry 20 --retry-delay 1 --fail)" '{"status":"ok"}'
start --port 0 && P=$PORT
"$FAKE" --port "$P" 2>"$DIR/err2"
is "port taken" "$? $(cat "$DIR/err2")" "1 *couldn't bind HTTP server socket, hostname: 127.0.0.1, port: $P"
printf 'recorded line\n' >"$DIR/log"
start --print "out of memory" --print-file "$DIR/log" --exit-at-start 7
stop
is "exit at start" "$RC $(tr '\n' ' ' <"$DIR/err")" "7 out of memory recorded line "
start --signal-at-start ABRT
stop
is "signal at start" "$RC" 134
start --ready-then-die 50ms
wait "$PID"
RC=$? PID=
is "ready then die" "$RC" 1
start --as llama-server -c 2048 -np 3 --flash-attn on -t 2 -m model.gguf
is "foreign options" "$(ask /props)" '*"total_slots":3,"model_path":"model.gguf"*'
is "foreign log" "$(cat "$DIR/err")" '*server is listening on http*'

"$FAKE" --port 0 --bind-fail 2>"$DIR/err2"
is "bind fail" "$? $(cat "$DIR/err2")" "1 *couldn't bind HTTP server socket*"
FAKE_SERVICE_SCRIPT=$DIR/script start --lie-ready --never-ready --progress 20ms
is "lies on health" "$(ask /health) $(code chat)" '{"status":"ok"} 503'
until_true grep -q 'progress 0.99' "$DIR/err"
is "progress" "$(cat "$DIR/err")" '*progress 0.99*'
start --as vllm serve some/model --gpu-memory-utilization 0.5 --max-num-seqs 2
is "vllm" "$(ask /props) $(cat "$DIR/err")" '*"total_slots":2*Uvicorn running*'
start --background && is "background" "$(wait "$PID"; echo $?) $(code ask /health)" "0 200"
PID=$(pgrep -f -- "^$FAKE --life 30s --port 0 --background" | head -n 1)
kill -TERM "$PID"

# --- request n
start --at 1:http:500:broken --at 2:close --at 3:close-mid --at 4:nonsense --at 5:empty --at 6:bang --at 7:repeat:3 \
    --at 8:garbage --at 9:empty-body --at 10:not-http --at 11:reset --at 12:print:hello --at 12:slow:200ms --at 13:say:"a b" \
    --at 14:stall-headers --at 15:stall-mid --at 16:stall --at 17:oom:"CUDA out of memory" --at 18:grow:1M --at 19:die:9
is "500" "$(chat)" '*"code":500,"message":"broken"*'
chat >/dev/null; is "close" $? 52
chat >/dev/null; is "close-mid" $? 18
is "nonsense" "$(chat)" '*"content":"?????* *'
is "empty" "$(chat)" '*"content":""*'
is "bang" "$(transcribe)" '{"text":"!!!!!!"}'
is "repeat" "$(transcribe)" '{"text":"Thank you. Thank you. Thank you."}'
is "garbage" "$(chat | tr -d '\0')" '<html>*'
is "empty body" "$(code chat)" 200
chat >/dev/null 2>&1; is "not HTTP" $? 1
chat >/dev/null; is "reset" $? 56
at_least "slow" "$(timed chat)" 0.2
is "printed" "$(cat "$DIR/err")" '*hello*'
is "say" "$(chat)" '*"content":"a b"*'
is "stall-headers" "$(chat -m 0.5 -o /dev/null -w '%{http_code} %{size_download}')" '200 0'
is "stall-mid" "$(chat -m 0.5 -o /dev/null -w '%{http_code} %{size_download}')" '200 1[0-9]?'
is "stall" "$(chat -m 0.5 -w '%{http_code}')" '000'
is "oom" "$(chat) $(cat "$DIR/err")" '*CUDA out of memory*CUDA out of memory*'
is "grow" "$(code chat)" 200
chat >/dev/null; stop
is "die" "$RC" 9
start --from 2:hang
is "before hang" "$(code chat)" 200
is "hang" "$(code chat -m 0.5) $(code ask /health)" "000 200"
start --at 1:mute
is "mute" "$(code chat -m 0.5) $(code ask /health -m 0.5)" "000 000"
start --fork-child --at 2:kill-child --at 2:http:500:'llama runner process has terminated: signal: killed'
is "two live" "$(code chat) $(pgrep -P "$PID" | wc -l)" "200 1"
is "its child is killed" "$(chat) $(code chat) $(pgrep -P "$PID" | wc -l)" '*signal: killed*200 0'
start --every 2:http:503 --at 4:signal:SEGV
is "every" "$(code chat) $(code chat) $(code chat)" "200 503 200"
chat >/dev/null; stop
is "signal" "$RC" 139
start --drop-reused
is "drop-reused" "$(ask /health "http://127.0.0.1:$PORT/health" -o /dev/null -o /dev/null -w '%{num_connects} ')" '1 1 '
start --at 1:freeze:200ms
at_least "freeze" "$(timed chat)" 0.2
start --freeze-at 0:1500ms
at_least "frozen" "$(timed chat)" 0.1
start --interfere "$DIR/neighbour" --latency 100ms
at_least "no neighbour" "$(timed chat)" 0.1
touch "$DIR/neighbour"
at_least "neighbour" "$(timed chat)" 0.2
start --require-field model_name
is "required field" "$(code transcribe -F model=x) $(code transcribe -F model_name=x)" "422 200"
start --slots 1 --latency 500ms --health-blocks
chat -o /dev/null & A=$!
for _ in $(seq 100); do
    [[ $(ask /metrics) == *"requests_processing 1"* ]] && break
    sleep 0.01
done
at_least "health waits" "$(timed ask /health)" 0.05
wait $A
start --slots 1 --latency 150ms
chat -o /dev/null & A=$!
chat -o /dev/null & B=$!
for _ in $(seq 100); do
    [[ $(ask /metrics) == *"requests_deferred 1"* ]] && break
    sleep 0.01
done
at_least "slots" "$(timed chat)" 0.2
wait $A $B
start --wer 0.2 --transcripts "$DIR/manifest.jsonl"
is "wer" "$(transcribe | tr -d '{}":' | tr ' ' '\n' | grep -cE 'text|two|three|four|five|six|seven|eight|nine|ten|xyl')" '[89]'

# --- streams: split bytes change nothing
start --sse-split 7:50us
is "split" "$(stream | grep -c '^data: ')" 10
shapes() { # shapes VARIANT PATTERN [SECONDS]: the stream, line ends shown
    start --sse "$1"
    is "sse $1" "$(stream -m "${3:-5}" | sed 's/\r/<CR>/g' | tr '\n' '|')" "$2"
}
shapes crlf 'data: *<CR>|<CR>|data: [[]DONE]<CR>|<CR>|'
shapes cr 'data: *<CR><CR>data: [[]DONE]<CR><CR>'
shapes bom $'\xef\xbb\xbfdata: *'
shapes no-space 'data:{*|data:[[]DONE]||'
shapes ping ':||: ping||data: *id: 2|: ping||*'
shapes event-ping 'event: ping|data: {}||*data: {"choices"*'
shapes empty-data 'data:||data: *|data: ||*'
shapes multi-data 'data: {"choices":*|data: "id":*'
shapes err-field 'error: {"code":400*||data: [[]DONE]||'
shapes data-error '*"content"*||data: {"error":*||'
shapes reasoning '*"reasoning":*"content":" *'
shapes reasoning_content '*"reasoning_content":*"content":" *'
shapes reasoning-only '*"finish_reason":"length"*'
shapes usage-beside-choices '*"finish_reason":"length"*"usage":{*||data: [[]DONE]||'
shapes usage-null '*"usage":null*"usage":{*'
shapes no-done '*"usage":{*}}||'
shapes no-done-open '*"finish_reason":"length"*}||' 0.5
shapes truncated '*"content":*}||'
shapes half-json '*"content":*||data: {"choices":*'
shapes tail-no-blank '*||data: [[]DONE]'
start --sse ping --latency 200ms --ping-every 20ms --tokens 1
is "pings until the first token" "$(stream | sed '/^data/,$d' | grep -c '^:')" '@([5-9]|1[0-9])'
start --sse huge
is "sse huge" "$(stream | wc -c | awk '{print ($1 > 1000000)}')" 1
start --sse no-usage
is "no-usage" "$(stream | grep -c usage)" 0
start --at 2:sse:truncated
is "sse of one request" "$(stream | grep -c DONE) $(stream | grep -c DONE) $(stream | grep -c DONE)" "1 0 1"
start --latency 200ms --role-early
at_least "role early" "$(stream -o /dev/null -w '%{time_total}-%{time_starttransfer}' | tr - ' ' | awk '{print $1 - $2}')" 0.1

# --- sharing: another name's work doubles the latency
start --kind stt --share-dir "$DIR/share" --latency 600ms
STT=$PID STT_PORT=$PORT PID=
start --kind llm --share-dir "$DIR/share" --share-factor 3 --latency 100ms
at_least "alone" "$(timed chat)" 0.1
curl -s -m 5 -o /dev/null -F "file=@$DIR/a.wav" "http://127.0.0.1:$STT_PORT/inference" &
C=$!
busy() { curl -s -m 5 "http://127.0.0.1:$STT_PORT/metrics" | grep -qx 'fake_requests_busy 1'; }
until_true busy
at_least "beside" "$(timed chat)" 0.3
wait $C
kill "$STT"; wait "$STT"

# --- the card: a world of two, the second one larger (what CUDA takes for faster)
W=$DIR/world
mkdir "$W"
printf 'card GPU-aaaa 0000:01:00.0 10240 240 Small\ncard GPU-bbbb 0000:02:00.0 20480 480 Large\n' >"$W/world"
holds() { cat "$W/$PID.gpu" 2>/dev/null | tr '\n' ' '; } # what its file says
has() { holds | grep -q -- "$1"; }
rested() { until_true has worked; holds; } # the same, once its work is over
start --gpu "$W" --gpu-memory 2G
is "fastest first" "$(holds)" "owner $PID * on GPU-bbbb process c $PID 2048 "
is "worked" "$(code chat) $(rested)" "200 *worked $PID 30 [1-9]*"
stop
is "given back" "$(ls "$W")" $'libcuda.so.1\nlock\nworld'
CUDA_DEVICE_ORDER=PCI_BUS_ID start --gpu "$W" --gpu-memory 2G
is "order of PCI" "$(holds)" '*on GPU-aaaa *'
CUDA_VISIBLE_DEVICES=GPU-aa start --gpu "$W" --gpu-memory 2G --gpu-first 1G --gpu-grow 1M --gpu-sm 12
is "by UUID" "$(holds)" '*on GPU-aaaa *'
is "grows" "$(code chat) $(code chat) $(rested)" '200 200 *3074 worked * 12 *'
CUDA_VISIBLE_DEVICES=1,GPU-aaaa start --gpu "$W" --gpu-memory 1G --gpu-device 1
is "the second that it sees" "$(holds)" '*on GPU-aaaa *'
for V in '' -1 7 GPU-cccc none,0; do
    CUDA_VISIBLE_DEVICES=$V start --gpu "$W" --gpu-memory 1G
    is "no card: $V" "$(holds)$(cat "$DIR/err")" "Device=cpu *CUDA_VISIBLE_DEVICES=$V"$'\n*'
done
CUDA_VISIBLE_DEVICES='' start --as llama-server --gpu "$W" --gpu-memory 1G
is "llama-server without a card" "$(cat "$DIR/err")" '*failed to initialize CUDA*no usable GPU found*listening*'
start --gpu "$W" --gpu-memory 1G --gpu-cpu-build
is "built without CUDA" "$(holds)$(grep -c libcuda "/proc/$PID/maps")" 0
start --gpu "$W" --gpu-memory 30G
wait "$PID"
is "no memory" "$? $(cat "$DIR/err")" '1 *CUDA out of memory. Tried to allocate 30720.00 MiB*20000.00 MiB is free*'
PID=
start --as vllm --gpu "$W" --gpu-memory-utilization 0.99
wait "$PID"
is "vLLM's share" "$? $(cat "$DIR/err")" '1 *Free memory on device cuda:0 (19.53/20.00 GiB) on startup is less than desired GPU memory utilization (0.99, 19.80 GiB)*'
PID=
start --gpu "$W" --gpu-memory 19G --gpu-grow 200M
is "until there is no more" "$(code chat) $(code chat)" '200 200'
chat >/dev/null; wait "$PID"
is "it ends" "$? $(grep -c 'CUDA out of memory' "$DIR/err")" '1 1'
PID=
start --gpu "$W" --gpu-memory 19G --gpu-grow 600M --gpu-oom-lives
is "or lives" "$(code chat) $(code ask /health)" '500 200'
start --gpu "$W" --gpu-memory 19G
stop -KILL
start --gpu "$W" --gpu-memory 19G
is "killed: it is free" "$(holds)" '*19456*'
stop
start --gpu "$W" --gpu-memory 19G --gpu-linger 1s
stop -KILL
start --gpu "$W" --gpu-memory 19G
wait "$PID"
is "lingers" "$(cat "$DIR/err")" '*out of memory*'
PID=
sleep 1
start --gpu "$W" --gpu-memory 19G
is "but not for ever" "$(holds)" '*19456*'
stop
rm -f "$W"/*.gpu "$W"/*.dead
start --gpu "$W" --gpu-memory 1G --gpu-leak 1G
stop
start --gpu "$W" --gpu-memory 19G
wait "$PID"
is "leaks" "$(cat "$DIR/err")" '*out of memory*'
PID=
rm -f "$W"/*.gpu
"$FAKE" --life 30s --gpu "$W" --gpu-hold 1G --gpu-when "$DIR/now" --gpu-grow-at 0:3G --gpu-work-at 0 2>"$DIR/err" & PID=$!
is "a stranger" "$(until_true has ' 1024 ' && holds)" '*1024 '
touch "$DIR/now"
is "grows and works" "$(until_true has 'sm ' && holds)" "*3072 sm $PID 30 "
is "the sign is taken" "$(ls "$DIR/now" 2>/dev/null)" ''
stop
start --gpu "$W" --gpu-memory 1G --touch-at-start "$DIR/began" --touch-at-end "$DIR/ended"
is "signs of start and end" "$(ls "$DIR" | grep -E 'began|ended' | tr '\n' ' ')" 'began '
stop
is "of its end" "$(ls "$DIR" | grep -cE 'began|ended')" 2
"$FAKE" --life 30s --gpu "$W" --gpu-hold 9G --gpu-when "$DIR/now" --gpu-grow-at 0:1G & HOLDER=$!
until_true grep -q 9216 "$W/$HOLDER.gpu" 2>/dev/null
start --gpu "$W" --gpu-memory 1G --gpu-profiles --start-delay 500ms --touch-at-start "$DIR/now"
wait "$PID"
is "memory given back while it starts" "$? $(cat "$DIR/err")" '1 *Error in memory profiling. Initial free memory 10.53 GiB, current free memory 18.53 GiB*'
PID=
kill "$HOLDER"; wait "$HOLDER"
touch "$W/lost"
start --gpu "$W" --gpu-memory 1G
is "lost before" "$(holds)$(cat "$DIR/err")" 'Device=cpu*'
rm "$W/lost"
start --gpu "$W" --gpu-memory 1G --at 2:touch:"$W/lost"
is "lost under load" "$(code chat) $(code chat)" '200 500'
rm "$W/lost"
start --fork-setsid --gpu-child --child-life 5s --gpu "$W" --gpu-memory 1G
is "its engine holds it" "$(holds)" "*process c $(pgrep -P "$PID") 1024 "
stop

# --- processes
start --fork-child --fork-setsid --child-life 5s --child-holds-memory 4M
until_true pgrep -P "$PID" -x VLLM::EngineCor >/dev/null
is "children" "$(pgrep -P "$PID" -l | sed 's/^[0-9]* //' | sort | tr '\n' ' ')" 'VLLM::EngineCor fake-*'
ENGINE=$(pgrep -P "$PID" -x VLLM::EngineCor)
is "title" "$(tr '\0' ' ' <"/proc/$ENGINE/cmdline")" 'VLLM::EngineCore*'
is "worker" "$(pgrep -P "$ENGINE" -l | sed 's/^[0-9]* //')" 'VLLM::Worker_TP'
kill -TERM "$ENGINE"
sleep 0.05
is "deaf engine" "$(kill -0 "$ENGINE" && echo alive)" alive
stop
is "good order" "$(kill -0 "$ENGINE" 2>/dev/null || echo gone)" gone
start --fork-child --orphan-lives --child-life 2s
ORPHAN=$(pgrep -P "$PID")
stop
is "orphan lives" "$(kill -0 "$ORPHAN" && echo alive)" alive
kill -KILL "$ORPHAN"
start --double-fork --child-life 2s
DAEMON=$(pgrep -f -- "^$FAKE --life 30s --port 0 --double-fork" | grep -vx "$PID")
is "daemon" "$(awk '{print ($4 != '"$PID"')}' "/proc/$DAEMON/stat") $(readlink "/proc/$DAEMON/fd/1")" "1 /dev/null"
kill -KILL "$DAEMON"
start --term-delay 200ms --term-exit 3
kill -TERM "$PID"
is "late" "$(code ask /health)" 200
wait "$PID"
is "exit code of its end" $? 3
PID=
start --ignore-term
kill -TERM "$PID"
sleep 0.1
is "ignores TERM" "$(code ask /health)" 200
stop -KILL

# ---- other dialects ----
start --kind all --at 2:sse:data-error --at 3:reload:50ms
OLLAMA='{"messages":[{"role":"user","content":"hi"}],"options":{"num_predict":3}'
is "ollama chat" "$(ask /api/chat -d "$OLLAMA}" | tail -n 1)" '*"done":true,*"load_duration":21375251,*"eval_count":3,*'
is "ollama error line" "$(ask /api/chat -d "$OLLAMA}" | tail -n 1)" '{"error":"an error was encountered*'
is "ollama reload" "$(ask /api/generate -d '{"prompt":"hi","stream":false}')" '*"response":"*"done":true*"load_duration":50000000,*'
is "embeddings" "$(ask /v1/embeddings -d '{"input":["a","b"]}')" '*"index":0,"embedding":\[*"index":1,"embedding":\[*'
is "infer" "$(ask /v2/models/m/infer -d '{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}')" '*"shape":\[1,8\],"data":\[*'
is "speech" "$(ask /v1/audio/speech -d '{"input":"one two","response_format":"wav"}' | wc -c)" 9644
printf x >"$DIR/b.wav"
is "transcript in pieces" "$(ask /v1/audio/transcriptions -F stream=true -F "file=@$DIR/b.wav")" '*transcript.text.delta*"delta":" world"*transcript.text.done","text":"hello world"*'
is "no such kind" "$(start --kind llm; code ask /v1/embeddings -d '{"input":"a"}'; stop -KILL)" 404
start --rss 64M
is "rss" "$(until_true rss_over "$PID" 64000 && echo reached)" reached
start --rss-ramp 40M:100ms
is "rss-ramp" "$(until_true rss_over "$PID" 40000 && echo reached)" reached
start --flood 1M --log-binary --log-long-line 100K
flooded() { [ $(($(stat -c %s "$DIR/err") + $(stat -c %s "$DIR/out"))) -gt 350000 ]; }
is "flood" "$(until_true flooded && echo flooded) $(LC_ALL=C grep -c $'\x1b' "$DIR/err")" 'flooded [1-9]*'
stop

echo "fake-service: $CHECKED checks, $FAILED failed"
[ "$FAILED" -eq 0 ]
