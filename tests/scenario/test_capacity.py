"""How much a service can take: the search in a trial, beside other services, and what it must not do.

The fake answers up to 16 requests at once, 20 ms each, first come first served. With c clients (c over
16) an answer takes 20 ms x c / 16; so `p95 < 100 ms` is far beyond 40 clients and well below 128, whatever
a busy machine adds. Exact figures are the unit tests' matter.
"""

import json
import os
import signal
import socket
import time
import urllib.request

from harness import FAKE, check, descendants, main, processes, scenario

QUICK = {"warmup": "100ms", "window": "500ms", "up_to": 64}
SLOTS = ("--latency", "20ms", "--slots", "16")


def capacities(box, trial):
    return box.rows("SELECT * FROM capacities WHERE trial = ? ORDER BY position", trial)


def points(box, trial):
    return box.rows("SELECT * FROM capacity_points WHERE trial = ? ORDER BY position", trial)


def only_capacity(box, **more):
    """A study without knobs: its one trial is the baseline's, and finds the capacity."""
    goal = {"require": ["llm.errors == 0", "llm.latency.p95 < 100ms"]}
    return {"goal": goal, "capacity": {"llm": dict(QUICK, **more)}, "baseline": {}}


@scenario(quick=True)
def clients_that_fit(box):
    box.study(llm=box.fake("llm", *SLOTS), **only_capacity(box, up_to=256))
    box.run("run", box.file, code=0, lines=-1)
    box.expect(1, "ok")
    found, seen = capacities(box, 1), points(box, 1)
    check(len(found) == 1 and found[0]["kind"] == "concurrency", found)
    check(found[0]["outcome"] == "found" and found[0]["beside"] == 1, f"{found}\n{seen}")
    check(16 <= found[0]["low"] < found[0]["high"] <= 128, f"{found}\n{seen}")
    check("llm.latency.p95 < 100ms" in found[0]["broke"], found)
    check(found[0]["memory_bytes"] > 0, found)
    twice = [p for p in seen if p["level"] == found[0]["low"]]
    check(len(twice) >= 2, f"the answer was seen once only: {seen}")
    missed = [p for p in seen if p["outcome"] == "missed"]
    check(missed and all(p["broke"] for p in missed), seen)
    phases = [r["name"] for r in box.rows("SELECT b.body AS name FROM phase p JOIN text b ON b.id = p.name"
                                          " WHERE trial = 1 ORDER BY position")]
    check("capacity" in phases, phases)


@scenario(quick=True)
def more_than_asked_for(box):
    box.study(llm=box.fake("llm", "--latency", "1ms"), **only_capacity(box, up_to=4))
    box.run("run", box.file, code=0, lines=-1)
    found = capacities(box, 1)[0]
    check(found["outcome"] == "most" and found["low"] == 4 and found["high"] is None, found)


@scenario(quick=True)
def not_even_one(box):
    # The goal of the study is met; what is required of the capacity is more than one client gets.
    study = only_capacity(box, require=["llm.latency.p95 < 1ms"])
    box.study(llm=box.fake("llm", *SLOTS), **study)
    box.run("run", box.file, code=0, lines=-1)
    found = capacities(box, 1)[0]
    check(found["outcome"] == "least" and found["low"] is None and found["high"] == 1, found)
    box.expect(1, "ok")


@scenario()
def settles_by_the_first_token(box):
    """Quick again is said of the time that levels are looked at by: an answer takes twenty times its first token."""
    goal = {"require": ["llm.errors == 0", "llm.ttft.p95 < 150ms"]}
    box.study(llm=box.fake("llm", "--latency", "20ms", "--latency-per-token", "20ms", "--tokens", "20", "--slots", "4"),
              goal=goal, capacity={"llm": dict(QUICK, up_to=8)}, baseline={})
    box.run("run", box.file, code=0, lines=-1)
    found = capacities(box, 1)[0]
    missed = [p for p in points(box, 1) if "missed" in p["outcome"]]
    check(found["metric"] == "ttft" and missed, f"{found}\n{points(box, 1)}")
    check(found["seconds"] < 60, f"a minute was waited after a level: {found}")


@scenario()
def rates_beside_another_service(box):
    box.study(llm=box.fake("llm", *SLOTS), stt=box.fake("stt", "--latency", "30ms"),
              goal={"require": ["llm.latency.p95 < 200ms"]},
              capacity={"llm": {"of": "rate", "from": "20/s", "up_to": "80/s", "window": "1s",
                                "warmup": "100ms"}}, baseline={})
    box.run("run", box.file, code=0, lines=-1)
    found = capacities(box, 1)[0]
    check(found["kind"] == "rate" and found["outcome"] == "most" and found["low"] == 80, found)
    for point in points(box, 1):
        check(point["answered_rps"] > 0 and point["good_rps"] > 0, point)


def with_turns(box, order, goal, **capacity):
    """llm is asked what stt has heard, and how much of that there may be is looked for."""
    fakes = {"stt": box.fake("stt", "--latency", "20ms"),
             "llm": box.fake("llm", "--latency", "5ms", "--tokens", "3")}
    study = box.study(**{name: fakes[name] for name in order}, baseline={},
                      load={"stt": {"rate": "20/s", "concurrency": 64}}, goal={"require": goal},
                      capacity={"stt": dict({"of": "rate", "from": "20/s", "up_to": "40/s",
                                             "window": "2s", "warmup": "200ms"}, **capacity)})
    study["load"]["llm"] = {"after": "stt", "max_tokens": 8, "timeout": "10s"}
    box.write("study.yaml", json.dumps(study, indent=1) + "\n")
    box.run("run", box.file, code=0, lines=-1)
    return capacities(box, 1)[0]


@scenario()
def turns_in_either_order(box):
    # expected: the services' order in the file means nothing. before: the study was given up
    found = with_turns(box, ["llm", "stt"], ["llm.ttft.p95 < 700ms", "stt.latency.p95 < 700ms"])
    check(found["outcome"] == "most" and found["low"] == 40, found)


@scenario()
def what_is_asked_of_whole_turns(box):
    # before: the time of a turn was unknown in these windows, and so every level was missed
    found = with_turns(box, ["stt", "llm"], ["stt.errors == 0"],
                       require=["stt.errors == 0", "llm.turn.p95 < 2s", "llm.turn_errors == 0"])
    check(found["outcome"] == "most" and found["low"] == 40, f"{found}\n{points(box, 1)}")


@scenario()
def what_a_window_cannot_tell(box):
    # expected: an answer of one token has no gaps, so nothing is met, and nothing is called missed
    study = only_capacity(box, up_to=2, require=["llm.errors == 0", "llm.itl.mean < 10s"])
    box.study(llm=box.fake("llm", *SLOTS, "--tokens", "1"), load={"llm": {"max_tokens": 1}}, **study)
    box.run("run", box.file, code=0, lines=-1)
    found, seen = capacities(box, 1)[0], points(box, 1)
    check(found["low"] is None and "llm.itl.mean is unknown" in found["broke"], found)
    check(seen and all(p["outcome"] != "missed" for p in seen), seen)


def connections(box):
    """Of the fake service: how many clients it has just now."""
    most = 0
    for pid, (_, _, name) in processes().items():
        if name.startswith("fake"):
            try:
                most = max(most, len(os.listdir(f"/proc/{pid}/fd")))
            except OSError:
                pass
    return most


@scenario(alone=True)
def others_at_work(box):
    # expected: a level that is missed while others use the machine is looked at again, then said
    # before: a busy machine's answer was too small, without a word
    study = only_capacity(box, window="4s", **{"from": 40})
    study["goal"] = {"require": ["llm.errors == 0", "llm.latency.p95 < 10s"]}
    study["capacity"]["llm"]["require"] = ["llm.latency.p95 < 30ms"]
    box.study(llm=box.fake("llm", *SLOTS), measure={"contention": "60%"}, **study)
    running = box.start("run", box.file)
    while connections(box) < 30:
        check(running.poll() is None, "it ended before its search began")
        time.sleep(0.01)
    box.burner(threads=16)
    running.result = running.wait()
    found, seen = capacities(box, 1)[0], points(box, 1)
    spoilt = [p for p in seen if p["outcome"] == "disturbed"]
    check(spoilt and all("others used" in p["broke"] for p in spoilt), seen)
    check(found["outcome"] == "disturbed" and "others used" in found["broke"], found)


@scenario()
def a_service_that_dies_of_it(box):
    # Its load of one client for a second never comes to the fortieth request.
    box.study(llm=box.fake("llm", "--latency", "50ms", "--at", "40:die:3"), **only_capacity(box))
    box.run("run", box.file, code=3, lines=-1)
    box.expect(1, "crashed_load", service="llm", says=r"exit status 3 at concurrency \d+",
               evidence=r"at concurrency \d+")
    found = capacities(box, 1)[0]
    check(found["outcome"] == "ended", found)


@scenario()
def once_per_finalist(box):
    box.study(llm=box.fake("llm", "--latency", "{latency}", "--slots", "4", knobs={"latency": ["2ms", "8ms"]}),
              goal={"optimise": {"llm.latency.p50": {"good": "1ms", "bad": "1s"}},
                    "require": ["llm.latency.p95 < 100ms"]},
              capacity={"llm": dict(QUICK, up_to=2)}, baseline={"llm.latency": "8ms"})
    box.run("run", box.file, code=0, lines=-1)
    for trial in box.trials():
        wanted = trial["purpose"] == "final" and trial["repeat"] == 1 and trial["verdict"] == "ok"
        check(len(capacities(box, trial["number"])) == (1 if wanted else 0),
              f"{trial}\n{capacities(box, trial['number'])}")
    with open(f"{box.results}/winner.json", encoding="utf-8") as file:
        winner = json.load(file)
    check(winner["concurrent_capacity"] == 2, winner)
    check("at least 2 clients" in winner["concurrent_capacity_is"], winner)
    for name in ("report.md", "report.html", "report.json"):
        with open(f"{box.results}/{name}", encoding="utf-8") as file:
            check("at least 2 clients" in file.read(), name)
    with open(f"{box.results}/report-capacity-1.svg", encoding="utf-8") as file:
        check("<svg" in file.read(), "no figure")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(box, *options):
    """A fake service beside spica; returns its URL once it answers."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    box.helper(FAKE, "--kind", "llm", "--port", port, "--life", "200s", *options)
    end = time.monotonic() + 20
    while True:
        try:
            return url if urllib.request.urlopen(url + "/health").status == 200 else None
        except OSError:
            check(time.monotonic() < end, "the fake never answered")
            time.sleep(0.05)


def bench(box, url, *more, **keys):
    return box.run("bench", "--protocol", "openai-chat", "--url", url, "--for", "500ms", "--warmup", "100ms",
                   "--max-tokens", "8", *more, **keys)


@scenario()
def bench_without_a_study(box):
    url = serve(box, *SLOTS)
    require = ("--require", "latency.p95 < 100ms", "--require", "errors == 0")
    found = json.loads(bench(box, url, "--capacity", "concurrency", "--up-to", 2, "--json", *require,
                             code=0, lines=-1).out)
    check(found["of"] == "concurrency" and (found["met"] == 2 or found["outcome"] == "own limit"), found)
    check(found["points"] and found["points"][0]["level"] == 1, found)
    shown = bench(box, url, "--capacity", "rate", "--rate", "5/s", "--up-to", "10/s", *require, code=0, lines=-1)
    check("Capacity: " in shown.out, shown)
    bench(box, url, "--capacity", "concurrency", "--require", "latency.p95 < 1ms", code=3, lines=-1)


@scenario()
def a_standstill_of_our_own(box):
    """A closed loop sends nothing late when our worker stands still; its level is looked at again all the same."""
    url = serve(box, "--latency", "20ms")
    running = box.start("bench", "--protocol", "openai-chat", "--url", url, "--for", "6s", "--warmup", "100ms",
                        "--max-tokens", "8", "--capacity", "concurrency", "--up-to", 1, "--json",
                        "--require", "latency.p95 < 100ms", "--require", "errors == 0")
    time.sleep(1.5)  # into the first level
    workers = descendants(running.pid, processes())
    check(workers, "no worker was seen")
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(0.7)
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    result = running.wait()
    running.result = result
    seen = json.loads(result.out)["points"]
    late = [p for p in seen if "late ourselves" in (p["broke"] or "") or p["verdict"] == "own limit"]
    check(late and late[0] == seen[0], seen)


@scenario(quick=True)
def bench_refuses(box):
    url = "http://127.0.0.1:9"
    for more, says in ((("--capacity", "clients"), "must be concurrency or rate"),
                       (("--capacity", "rate"), "needs --require"),
                       (("--capacity", "rate", "--up-to", "0/s", "--require", "errors == 0"), "--up-to"),
                       (("--capacity", "concurrency", "--up-to", "2.5", "--require", "errors == 0"), "--up-to"),
                       (("--capacity", "rate", "--records", "x"), "does not go with"),
                       (("--up-to", "5"), "--up-to goes with --capacity")):
        result = bench(box, url, *more, code=2)
        check(says in result.err, result)


if __name__ == "__main__":
    main(__name__)
