#!/usr/bin/env python3
"""`spica bench` over the fake service: what it prints, what it exits with, and that nothing stays."""

import json
import math
import os
import re
import signal
import subprocess
import time

from harness import FAKE, ROOT, SPICA, check, descendants, main, processes, scenario

WITHIN_S = 30  # until a service has its port
# With a fixed number of workers nothing is tried again, however busy this machine is.
ALONE = ("bench", "--workers", "1")


def serve(box, kind, *options):
    """A running service; returns its URL, without a path."""
    if kind == "stt":
        options = ("--transcripts", box.corpus() + "/manifest.jsonl", *options)
    log = box.path(f"tmp/fake-{len(box.helpers)}")
    with open(log, "wb") as out:
        popen = subprocess.Popen([FAKE, "--kind", kind, "--port", "0", "--life", "300s",
                                  *map(str, options)], stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=out, env=box.env, cwd=box.folder)
    box.helpers.append(popen)
    end = time.monotonic() + WITHIN_S
    while True:
        text = open(log, encoding="utf-8", errors="replace").read()
        found = re.search(r"127\.0\.0\.1:(\d+)|port (\d+)", text)
        if found:
            return f"127.0.0.1:{found.group(1) or found.group(2)}"
        check(popen.poll() is None and time.monotonic() < end, text)
        time.sleep(0.02)


def chat(url, *more, bench=ALONE):
    return [*bench, "--protocol", "openai-chat", "--url", url, "--warmup", "0s", *more]


def sanitized():
    with open(SPICA, "rb") as file:
        return b"__asan_init" in file.read()


def words_of(result):
    """stdout on one line: where a line ends is the terminal's affair."""
    return " ".join(result.out.split())


def as_json(result):
    return json.loads(result.out)


def type7(values, q):
    values = sorted(values)
    at = (len(values) - 1) * q
    low = math.floor(at)
    return values[low] + (at - low) * (values[min(low + 1, len(values) - 1)] - values[low])


@scenario(quick=True)
def table_of_a_plain_run(box):
    """80 columns, every part there, exit 0; the URL gets the protocol's path."""
    url = serve(box, "llm", "--latency", "5ms")
    out = box.run(*chat(url, "--rate", "50/s", "--for", "1s"), code=0).out
    for words in ("/v1/chat/completions", "arrivals: poisson", "built-in prompts", "a prefix cache may have answered", "p50", "ttft",
                  "itl", "answered, 0 failed", "answers/s", "tokens/s", "lateness", "our own:"):
        check(words in out, f"no \"{words}\" in\n{out}")
    check("a new connection for each request" in " ".join(out.split()), out)
    check(max(map(len, out.splitlines())) <= 80, f"wider than 80 columns:\n{out}")
    check("\033" not in out, "colours without a terminal")


@scenario(quick=True)
def records_and_json_agree(box):
    """The percentiles of --json are those of the lines of --records, recomputed here."""
    url = serve(box, "llm", "--latency", "5ms", "--every", "5:http:503:busy")
    result = box.run(*chat(url + "/v1", "--rate", "100/s", "--for", "2s", "--json", "--records",
                           "r.jsonl", "--max-tokens", "4"), code=0)
    run = as_json(result)
    lines = [json.loads(line) for line in open(box.path("r.jsonl"))]
    check(run["spica_bench"] == 1 and run["ended"] == "whole", run)
    check(len(lines) == run["requests"] == run["answered"] + run["errors"]["http_status"]["count"],
          f"{len(lines)} lines: {result.out[:800]}")
    check(run["errors"]["http_status"]["http_status"] == 503
          and "busy" in run["errors"]["http_status"]["example"], run["errors"])
    good = [line for line in lines if line["error"] is None]
    bad = [line for line in lines if line["error"]]
    check(all(line["error"]["type"] == "http_status" and line["error"]["code"] == 503
              and "request_latency" not in line["metrics"] for line in bad), bad[:1])
    for metric, name, scale in (("latency", "effective_latency", 1e3),
                                ("ttft", "effective_time_to_first_token", 1e3)):
        values = [line["metrics"][name]["value"] for line in good]
        for stat, q in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("max", 1)):
            is_, wanted = run["metrics"][metric][stat]["value"] * scale, type7(values, q)
            check(abs(is_ - wanted) < 1e-6 * wanted + 1e-6, f"{metric} {stat}: {is_}, not {wanted}")
    for line in good:
        meta, metrics = line["metadata"], line["metrics"]
        check(meta["credit_issued_ns"] <= meta["request_start_ns"] <= meta["request_ack_ns"]
              <= meta["request_end_ns"], meta)
        check(abs((meta["request_end_ns"] - meta["request_start_ns"]) / 1e6
                  - metrics["request_latency"]["value"]) < 1e-3, line)
        check(len(metrics["inter_chunk_latency"]["value"]) == 3
              and metrics["output_sequence_length"]["value"] == 4, line)
        check(abs(time.time() - meta["request_end_ns"] / 1e9) < 600, "not wall time")
    sessions = sorted(line["metadata"]["session_num"] for line in lines)
    check(sessions == list(range(len(lines))), "each request once")


@scenario(quick=True)
def records_have_aiperfs_names(box):
    """What has a name of AIPerf's has its type, its unit and its meaning: held against lines that AIPerf wrote."""
    with open(os.path.join(ROOT, "tests/recordings/aiperf/profile_export.jsonl"), encoding="utf-8") as file:
        theirs = [json.loads(line) for line in file]
    url = serve(box, "llm", "--latency", "5ms", "--latency-per-token", "5ms", "--sse", "reasoning")
    box.run(*chat(url, "-c", "1", "-n", "3", "--records", "r.jsonl"), code=0)
    ours = [json.loads(line) for line in open(box.path("r.jsonl"))]
    kind = lambda value: float if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value)
    meta = set(ours[0]["metadata"]) & set(theirs[0]["metadata"])
    check(meta >= {"session_num", "turn_index", "conversation_id", "credit_issued_ns", "request_start_ns",
                   "request_ack_ns", "request_end_ns", "benchmark_phase", "was_cancelled"}, meta)
    check(all(kind(ours[0]["metadata"][n]) is kind(theirs[0]["metadata"][n]) for n in meta), ours[0])
    metrics = set(ours[0]["metrics"]) & set(theirs[0]["metrics"])
    check(metrics >= {"request_latency", "time_to_first_token", "time_to_first_output_token", "time_to_second_token",
                      "inter_token_latency", "inter_chunk_latency", "output_sequence_length",
                      "input_sequence_length"}, metrics)
    for name in metrics:
        a, b = ours[0]["metrics"][name], theirs[0]["metrics"][name]
        check(kind(a["value"]) is kind(b["value"]) and a["unit"] == b["unit"], f"{name}: {a}, theirs {b}")
    for line in theirs + ours:
        value = {name: line["metrics"][name]["value"] for name in metrics}
        mean = ((value["request_latency"] - value["time_to_first_token"]) /
                (value["output_sequence_length"] - 1))
        check(abs(mean - value["inter_token_latency"]) < 1e-6, f"{mean}: {value}")
        check(value["time_to_first_token"] <= value["time_to_first_output_token"], value)


@scenario(quick=True)
def same_seed_same_load(box):
    """The same seed sends at the same times, another seed does not."""
    url = serve(box, "llm")
    def times(name, seed):
        box.run(*chat(url, "--rate", "40/s", "--for", "1s", "--seed", seed, "--records", name),
                code=0)
        lines = [json.loads(line)["metadata"] for line in open(box.path(name))]
        lines.sort(key=lambda m: m["session_num"])
        return [(m["credit_issued_ns"] - lines[0]["credit_issued_ns"], m["item"]) for m in lines]
    first = times("a", 7)
    check(first == times("b", 7), "the same seed: other sends")
    made = chat(url, "-n", "5", "--load", "prompt_tokens=9", "--load", "output_tokens=3", "--json")
    runs = [as_json(box.run(*made, *more, code=0)) for more in ((), (), ("--text-salt", "then"))]
    salts = [run["text_salt"] for run in runs]
    check(salts[0] and salts[0] != salts[1] and salts[2] == "then", salts)
    check(all(run["prompts_sent"] is None for run in runs), "made-up text is sent once")
    check('text salt "then"' in words_of(box.run(*made[:-1], "--text-salt", "then", code=0)), "no salt in the table")
    check(first != times("c", 8), "another seed: the same sends")


@scenario(quick=True)
def capacity_says_its_text_salt(box):
    """How the words of made-up text are had again: in the table and in --json; nothing where none are made up."""
    url = serve(box, "llm")
    run = lambda *args: box.run(*args, code=None, lines=-1)  # 3 where we were late at every level
    base = chat(url, "--capacity", "concurrency", "--up-to", "2", "--for", "300ms", "--require", "errors == 0")
    made = [*base, "--load", "prompt_tokens=9", "--text-salt", "then"]
    check('text salt "then"' in words_of(run(*made)), "no salt in the table")
    check(as_json(run(*made, "--json"))["text_salt"] == "then", "no salt in --json")
    check("salt" not in run(*base).out, "the prompts of a list have none")


@scenario(quick=True)
def a_trace_of_both_kinds(box):
    """Which request's text is made up the request itself says: a list's prompts are counted, the others are not."""
    url = serve(box, "llm", "--latency", "1ms")
    box.write("trace.jsonl", "".join(json.dumps(
        {"timestamp": 20 * i, **({"prompt": f"number {i}"} if i % 2 else {"input_length": 9})}) + "\n"
        for i in range(20)))
    run = as_json(box.run(*chat(url, "--for", "790ms", "--load", "trace=trace.jsonl", "--json", "--records", "r"), code=0))
    sent = run["prompts_sent"]
    # Twice round; the first request of all is the trace's first, which is made up.
    check(run["requests"] == 40 and sent["prompts"] == 10, f"{run['requests']} {sent}")
    check(sent["least_times"] == sent["most_times"] == 2, sent)
    lines = [json.loads(line)["metadata"] for line in open(box.path("r"))]
    names = [m["conversation_id"] for m in sorted(lines, key=lambda m: m["session_num"])]
    check(len(set(names)) == 30 and names[1] == names[21] == "item_000000" and names[2] == "made_000002", names)
    # Whose lengths are asked for in vain: each has its prompt, and nothing was made up.
    box.write("own.jsonl", "".join(json.dumps({"timestamp": 20 * i, "prompt": f"number {i}"}) + "\n" for i in range(20)))
    for name, says in (("trace.jsonl", True), ("own.jsonl", False)):
        for more in ((), ("--capacity", "concurrency", "--up-to", "2", "--require", "errors == 0")):
            table = words_of(box.run(*chat(url, "--for", "390ms", "--load", f"trace={name}", "--load", "prompt_tokens=9",
                                           *more), code=None, lines=-1))
            check(("text salt" in table) == says, f"{name} {more}: {table}")


@scenario(quick=True)
def closed_loop_and_limits(box):
    """--concurrency and --requests: exactly so many requests, by so many clients at once."""
    url = serve(box, "llm", "--latency", "20ms")
    run = as_json(box.run(*ALONE, "-p", "openai-chat", "-u", url, "-c", "3", "-n", "31", "--json", code=0))
    check(run["requests"] == 31 and run["load"]["arrivals"] == "closed"
          and run["load"]["concurrency"] == 3, run)
    # 31 and the first of all, of twelve prompts.
    check(run["prompts_sent"]["prompts"] == 12 and run["prompts_sent"]["most_times"] in (3, 4)
          and run["prompts_sent"]["may_be_cached"], run["prompts_sent"])


@scenario(quick=True)
def p99_needs_its_sample(box):
    """Below 100 requests p99 has no value and says what it needs."""
    url = serve(box, "llm")
    # p95 needs 20; up to half may be cut as warm-up where the machine is busy.
    run = as_json(box.run(*ALONE, "-p", "openai-chat", "-u", url, "-n", "60", "--json", code=0))
    p99 = run["metrics"]["latency"]["p99"]
    check(p99["value"] is None and p99["needs"] == 100, p99)
    check(run["metrics"]["latency"]["p95"]["value"] is not None, run["metrics"]["latency"])


@scenario(quick=True)
def requirements(box):
    """Met is 0, missed is 3, and what the sample can't tell is 6."""
    url = serve(box, "llm", "--latency", "100ms", "--slots", "8")
    # p95 needs 59 with none over; up to half may be cut as warm-up where the machine is busy.
    base = [*ALONE, "-c", "8", "-p", "openai-chat", "-u", url, "-n", "160"]
    good = box.run(*base, "--require", "latency.p95 < 20s", "--require", "errors == 0", code=0)
    check(good.out.count("\nmet ") == 2, good.out)
    bad = box.run(*base, "--require", "latency.p50 < 10ms", "--require", "errors == 0", code=3)
    check("missed latency.p50 < 10ms" in words_of(bad), bad.out)
    untold = box.run(*ALONE, "-p", "openai-chat", "-u", url, "-n", "20", "--require",
                     "latency.p99 < 20s", code=6, lines=0)
    check("cannot tell" in untold.out and "299 with none over" in words_of(untold), untold.out)


@scenario(quick=True)
def comparison(box):
    """A slower service: certain, and over the tolerance. Another load, or no result: not compared."""
    # Each takes its own time, far wider than what a busy machine adds: requests that are alike because the
    # machine is busy for a while have no interval.
    url = serve(box, "llm", "--latency", "100ms", "--latency-jitter", "0.3")
    load = ["--rate", "100/s", "--arrivals", "constant", "--for", "12s", "--max-tokens", "1",
            "--warmup", "0s"]
    before = box.run(*ALONE, "-p", "openai-chat", "-u", url, *load, "--json", code=0).out
    box.write("old.json", before)
    slow = serve(box, "llm", "--latency", "400ms", "--latency-jitter", "0.3")
    worse = box.run(*ALONE, "-p", "openai-chat", "-u", slow, *load, "--compare", "old.json",
                    "--tolerance", "10%", code=6, lines=0)
    check("slower [" in worse.out and "certainly exceeded" in worse.out, worse.out)
    other = box.run(*ALONE, "-p", "openai-chat", "-u", slow, "-n", "10", "--compare", "old.json",
                    code=0)
    check("not the same load: arrivals" in other.out and "cannot tell" in other.out, other.out)
    box.write("text", "{}")
    box.run(*ALONE, "-p", "openai-chat", "-u", slow, "--compare", "text", code=2)
    box.run(*ALONE, "-p", "openai-completions", "-u", slow, "-n", "5", "--compare", "old.json",
            code=2)


@scenario(quick=True)
def more_workers_than_clients(box):
    """A worker without a part ends as the others do."""
    url = serve(box, "llm", "--latency", "20ms")
    out = box.run("bench", "-p", "openai-chat", "-u", url, "-n", "5", "--workers", "4", code=0).out
    check("5 answered, 0 failed" in out, out)


@scenario(quick=True)
def word_errors(box):
    """Clips with transcripts give a word error rate; without a corpus one line says what to give."""
    url = serve(box, "stt", "--wer", "0.25")
    run = as_json(box.run(*ALONE, "-p", "openai-transcriptions", "-u", url, "--corpus", "speech",
                          "-n", "12", "--json", code=0))
    wer = run["metrics"]["wer"]
    check(0.05 < wer["value"] < 0.6 and wer["count"] >= 12 * 11, wer)
    # What was understood worst, errors each time first, with what was said and what was heard.
    worst = run["worst_utterances"]
    each = [(u["substitutions"] + u["deletions"] + u["insertions"]) / u["times"] for u in worst]
    check(worst and len(worst) <= 5 and each == sorted(each, reverse=True) and each[-1] > 0, worst)
    check(all(u["said"] and u["heard"] and u["said"] != u["heard"] for u in worst), worst)
    check("ttft" not in run["metrics"] or run["metrics"]["ttft"]["count"] == 0, run["metrics"])
    check(run["metrics"]["rtf"]["count"] == 12, run["metrics"]["rtf"])
    err = box.run(*ALONE, "-p", "openai-transcriptions", "-u", url, code=2).err
    check("--corpus FOLDER" in err, err)


@scenario(quick=True)
def nothing_there(box):
    """Not reachable, another path, the wrong protocol, garbage: one line and 6, at once."""
    url = serve(box, "llm", "--from", "3:garbage")
    for target, words in (("127.0.0.1:1", "nothing answers at http://127.0.0.1:1/v1/chat"),
                          (url + "/other", "HTTP status 404")):
        err = box.run(*ALONE, "-p", "openai-chat", "-u", target, code=6).err
        check(words in err, err)
    err = box.run("bench", "-p", "whisper-inference", "-u", url, "--corpus", box.corpus(),
                  code=6).err
    check("whisper-inference" in err or "HTTP status" in err, err)
    box.run(*ALONE, "-p", "openai-chat", "-u", url, "-n", "1", code=None)
    err = box.run(*ALONE, "-p", "openai-chat", "-u", url, "-n", "5", code=6).err
    check("gives no openai-chat answer" in err, err)


@scenario(quick=True)
def what_was_typed(box):
    """Mistakes: one line that says what is allowed, exit 2, and nothing is sent."""
    for args, words in (
            ([], "--protocol is missing"),
            (["-p", "openai-chta", "-u", "x"], "did you mean openai-chat?"),
            (["-p", "openai-chat"], "--url is missing"),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "-r", "5x"], "as in 2/s"),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "--load", "rate=5/s", "-r", "5/s"],
             "given twice"),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "--load", "rat=5/s"], "did you mean rate?"),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "--load", "rate"], "KEY=VALUE"),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "--arrivals", "poisson"], "need a rate"),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "-d", "5"], "with its unit"),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "-n", "0"], "whole number"),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "--require", "latency < 5ms"], "p95"),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "--require", "wer < 5%"], "no \"wer\""),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "--require", "latency.p95 < 5"], "unit"),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "--tolerance", "5%"], "--compare"),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "--compare", "nope.json"], "nope.json"),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "--prompts", "nope"], "nope"),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "--prompt", "a", "--prompts", "b"],
             "one of them"),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "--corpus", "x"], "--prompts"),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "--records", "no/such/place"], "no/such"),
            (["-p", "openai-chat", "-u", "127.0.0.1:1", "--api-key-env", "NOT_SET_ANYWHERE"],
             "NOT_SET_ANYWHERE"),
            (["-p", "openai-chat", "-u", "ftp://127.0.0.1/x"], "ftp"),
            (["study.yaml"], "study.yaml")):
        err = box.run("bench", *args, code=2).err
        check(words in err, f"{args}: no \"{words}\" in {err}")


@scenario(quick=True)
def a_failed_probe_costs_no_records(box):
    """What an earlier run wrote stays when nothing answers; a key in a URL is not shown."""
    box.write("r.jsonl", "from before\n")
    result = box.run(*chat("127.0.0.1:1/x?api_key=hush", "--records", "r.jsonl"), code=6)
    check(open(box.path("r.jsonl")).read() == "from before\n", "the records are gone")
    check("hush" not in result.err and "api_key=..." in result.err, result.err)
    # Longer than what comes: nothing of it may stay.
    box.write("r.jsonl", "from before\n" * 10000)
    url = serve(box, "llm")
    box.run(*chat(url, "--requests", "3", "--records", "r.jsonl"), code=0)
    lines = open(box.path("r.jsonl")).read().splitlines()
    check(len(lines) == 3 and all(json.loads(line) for line in lines), lines)


@scenario(quick=True)
def a_model_is_asked_for(box):
    for protocol in ("ollama-chat", "ollama-generate", "kserve"):
        err = box.run("bench", "-p", protocol, "-u", "127.0.0.1:1", code=2).err
        check("--model" in err and "load" not in err, err)


@scenario(quick=True)
def stopped_by_hand(box):
    """^C prints what there is, marked, exits 5, keeps the records, and leaves nothing behind."""
    url = serve(box, "llm", "--latency", "5ms")
    running = box.start(*chat(url, "--rate", "50/s", "--for", "100s", "--records", "r.jsonl",
                              "--json"))
    end = time.monotonic() + WITHIN_S
    while not os.path.exists(box.path("r.jsonl")) or os.path.getsize(box.path("r.jsonl")) < 65536:
        check(running.poll() is None and time.monotonic() < end, "no records came")
        time.sleep(0.05)
    running.signal(signal.SIGINT)
    result = running.wait()
    running.result = result
    check(result.code == 5, str(result))
    run = as_json(result)
    check(run["ended"] == "stopped" and run["answered"] > 5 and run["window_s"] < 100, result.out[:500])
    check("unfinished" not in run["errors"], run["errors"])
    lines = open(box.path("r.jsonl")).read().splitlines()
    check(len(lines) >= run["answered"] and all(json.loads(line) for line in lines), "records")


@scenario(quick=True)
def live_line(box):
    """A terminal sees the live line, drawn over and gone at the end; ^C there says that it was cut."""
    url = serve(box, "llm", "--latency", "5ms")
    def on_output(text, pid):
        if "answered" in text and "p50 so far" in text and not on_output.sent:
            on_output.sent = True
            os.kill(pid, signal.SIGINT)
    on_output.sent = False
    code, text = box.terminal(*chat(url, "--rate", "50/s", "--arrivals", "constant", "--for",
                                    "60s"), columns=80, on_output=on_output)
    check(code == 5 and "in flight" in text and "cut short by you" in text, text)
    check(re.search("\r\033\\[K[^\r]*openai-chat at", text), "the live line was not removed")
    lines = text[text.index("openai-chat at"):].splitlines()
    check(max(len(re.sub("\033\\[[0-9;]*[mK]", "", line)) for line in lines) <= 80, text)


@scenario(quick=True)
def overload_is_named(box):
    """More than it can do: named as not steady, and a closed-loop tool's figure beside ours."""
    url = serve(box, "llm", "--latency", "50ms", "--slots", "1")
    out = box.run(*chat(url, "--rate", "40/s", "--arrivals", "constant", "--for", "4s",
                        "--max-tokens", "1", "--concurrency", "4"), code=0)
    out = words_of(out)
    check("more than it can do" in out and "uncorrected" in out and "waited for the limit" in out, out)


@scenario(quick=True)
def dies_under_load(box):
    """A service that dies in the middle: failures by kind, an example of each, no number invented."""
    url = serve(box, "llm", "--at", "30:die:1")
    result = box.run(*chat(url, "--rate", "50/s", "--for", "2s"), code=0)
    check("failed" in result.out and "connect" in result.out, result.out)


def halt_the_worker(running, seconds):
    """Stops what spica has started, its load worker, for so long, once."""
    end = time.monotonic() + WITHIN_S
    below = set()
    while not below:
        check(running.poll() is None and time.monotonic() < end, "no worker was seen")
        below = descendants(running.pid, processes())
        time.sleep(0.02)
    time.sleep(1)  # into its window, also on a busy machine
    below = descendants(running.pid, processes())
    for pid in below:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in below:
        os.kill(pid, signal.SIGCONT)


@scenario(quick=True)
def late_ourselves(box):
    """Standing still is our fault: the same load again by more workers, said, and only that one counts."""
    url = serve(box, "llm", "--latency", "5ms")
    running = box.start(*chat(url, "--rate", "50/s", "--for", "3s", "--json", "--records", "r.jsonl",
                              bench=("bench",)))
    halt_the_worker(running, 0.7)
    result = running.wait()
    running.result = result
    check(result.code == 0 and "late ourselves by" in result.err and "sent by 2 workers" in result.err, str(result))
    run = as_json(result)
    check(run["instrument"]["workers"] in (2, 4) and run["instrument"]["tried_again"] >= 1, run["instrument"])
    lines = open(box.path("r.jsonl")).read().splitlines()
    check(len(lines) == run["requests"] + run["warmup_requests"], f"{len(lines)} lines: of an earlier window too?")
    asked = as_json(box.run(*chat(url, "--rate", "50/s", "--for", "1s", "--json", bench=("bench", "--workers", "3")),
                            code=0))
    check(asked["instrument"]["workers"] == 3 and asked["instrument"]["tried_again"] == 0, asked["instrument"])
    err = box.run(*chat(url, bench=("bench", "--workers", "99")), code=2).err
    check("at most 16" in err, err)


@scenario(quick=True)
def a_reload_is_no_sample(box):
    # expected: neither a sample nor a failure, and said; before: a failed request
    url = serve(box, "llm", "--latency", "5ms", "--at", "9:reload:1500ms")
    args = [*ALONE, "-p", "ollama-chat", "-u", url, "-m", "any", "--rate", "20/s", "--for", "3s", "--warmup", "0s",
            "--require", "errors == 0"]
    run = as_json(box.run(*args, "--json", code=0))
    check(run["reloads"] == 1 and run["errors"] == {} and run["requests"] == run["answered"], run)


@scenario(quick=True)
def ollamas_own_answers(box):
    """What a real Ollama wrote, sent again: the one that loaded its model first is no sample, and said."""
    recorded = os.path.join(ROOT, "tests/recordings/ollama")
    url = serve(box, "llm", *(o for n, name in enumerate(("cold", "warm", "cold", "warm", "warm"), 1)
                              for o in ("--at", f"{n}:body:{recorded}/chat-{name}")))
    run = as_json(box.run(*ALONE, "-p", "ollama-chat", "-u", url, "-m", "any", "-n", "4", "--json", "--records", "r",
                          code=0))
    check(run["reloads"] == 1 and run["errors"] == {} and run["answered"] == run["requests"] == 3, run)
    check(run["metrics"]["latency"]["count"] == 3 and run["tokens_exact"], run["metrics"]["latency"])
    lines = [json.loads(line) for line in open(box.path("r"))]
    check(sorted(line["error"]["type"] if line["error"] else "" for line in lines) == ["", "", "", "reload"], lines)
    check(all(line["metrics"]["output_sequence_length"]["value"] == 12 for line in lines if not line["error"]), lines)


@scenario(quick=True)
def transcripts_in_both_forms(box):
    """stream=true: OpenAI's events transcript.text.delta, and vLLM's chunks with choices, mean the same."""
    for form in ([], ["--sse", "chunks"], ["--sse", "chunks,crlf,ping"]):
        url = serve(box, "stt", "--latency", "20ms", "--latency-per-token", "10ms", *form)
        run = as_json(box.run(*ALONE, "-p", "openai-transcriptions", "-u", url, "--corpus", "speech", "-n", "6",
                              "--option", "stream=true", "--json", "--records", "r", code=0))
        metrics = run["metrics"]
        check(run["answered"] == 6 and metrics["wer"]["value"] == 0 and metrics["ttft"]["count"] == 6, (form, run))
        lines = [json.loads(line)["metrics"] for line in open(box.path("r"))]
        check(all(m["effective_time_to_first_token"]["value"] >= 20 and len(m["inter_chunk_latency"]["value"]) > 5
                  for m in lines), lines)
        # The words come 10 ms apart, and not all with the last: of one at least we were there to see it.
        check(any(m["request_latency"]["value"] > m["time_to_first_token"]["value"] + 50 for m in lines), lines)
        check(all(m["output_sequence_length"]["value"] == len(m["inter_chunk_latency"]["value"]) + 1 for m in lines),
              lines)


def tensor(shape, datatype, rest):
    return b'{"outputs":[{"name":"x","shape":%s,"datatype":"%s",%s' % (shape, datatype, rest)


HOSTILE_TENSORS = [
    (b'{"outputs":{"a":1}}', "malformed"),
    (b'{"outputs":[5]}', "malformed"),
    (tensor(b"[2]", b"FP32", b'"data":[0.5,'), "malformed"),
    (tensor(b"[-1]", b"FP32", b'"data":[]}]}'), "malformed"),
    (tensor(b"[4294967296,4294967296]", b"FP32", b'"data":[]}]}'), "malformed"),
    (tensor(b"[1]", b"FP32", b'"data":["a"]}]}'), "malformed"),
    (tensor(b"[1]", b"BYTES", b'"data":["\xff\xfe"]}]}'), "malformed"),
    (tensor(b"[1]", b"FP32", b'"parameters":{"binary_data_size":-4}}]}'), "malformed"),
    (tensor(b"[1]", b"FP32", b'"parameters":{"binary_data_size":99999999}}]}abcd'), "malformed"),
    (b"[" * 100000, "malformed"),
    (tensor(b"[0]", b"FP32", b'"data":[]}]}'), "empty"),
    (b'{"error":"no such model"}', "server_error"),
    (tensor(b"[9999999]", b"FP32", b'"data":[') + b"0.5," * 4000000, "limit"),
]


def peak_kib(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            return int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1))
    except (OSError, AttributeError):
        return 0


def run_and_peak(box, *args):
    """What `spica ARGS` says in JSON, and the most memory that one of its workers took, in KiB."""
    running = box.start(*args, "--json")
    peak = 0
    while running.poll() is None:
        peak = max([peak, *map(peak_kib, descendants(running.pid, processes()))])
        time.sleep(0.02)
    running.result = result = running.wait()
    check(result.code == 0, str(result))
    check(peak > 0, "no worker was seen")
    return as_json(result), peak


@scenario(quick=True)
def tensors_from_hell(box):
    """Every other answer is none that KServe knows: each is an error of its kind, the others are whole, the worker stays small."""
    options, wanted = [], {}
    for i, (body, kind) in enumerate([*HOSTILE_TENSORS, (None, "limit")]):
        number = 3 + 2 * i  # the first is for whoever asks whether anybody answers
        action = "endless" if body is None else f"body:{box.path(f'tmp/body-{i}')}"
        if body is not None:
            with open(box.path(f"tmp/body-{i}"), "wb") as file:
                file.write(body)
        options += ["--at", f"{number}:{action}"]
        wanted[number - 2] = kind
    url = serve(box, "kserve", "--latency", "5ms", *options)
    bench = (*ALONE, "-p", "kserve", "-m", "m", "-n", "150")
    _, usual = run_and_peak(box, *bench, "-u", serve(box, "kserve", "--latency", "5ms"))
    run, peak = run_and_peak(box, *bench, "-u", url, "--records", "r")
    got = {line["metadata"]["session_num"]: line["error"]["type"]
           for line in map(json.loads, open(box.path("r"))) if line["error"]}
    check(got == wanted, f"{got}, not {wanted}")
    check(run["requests"] == 150 and run["answered"] == 150 - len(wanted) and run["ended"] == "whole", run["errors"])
    if not sanitized():  # that keeps what was freed
        check(peak - usual < 96 << 10, f"{peak} KiB, {usual} with answers that it knows")


@scenario(quick=True)
def good_for_everything_at_once(box):
    """goodput: the requests that keep every limit, of all; required as a count."""
    url = serve(box, "llm", "--latency", "5ms", "--every", "4:http:503:busy")
    limits = ["--require", "latency.p95 < 20s", "--require", "ttft.p50 < 10s"]
    result = box.run(*chat(url, "--rate", "100/s", "--for", "2s", *limits, "--require", "goodput_ratio > 90%", "--json"),
                     code=3)
    run = as_json(result)
    ratio = run["metrics"]["goodput_ratio"]
    check(ratio["value"] == run["answered"] / run["requests"] and ratio["low"] < ratio["value"] < ratio["high"], ratio)
    answers = [r["answer"] for r in run["requirements"]]
    check(answers[2] == "missed", run["requirements"])
    check("goodput" not in as_json(box.run(*chat(url, "-n", "5", "--json"), code=0))["metrics"], "nothing was asked")


@scenario(quick=True)
def a_studys_load(box):
    url = serve(box, "llm", "--latency", "5ms")
    box.study(llm=box.fake("llm", knobs={"temperature": [0, 1]}),
              other=box.fake("stt"),
              load={"llm": {"rate": "40/s", "arrivals": "constant", "max_tokens": 4,
                            "temperature": "{temperature}"}, "other": {"rate": "1/s"}},
              measure={"warmup": "500ms", "window": "1s"}, seed=11)
    base = [*ALONE, box.file, "--url", url]
    for words, says in ((["--rate", "5/s"], "--rate: the study's load says it"),
                        ([], "has a load for llm, other: say which one runs there, --service"),
                        (["--service", "lm"], "has a load for llm, other"),
                        (["--service", "llm", "--candidate", "llm.temperature=7"], "--candidate")):
        result = box.run(*base, *words, code=2)
        check(says in result.err, str(result))
    check("goes with a study" in box.run(*chat(url, "--service", "llm"), code=2).err, "without a study")
    run = as_json(box.run(*base, "--service", "llm", "--candidate", "llm.temperature=1", "--json", code=0))
    load = run["load"]
    check(run["protocol"] == "openai-chat" and load["rate_rps"] == 40 and load["arrivals"] == "constant"
          and load["max_tokens"] == 4 and load["seed"] == 11, run)
    check(load["asked"]["service"] == "llm" and "llm.temperature=1" in load["asked"]["candidate"], load)
    check(run["requests"] == 40, run)
    check("has no baseline: say what runs there" in box.run(*base, "--service", "llm", code=2).err, "no baseline")
    run = as_json(box.run(*base, "--service", "llm", "--candidate", "llm.temperature=0", "-n", "7", "--json",
                          code=0))
    check(run["requests"] == 7, run)


if __name__ == "__main__":
    main(__name__)
