"""`spica compare`: two candidates of a study in interleaved cold starts, and what it says of them.

What the answers must be worth is the simulation's matter (bench/compare_stats.c); here differences are
so large, or tolerances so wide, that no busy machine can turn them over.
"""

import json
import os
import signal
import sqlite3
import time

from harness import check, main, scenario

SLOW = "llm.latency=150ms"
FAST = "llm.latency=20ms"


def two(box, *options, **parts):
    """Two latencies to choose from; the baseline is the slow one."""
    llm = box.fake("llm", "--latency", "{latency}", *options, knobs={"latency": ["20ms", "150ms"]})
    return box.study(llm=llm, **dict({"baseline": {"llm.latency": "150ms"}}, **parts))


def compared(box, *args, code):
    result = box.run("compare", box.file, *args, "--json", "--quiet", code=code, lines=-1)
    answer = json.loads(result.out)
    with open(f"{box.results}/compare-{answer['comparison']}.json", encoding="utf-8") as file:
        check(json.load(file) == answer, "compare-N.json is not what --json prints")
    return answer


def metric(answer, name, pair=0):
    return next(m for m in answer["pairs"][pair]["metrics"] if m["metric"] == name)


@scenario(quick=True)
def a_real_difference(box):
    two(box)
    answer = compared(box, FAST, "baseline", code=6)
    check(answer["end"] == "decided" and answer["over_tolerance"], answer)
    check(answer["blocks"] == 3 and answer["looked_after"] == 3, answer)
    p50 = metric(answer, "llm.latency.p50")
    check(p50["judged"] and p50["answer"] == "worse", p50)
    check(p50["ratio"]["low"] > 1.03 and p50["difference"]["low"] > 0.004, p50)
    check(p50["difference"]["low"] <= 0.13 <= p50["difference"]["high"], p50)
    check(answer["sides"][1]["given"] == "baseline" and answer["sides"][1]["candidate"] == SLOW, answer)
    trials = box.trials()
    check([t["purpose"] for t in trials] == ["compare"] * 6, trials)
    check([t["repeat"] for t in trials] == [1, 1, 2, 2, 3, 3], trials)
    check(all(t["cold"] for t in trials), trials)
    for block in (1, 2, 3):
        both = {t["candidate"] for t in trials if t["repeat"] == block}
        check(both == {FAST, SLOW}, f"block {block}: {both}")
    with open(f"{box.results}/compare-1.md", encoding="utf-8") as file:
        text = file.read()
    check("B is slower by" in text and "llm.latency.p50" in text, text)
    # The other way round it is as certain, and nothing to fail for.
    words = box.run("compare", box.file, "baseline", FAST, code=0, lines=-1)
    check("B is faster by" in words.out, words)


@scenario()
def equals_within_the_tolerance(box):
    llm = box.fake("llm", "--latency", "60ms", "--seed", "{seed}", knobs={"seed": [1, 2]})
    box.study(llm=llm, baseline={"llm.seed": 1})
    answer = compared(box, "baseline", "llm.seed=2", "--tolerance", "100%", "--blocks", 4, code=0)
    p50 = metric(answer, "llm.latency.p50")
    check(p50["answer"] == "same" and answer["end"] == "decided", answer)
    check(0.5 < p50["ratio"]["low"] <= p50["ratio"]["high"] < 2, p50)
    # The same trials, asked for more: a tolerance may change afterwards, the budget too.
    again = compared(box, "baseline", "llm.seed=2", "--tolerance", "0.0001%", "--blocks", 3, code=0)
    check(again["comparison"] == 1 and metric(again, "llm.latency.p50")["answer"] != "worse", again)
    check(again["end"] == "blocks" and again["blocks"] >= 3, again)
    short = compared(box, "baseline", "llm.seed=2", "--time", "1s", "--fresh", code=0)
    check(short["comparison"] == 2 and short["end"] == "time" and short["blocks"] == 1, short)
    check(metric(short, "llm.latency.p50")["answer"] == "open", short)


@scenario(quick=True)
def a_side_that_fails_is_said_not_averaged(box):
    box.write("oom.sh", '#!/bin/sh\ncase "$1" in bad) shift; exec "$@" --print '
              '"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB." '
              '--exit-at-start 1;; *) shift; exec "$@";; esac\n')
    os.chmod(box.path("oom.sh"), 0o755)
    llm = box.fake("llm", "--latency", "10ms", knobs={"mode": ["good", "bad"]})
    llm["command"] = [box.path("oom.sh"), "{mode}"] + llm["command"]
    box.study(llm=llm, baseline={"llm.mode": "good"})
    answer = compared(box, "baseline", "llm.mode=bad", code=6)
    check(answer["end"] == "failed" and answer["blocks"] == 1, answer)
    bad = answer["sides"][1]
    check(bad["failed"] == "oom_start" and bad["runs"] == 0 and bad["failed_why"], bad)
    check(answer["sides"][0]["failed"] is None and answer["sides"][0]["runs"] == 1, answer)
    check(metric(answer, "llm.latency.p50")["ratio"]["value"] is None, answer)
    words = box.run("compare", box.file, "baseline", "llm.mode=bad", "-q", code=6, lines=-1)
    check("B failed: oom_start in trial" in words.out, words)
    # A failing A is no fault of B's.
    turned = compared(box, "llm.mode=bad", "baseline", code=0)
    check(turned["sides"][0]["failed"] == "oom_start" and turned["sides"][1]["runs"] == 1, turned)


@scenario()
def killed_and_resumed(box):
    two(box, baseline={"llm.latency": "150ms"})
    running = box.start("compare", box.file, FAST, SLOW)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and running.poll() is None:
        try:
            with sqlite3.connect(f"file:{box.results}/study.db?mode=ro", uri=True) as db:
                if db.execute("SELECT count(*) FROM trial").fetchone()[0] >= 3:
                    break
        except sqlite3.Error:
            pass
        time.sleep(0.05)
    running.signal(signal.SIGKILL)
    running.wait()
    answer = compared(box, FAST, SLOW, code=6)
    check(answer["comparison"] == 1 and answer["blocks"] == 3, answer)
    trials = box.trials()
    check(len(trials) == 6 and [t["number"] for t in trials] == [1, 2, 3, 4, 5, 6], trials)
    check([t["repeat"] for t in trials] == [1, 1, 2, 2, 3, 3], trials)
    # Asked again, it says the same and runs nothing; --fresh begins anew.
    check(compared(box, FAST, SLOW, code=6) == answer, "another answer from the same trials")
    check(len(box.trials()) == 6, box.trials())
    check(compared(box, FAST, SLOW, "--fresh", code=6)["comparison"] == 2, "not anew")


@scenario()
def beside_a_study(box):
    """It takes the winner from the study, and leaves the study's own answer as it was."""
    two(box)
    box.run("run", box.file, code=0, lines=-1)
    with open(f"{box.results}/winner.json", encoding="utf-8") as file:
        winner = json.load(file)
    before = [t["number"] for t in box.trials()]
    answer = compared(box, "winner", "baseline", code=6)
    check(answer["sides"][0]["candidate"] == FAST, answer)
    numbers = [t["number"] for t in box.trials() if t["purpose"] == "compare"]
    check(min(numbers) == max(before) + 1, f"{before} {numbers}")
    again = box.run("run", box.file, code=0, lines=-1)
    check(len(box.trials()) == len(before) + len(numbers), again)
    with open(f"{box.results}/winner.json", encoding="utf-8") as file:
        check(json.load(file) == winner, "the winner's file has changed")
    with open(f"{box.results}/report.json", encoding="utf-8") as file:
        report = json.load(file)
    check(len(report["trials"]) == len(before), "a comparison's trial in the report")
    check([c["comparison"] for c in report["compared"]] == [1], report["compared"])
    check(report["compared"][0]["judged"][0]["answer"] == "worse", report["compared"])
    for name in ("report.md", "report.html"):
        with open(f"{box.results}/{name}", encoding="utf-8") as file:
            check("Compared with each other" in file.read(), name)


@scenario(quick=True)
def a_study_begun_after_a_comparison(box):
    two(box)
    compared(box, FAST, SLOW, code=6)
    box.run("run", box.file, code=0, lines=-1)
    own = [t for t in box.trials() if t["purpose"] != "compare"]
    check(own[0]["number"] == 7 and own[0]["purpose"] == "baseline", own[0])


@scenario(quick=True)
def bad_input(box):
    two(box)

    def refused(*args, says):
        result = box.run("compare", box.file, *args, code=2)
        check(says in result.err, f"{says}\n{result}")

    refused("winner", "baseline", says="no winner yet")
    refused("baseline", SLOW, says="the same candidate")
    refused("baseline", "llm.latncy=20ms", says="did you mean llm.latency")
    refused("baseline", "llm.latency=21ms", says="20ms")
    refused("baseline", "fast", says="neither winner, baseline nor KNOB=VALUE")
    refused("baseline", f"{FAST} {FAST}", says="given twice")
    refused("baseline", FAST, "--tolerance", "0", says="--tolerance 0")
    refused("baseline", FAST, "--blocks", "2", says="from 3 to")
    refused("baseline", FAST, "--time", "soon", says="--time soon")
    check(not os.path.exists(box.results), "something was written")


@scenario()
def on_a_terminal(box):
    two(box)
    code, text = box.terminal("compare", box.file, FAST, SLOW)
    check(code == 6, text)
    check("block 1" in text and "3 blocks: llm.latency.p50 worse" in text, text)
    check(text.rindex("B is slower by") > text.rindex("left"), "a live line was left standing")


@scenario()
def words_and_memory(box):
    stt = box.fake("stt", "--latency", "10ms", "--wer", "{wrong}", knobs={"wrong": [0, 0.5],
                                                                                "other": [1, 2]})
    stt["command"] += ["--seed", "{other}"]
    parts = {"baseline": {"stt.wrong": 0, "stt.other": 2},
             "goal": {"optimise": {"stt.wer": {"good": "1%", "bad": "90%"}}}}
    box.study(stt=stt, **parts)
    few = metric(compared(box, "baseline", "stt.wrong=0.5", "--blocks", 3, code=0), "stt.wer")
    check(few["answer"] == "unknown" and "clips" in few["unknown"], few)
    box.corpus(clips=24)
    box.study(stt=stt, study="more", **parts)
    answer = compared(box, "baseline", "stt.wrong=0.5", "--blocks", 3, code=6)
    check(answer["sides"][1]["candidate"] == "stt.wrong=0.5 stt.other=2", answer)
    check(answer["sides"][1]["completed_from"] == "baseline", answer)
    wer = metric(answer, "stt.wer")
    check(wer["a"] == 0 and wer["b"] > 0.1 and wer["difference"]["low"] > 0.03, wer)
    check(metric(answer, "stt.memory")["ratio"]["value"] > 0, answer)


if __name__ == "__main__":
    main(__name__)
