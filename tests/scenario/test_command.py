"""Services that are programs, run once for each request: nobody starts them, and nothing stays."""

import json
import os
import shutil
import signal
import subprocess
import time

from gpu import GIB, cards, used_mib, world
from harness import FAKE, alive, check, environment_of, main, processes, scenario, skip_unless


def program(box, name, text):
    """A shell script that is run for each request; its argument is the prompt."""
    path = box.write(name, "#!/bin/sh\n" + text + "\n")
    os.chmod(path, 0o755)
    return path


def run_by(box, text, *arguments, **keys):
    path = program(box, "answer.sh", text)
    return {"command": [path, "{prompt}", *arguments], "protocol": "command", **keys}


@scenario(quick=True)
def a_program_is_a_service(box):
    box.study(tool=run_by(box, 'sleep "$2"; echo "warm" >&2; echo "you said: $1"', "{wait}",
                          knobs={"wait": ["0.3"]}), load={"tool": {"concurrency": 2}},
              measure={"window": "2s"})
    box.run("run", box.file, code=0)
    box.expect(1, "ok")
    requests = box.requests(1, "tool")
    check(requests and all(r["error"] is None for r in requests), requests)
    check(box.metric(1, "tool", "latency", "p50") >= 0.3, "the program's own time is missing")
    check(box.metric(1, "tool", "memory") > 0, "memory of what ran was not seen")
    check(box.metric(1, "tool", "cpu") > 0, "CPU time of what ran was not seen")
    service = box.services(1)["tool"]
    check("answer.sh '{prompt}' 0.3" in service["command"], service)
    check(service["log"].count("warm\n") >= 4, f"its words are not kept: {service['log']!r}")


@scenario(quick=True)
def it_has_its_folder_environment_and_mark(box):
    os.mkdir(box.path("elsewhere"))
    box.study(tool=run_by(box, 'echo "$PWD $COLOUR $SPICA_SERVICE $2" | tee said', "{dir}",
                          folder="elsewhere", environment={"COLOUR": "blue"}))
    box.run("run", box.file, code=0)
    with open(box.path("elsewhere/said"), encoding="utf-8") as file:
        said = file.read()
    check(said.startswith(f"{box.path('elsewhere')} blue sc/tool {box.results}"), said)


@scenario(quick=True)
def a_failed_run_is_a_failed_request(box):
    count = box.path("count")
    box.study(tool=run_by(box, f'echo x >> {count}; n=$(wc -l < {count}); '
                               'if [ $((n % 3)) = 0 ]; then echo part; echo "no such tensor" >&2; '
                               'exit 7; fi; echo fine'))
    box.run("run", box.file)
    box.expect(1, "errors", service="tool", says="requests failed",
               evidence="exit status 7: no such tensor")
    failed = [r for r in box.requests(1, "tool") if r["error"]]
    check(failed and all(r["error"] == "server_error" for r in failed), failed[:3])


@scenario(quick=True)
def what_it_says_names_the_cause(box):
    box.study(tool=run_by(box, 'echo "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate '
                               '2.00 GiB." >&2; echo "bye" >&2; exit 1'))
    box.run("run", box.file)
    box.expect(1, "oom_start", service="tool", says="in a run of it")


@scenario(quick=True)
def nothing_stays_of_what_it_left(box):
    box.study(tool=run_by(box, 'sleep 300 & setsid sleep 300 & echo fine'))
    box.run("run", box.file, code=0)
    box.expect(1, "ok")  # the box looks for what is left


@scenario(quick=True)
def a_killed_study_leaves_nothing(box):
    box.study(tool=run_by(box, 'setsid sleep 300 & sleep 300; echo late'),
              measure={"window": "60s", "probe_within": "60s"}, load={"tool": {"timeout": "60s"}})
    run = box.start("run", box.file)
    until = time.monotonic() + 60

    def sleepers():
        return [pid for pid, (_, state, comm) in processes().items()
                if comm == "sleep" and state not in "ZX" and box.mark.encode() in environment_of(pid)]

    while len(sleepers()) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    check(len(sleepers()) == 2, sleepers())
    run.signal(signal.SIGKILL)
    run.wait()
    while sleepers() and time.monotonic() < until:
        time.sleep(0.05)
    check(not sleepers(), [p for p in sleepers() if alive(p)])


@scenario(quick=True)
def output_without_end_is_cut(box):
    box.study(tool=run_by(box, 'exec yes "$1"'))
    box.run("run", box.file)
    box.expect(1, "errors", service="tool")


@scenario(quick=True)
def a_missing_program_is_named(box):
    box.study(tool={"command": ["/nonexistent/tool", "{prompt}"], "protocol": "command"})
    run = box.run("run", box.file, code=2)
    check("no program /nonexistent/tool" in run.err, run.err)


@scenario(quick=True)
def two_are_told_apart(box):
    busy = program(box, "busy.sh", 'i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; echo "$1"')
    idle = program(box, "idle.sh", 'sleep 0.05; echo "$1"')
    box.study(one={"command": [busy, "{prompt}"], "protocol": "command"},
              two={"command": [idle, "{prompt}"], "protocol": "command"},
              llm=box.fake("llm"), measure={"window": "3s"})
    box.run("run", box.file, code=0)
    box.expect(1, "ok")
    busy_cpu, idle_cpu = box.metric(1, "one", "cpu"), box.metric(1, "two", "cpu")
    check(busy_cpu > idle_cpu, f"{busy_cpu} of the busy one, {idle_cpu} of the idle one")


@scenario(quick=True)
def speech_by_a_program_begins_a_turn(box):
    box.corpus()
    hear = program(box, "hear.sh", 'test -s "$1" && echo "the quick brown fox"')
    study = box.study(stt={"role": "stt", "command": [hear, "{audio}"], "protocol": "command-audio",
                           "answers": "unchecked"},
                      llm=box.fake("llm"), load={"stt": {"concurrency": 1}},
                      goal={"optimise": {"llm.turn.p50": {"good": "1ms", "bad": "10s"}}})
    study["load"]["llm"] = {"after": "stt", "max_tokens": 8, "timeout": "10s"}
    box.write("study.yaml", json.dumps(study) + "\n")
    box.run("run", box.file, code=0)
    box.expect(1, "ok")
    check(box.metric(1, "llm", "turn", "p50") > 0, "no turn")


def on_the_card(box, *arguments):
    """A program that holds a card for half a second and then answers."""
    cards(box)
    hold = f"{FAKE} --gpu {world(box)} --life 600ms {' '.join(arguments)} > /dev/null"
    return run_by(box, hold + '; echo "you said: $1"', on="gpu")


@scenario(quick=True)
def it_is_proven_on_the_card_while_it_runs(box):
    box.study(device="gpu0", measure={"window": "3s"},
              tool=on_the_card(box, "--gpu-hold", "3G", "--gpu-sm", "60", "--gpu-work-at", "0"))
    box.run("run", box.file, "--trials", "1", code=0)
    box.expect(1, "ok")
    row = box.services(1)["tool"]
    check(row["placement"] == "gpu", row)
    check(2.5 * GIB < row["peak_memory_bytes"] < 4 * GIB, row)
    check("CUDA_VISIBLE_DEVICES" in row["environment"], row)
    check(used_mib(box) < 600, "the card is not clean")


@scenario(quick=True)
def it_is_not_proven_where_it_holds_nothing(box):
    service = on_the_card(box, "--gpu-hold", "1G")
    program(box, "answer.sh", 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo "$1"')
    box.study(device="gpu0", tool=service)
    box.run("run", box.file, "--trials", "1")
    box.expect(1, "cpu_fallback", service="tool", evidence="not listed on gpu0")


WRONG = [
    ({"ready": {"within": "5s"}}, {}, "nobody starts it"),
    ({"stop_grace": "1s"}, {}, "each run ends by itself"),
    ({"memory_limit": "1GiB"}, {}, "no process tree that lasts"),
    ({"fresh": True}, {}, "each request starts it anew"),
    ({"path": "/x"}, {}, "no HTTP path"),
    ({"command": ["true", "{prompt}", "{port}"]}, {}, "listens nowhere"),
    ({"command": ["true", "{audio}"]}, {}, "command has no {audio}"),
    ({"command": ["true"]}, {}, "it is given nothing"),
    ({}, {"command": "true {{prompt}"}, "services.tool.command"),
    ({}, {"concurrency": 300}, "at most 256"),
    ({}, {"reuse_connection": True}, "no connection"),
    ({"environment": {"P": "{prompt}"}}, {}, "no knob of this name"),
]


@scenario(quick=True)
def wrong_combinations_are_one_line(box):
    for service, load, says in WRONG:
        box.study(tool={"command": ["true", "{prompt}"], "protocol": "command", **service},
                  load={"tool": load})
        run = box.run("check", box.file, code=2)
        check(says in run.err and run.err.count("\n") == 1, run.err)
    box.study(tool={"container": ["podman", "run", "x"], "protocol": "command"})
    run = box.run("check", box.file, code=2)
    check("no container is started for each request" in run.err, run.err)


# What the prompt says is what becomes of it; the first run of all, before a bench's own, is well, so that it
# goes on.
EVERY_WAY = """rmdir {box}/first 2>/dev/null && exec espeak-ng -q -x "$1"
case "$1" in
*words*) exec espeak-ng -q -x "$1" ;;
*fails*) exec sox /nonexistent.wav -n ;;
*killed*) espeak-ng -q -x "$1"; kill -SEGV $$ ;;
*endless*) exec sox -n -t raw -r 48000 -b 16 -c 2 - synth 36000 sine 440 ;;
*silent*) exec espeak-ng -q "$1" ;;
*hangs*) mkfifo {box}/in.$$ {box}/out.$$
    sox -t raw -r 8000 -e signed -b 16 -c 1 {box}/in.$$ -n & echo $! >> {box}/hung
    sox -t raw -r 8000 -e signed -b 16 -c 1 {box}/out.$$ -n & echo $! >> {box}/hung
    wait ;;
esac"""


@scenario(quick=True)
def programs_end_in_every_way(box):
    """Real programs, each prompt twice: counts and words by kind, and of those that hung nobody is left."""
    for name in ("espeak-ng", "sox"):
        skip_unless(shutil.which(name), f"no {name} here")
    path = program(box, "answer.sh", EVERY_WAY.replace("{box}", box.folder))

    def bench(ways, count, timeout, code):
        box.write("ways.jsonl", "".join(json.dumps({"prompt": f"it {way} here"}) + "\n" for way in ways))
        os.mkdir(box.path("first"))
        run = json.loads(box.run("bench", "--workers", "1", "--protocol", "command", "-o", f"command={path} {{prompt}}",
                                 "--prompts", "ways.jsonl", "-c", "2", "-n", count, "--load", f"timeout={timeout}",
                                 "--json", "--records", "r", code=code, lines=-1).out)
        return run["answered"], {kind: error["count"] for kind, error in run["errors"].items()}

    # Those that hang may take as long as a busy machine needs to start them; the others end by themselves.
    answered, counts = bench(("hangs",), 2, "5s", 6)
    check(answered == 0 and counts == {"timeout": 2}, counts)
    with open(box.path("hung"), encoding="utf-8") as file:
        hung = [int(line) for line in file]
    check(len(hung) == 4 and not [pid for pid in hung if alive(pid)], f"left: {hung}")
    ways = ("words", "fails", "killed", "endless", "silent")
    answered, counts = bench(ways, 10, "60s", 0)
    check(answered == 2 and counts == {"server_error": 4, "limit": 2, "empty": 2}, counts)
    with open(box.path("r"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    for item, (way, words) in enumerate(zip(ways, (None, "exit status 2: sox FAIL formats: can't open input file",
                                                   "killed by signal 11", "", ""))):
        errors = [line["error"] for line in lines if line["metadata"]["item"] == item]
        check(len(errors) == 2, f"{way}: {errors}")
        for error in errors:
            check(error is None if words is None else words in error["message"], f"{way}: {error}")


@scenario(quick=True)
def what_a_program_says_is_heard(box):
    """Its output is the answer's text, word for word: how long soxi says that each clip is."""
    skip_unless(shutil.which("soxi"), "no soxi here")
    folder = box.corpus()
    with open(os.path.join(folder, "manifest.jsonl"), encoding="utf-8") as file:
        clips = [json.loads(line) for line in file]
    for clip in clips:
        clip["text"] = subprocess.run(["soxi", "-D", os.path.join(folder, clip["audio_filepath"])], check=True,
                                      capture_output=True, text=True).stdout.strip()
    def bench():
        with open(os.path.join(folder, "manifest.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(json.dumps(clip) + "\n" for clip in clips)
        return json.loads(box.run("bench", "--workers", "1", "--protocol", "command-audio", "-o",
                                  "command=soxi -D {audio}", "--corpus", folder, "-n", str(len(clips)), "--json",
                                  code=0, lines=-1).out)
    run = bench()
    check(run["answered"] == len(clips) and run["metrics"]["wer"]["value"] == 0, run["metrics"]["wer"])
    clips[0]["text"] = "nine"
    check(bench()["metrics"]["wer"]["value"] > 0, "a wrong word is no error")


@scenario(quick=True)
def bench_runs_a_program_without_a_url(box):
    path = program(box, "answer.sh", 'echo "you said: $1"')
    run = box.run("bench", "--protocol", "command", "-o", f"command={path} {{prompt}}", "--for", "1s",
                  code=0, lines=-1)  # it may have been late itself
    check("latency" in run.out and "answer.sh" in run.out, run.out)
    run = box.run("bench", "--protocol", "command", "--for", "1s", code=2)
    check("--option command=" in run.err, run.err)
    run = box.run("bench", "--protocol", "command", "--url", "http://x", "--for", "1s", code=2)
    check("--url" in run.err, run.err)


if __name__ == "__main__":
    main(__name__)
