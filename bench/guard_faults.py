#!/usr/bin/env python3
"""How soon guard names what goes wrong, and whether it keeps quiet when nothing does: units of the fake
service on a real `systemd --user` with a real journald, in a box each (tests/scenario/systemd_box.py;
needs root). Guard looks once a second and asks each service once a second.

Times are from the moment of the injection to the tick that names it, by the wall clock of both. A kernel
OOM is a recorded log's lines, given through a FIFO in place of /dev/kmsg; a real one, and a real step of
the clock, come from a guest (guard_guest.py), where one can be had. Quiet lasts ten minutes, and goes on in
its own box beside all the others, as does a leak.

    bench/guard_faults.py [NAME...]     SPICA_BENCH_SHORT=1: less of everything; SPICA_BENCH_LONG=1: an hour of quiet
"""

import os
import signal
import sys
import time

from bench_lib import FAKE, ROOT, SPICA, give_up, need, number, say, workplace

os.environ.update(SPICA=SPICA, FAKE_SERVICE=FAKE)
sys.path.insert(0, os.path.join(ROOT, "tests/scenario"))
import gpu  # noqa: E402  (after the programs are named)
import guard_fronted as fronted  # noqa: E402
import guard_guest  # noqa: E402
import test_guard_watch as scene  # noqa: E402
from guard_fronted import after  # noqa: E402
from promote import outcome_of, start  # noqa: E402
from systemd_box import wait_until  # noqa: E402

SHORT = bool(os.environ.get("SPICA_BENCH_SHORT"))
LONG = bool(os.environ.get("SPICA_BENCH_LONG"))
PROBE_WITHIN_S = 2
ROUNDS = 1 if SHORT else 5
QUIET_S = 20 if SHORT else 3600 if LONG else 600
WINDOW_S = 10 if SHORT else 60
FULL_S, OVERLOAD_S = (5, 15) if SHORT else (20, 60)
scene.LIFE = "7200s"
scene.EVERY = {"every": "1s", "window": "1m", "probe": "1/s", "probe_within": f"{PROBE_WITHIN_S}s"}


def cpu_restart(box):
    gpu.cards(box)
    on_card = gpu.options(box)
    took = []
    with scene.Manager(box) as systemd:
        watched = scene.Watched(box, systemd, on="gpu", stt=on_card, llm=on_card)
        watched.up()
        watched.begin()
        for _ in range(ROUNDS):
            watched.flags("stt", *on_card)
            systemd.ctl("restart", "stt", ok=True)
            wait_until(lambda: watched.value("stt.placement") == "gpu", watched.story)
            watched.flags("stt")
            began = time.time()
            os.kill(systemd.pid("stt"), signal.SIGKILL)
            took.append(after(watched, "on-cpu", "stt", began))
        watched.end()
    return {"worst": max(took)}


def memory_lines(box):
    """The CUDA line by the journal, the kernel's by its log."""
    device, kernel = [], []
    with scene.Manager(box) as systemd:
        scene.start_journald(box, systemd)
        fifo = box.path("kmsg")
        os.mkfifo(fifo)
        box.env["SPICA_KERNEL_LOG"] = fifo
        watched = scene.Watched(box, systemd, llm=[
            "--print-file", box.write("words", "CUDA error: out of memory\n")])
        systemd.start("stt")
        watched.begin()
        for _ in range(ROUNDS):
            began = time.time()
            systemd.ctl("restart", "llm", ok=True)
            device.append(after(watched, "oom-device", "llm", began))
            began = time.time()
            with open(fifo, "w", encoding="utf-8") as file:
                file.write(f"3,1,1,-;Out of memory: Killed process {systemd.pid('stt')} (fake-service) "
                           "total-vm:1240kB\n")
            kernel.append(after(watched, "oom-kernel", "stt", began))
            time.sleep(11)  # what is said of the same thing within ten seconds is the same
        watched.end()
    return {"device": max(device), "kernel": max(kernel)}


def frozen(box):
    took = []
    with scene.Manager(box) as systemd:
        watched = scene.Watched(box, systemd)
        watched.up()
        watched.begin()
        for _ in range(ROUNDS):
            pid, began = systemd.pid("llm"), time.time()
            os.kill(pid, signal.SIGSTOP)
            took.append(after(watched, "hangs", "llm", began))
            os.kill(pid, signal.SIGCONT)
            time.sleep(4)
        watched.end()
    return {"worst": max(took)}


def leak(box):
    """77 GiB are free, and each probe takes 96 MiB: full in about 14 minutes. How long before that comes
    the alarm? When it would be full is what was free at the alarm, by what the card has really lost in the
    half minute around it."""
    gpu.cards(box)
    with scene.Manager(box) as systemd:
        watched = fronted.Told(box, systemd, on="gpu", stt=gpu.options(box),
                               llm=[*gpu.options(box), "--gpu-grow", "96M"])
        watched.up()
        watched.begin()
        wait_until(lambda: watched.alarms("device full soon"), watched.story, 500)
        at = watched.alarms("device full soon")[0]["t"]
        time.sleep(15)
        free = [(t["t"], t["v"]["gpu0.memory.free"]) for t in watched.ticks()
                if abs(t["t"] - at) <= 15.5 and "gpu0.memory.free" in t["v"]]
        said = [t["v"]["gpu0.memory.full_in"] for t in watched.ticks()
                if t["t"] <= at + 0.5 and "gpu0.memory.full_in" in t["v"]][-1]
        rate = (free[0][1] - free[-1][1]) / (free[-1][0] - free[0][0])
        left = min(free, key=lambda one: abs(one[0] - at))[1] / rate
        watched.end()
    return {"ahead": left, "said": said / left}


def flood(box):
    with scene.Manager(box) as systemd:
        scene.start_journald(box, systemd)
        watched = scene.Watched(box, systemd)
        watched.up()
        watched.begin()
        # Again and again: on a machine that is busy with others one burst may be read over many seconds.
        systemd.service("llm", "/bin/sh -c 'while :; do yes one line of very many | head -n 60000; sleep 1; done'")
        began = time.time()
        systemd.ctl("restart", "llm", ok=True)
        took = after(watched, "log-flood", None, began)
        watched.end()
    return {"took": took}


def guest(box):
    found = guard_guest.look(box.folder)
    return dict(found, others=len(found["others"]), told=found["others"]) if "others" in found else found


# What is injected: its function, and of each number that it finds the name, unit, bar, and whether that
# is the most or the least.
PARTS = {
    "cpu_restart": (cpu_restart, [("worst", "s", 10, True)]),
    "oom": (memory_lines, [("device", "s", 2, True), ("kernel", "s", 5, True)]),
    "frozen": (frozen, [("worst", "s", PROBE_WITHIN_S + 5, True)]),
    "leak": (leak, [("ahead", "s", 600, False), ("said", "x", None, True)]),
    "log_flood": (flood, [("took", "s", 5, True)]),
    "no_traffic": (lambda box: fronted.no_traffic(box, WINDOW_S), [
        ("after", "s", 5, True), ("early", "alarms", 0, True), ("unknown", "truth", 1, False)]),
    "guest": (guest, [("kernel", "s", 5, True), ("clock", "s", 5, True), ("others", "events", 0, True)]),
    "haproxy": (lambda box: fronted.restarted(box, ROUNDS), [
        ("down", "s", 5, True), ("back", "s", 5, True), ("again", "s", None, True)]),
    "full_disk": (lambda box: fronted.full_disk(box, FULL_S), [
        ("took", "s", None, True), ("said", "times", 1, True), ("others", "events", 0, True),
        ("served", "requests", 1, False), ("failed", "requests", 0, True)]),
    "overload": (lambda box: fronted.overload(box, OVERLOAD_S), [
        ("false", "alarms", 0, True), ("answers", "requests", None, True)]),
    "quiet": (lambda box: fronted.quiet(box, QUIET_S), [
        ("false", "alarms", 0, True), ("answers", "requests", None, True), ("failed", "requests", 0, True)]),
}


BESIDE = ("leak", "quiet")  # they mostly wait: from the beginning on, each in its own box


def tell(name, outcome):
    if "problem" in outcome:
        say(f"{name}: {outcome['problem']}")
    told = outcome.get("lacks")  # it can't be had here: nothing is short of its bar
    if told:
        say(f"{name}: not here: {told}")
    for line in outcome.get("told", ()):
        say(f"{name}: {line}")
    for key, unit, bar, most in PARTS[name][1]:
        number(f"guard_{name}_{key}", outcome.get(key), unit, None if told else bar, at_most=most)


def main():
    need(SPICA, FAKE)
    names = sys.argv[1:] or list(PARTS)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        give_up(f"no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    folder = workplace("guard-faults")
    beside = {name: start(name, PARTS[name][0], folder) for name in BESIDE if name in names}
    try:
        for name in names:
            if name not in beside:
                began = time.monotonic()
                tell(name, outcome_of(*start(name, PARTS[name][0], folder)))
                say(f"{name}: {time.monotonic() - began:.0f} s")
        for name in list(beside):
            tell(name, outcome_of(*beside.pop(name)))
    finally:
        for pid, _ in beside.values():  # with all that is in its box
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
