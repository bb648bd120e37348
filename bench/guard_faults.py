#!/usr/bin/env python3
"""How soon guard names what goes wrong, and whether it keeps quiet when nothing does: units of the fake
service on a real `systemd --user` with a real journald, in a box each (tests/scenario/systemd_box.py;
needs root). Guard looks once a second and asks each service once a second.

Times are from the moment of the injection to the tick that names it, by the wall clock of both. A kernel
OOM is a recorded log's lines, given through a FIFO in place of /dev/kmsg.

    bench/guard_faults.py [NAME...]     SPICA_BENCH_SHORT=1: less of everything; SPICA_BENCH_LONG=1: an hour of quiet
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

from bench_lib import FAKE, ROOT, SPICA, need, number, say, workplace

os.environ.update(SPICA=SPICA, FAKE_SERVICE=FAKE)
sys.path.insert(0, os.path.join(ROOT, "tests/scenario"))
import gpu  # noqa: E402  (after the programs are named)
import test_guard_watch as scene  # noqa: E402
from harness import descendants, processes  # noqa: E402
from production import free_ports  # noqa: E402
from promote import outcome_of, start  # noqa: E402
from systemd_box import wait_until  # noqa: E402

SHORT = bool(os.environ.get("SPICA_BENCH_SHORT"))
LONG = bool(os.environ.get("SPICA_BENCH_LONG"))
PROBE_WITHIN_S = 2
ROUNDS = 1 if SHORT else 5
QUIET_S = 20 if SHORT else 3600 if LONG else 600
scene.EVERY = {"every": "1s", "window": "1m", "probe": "1/s", "probe_within": f"{PROBE_WITHIN_S}s"}


def after(watched, kind, service, since, within=60):
    """Seconds from `since` to the first such event behind it."""
    def found():
        return [e for e in watched.events(kind, service) if e["t"] >= since - 0.01]
    wait_until(found, watched.story, within)
    return max(found()[0]["t"] - since, 0)


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
    """77 GiB are free, and each probe takes 80 MiB: full in about 16 minutes."""
    gpu.cards(box)
    with scene.Manager(box) as systemd:
        watched = scene.Watched(box, systemd, on="gpu", stt=gpu.options(box),
                                llm=[*gpu.options(box), "--gpu-grow", "80M"])
        watched.up()
        watched.begin()
        wait_until(lambda: watched.value("gpu0.memory.full_in") is not None, watched.story, 300)
        rate = watched.value("llm.growth")
        left = watched.value("gpu0.memory.free") / rate
        said = watched.value("gpu0.memory.full_in")
        watched.end()
    return {"ahead": left, "said": said / left}


def flood(box):
    with scene.Manager(box) as systemd:
        scene.start_journald(box, systemd)
        watched = scene.Watched(box, systemd)
        watched.up()
        watched.begin()
        systemd.service("llm", "/bin/sh -c 'yes one line of very many | head -n 60000; sleep 100'")
        began = time.time()
        systemd.ctl("restart", "llm", ok=True)
        took = after(watched, "log-flood", None, began)
        watched.end()
    return {"took": took}


def proxy(box):
    down, back = [], []
    haproxy = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not haproxy:
        return {"problem": "haproxy is not installed"}
    with scene.Manager(box) as systemd:
        watched = scene.Watched(box, systemd, guard={"fronts": {}})
        front = free_ports(1)[0]
        with open(box.file, encoding="utf-8") as file:
            study = json.load(file)
        study["guard"]["fronts"] = {"stt": {"port": front, "tiers": {"base": {"port": watched.stt}}}}
        box.write("study.yaml", json.dumps(study))
        box.env["PATH"] += ":/usr/sbin"
        watched.up()
        watched.begin()
        wait_until(lambda: watched.value("proxy.up") == 1, watched.story)
        folder = box.path("sc.spica.proxy")
        for _ in range(ROUNDS):
            with open(os.path.join(folder, "haproxy.pid"), encoding="utf-8") as file:
                pid = int(file.read().split()[0])
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                argv = file.read().split(b"\0")[:-1]
            began = time.time()
            for member in {pid} | scene_descendants(pid):
                os.kill(member, signal.SIGKILL)
            down.append(after(watched, "proxy-down", None, began))
            began = time.time()
            subprocess.run(argv, check=True, env=box.env, stdin=subprocess.DEVNULL)
            back.append(after(watched, "proxy-restarted", None, began))
        with open(os.path.join(folder, "haproxy.pid"), encoding="utf-8") as file:
            pid = int(file.read().split()[0])
        watched.end()
        for member in {pid} | scene_descendants(pid):
            os.kill(member, signal.SIGKILL)
    return {"down": max(down), "back": max(back)}


def scene_descendants(pid):
    return descendants(pid, processes())


def full_disk(box):
    with scene.Manager(box) as systemd:
        watched = scene.Watched(box, systemd)
        small = box.path("small")
        os.mkdir(small)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], check=True)
        watched.up()
        watched.guard = box.start("guard", box.file, "--json", "-o", os.path.join(small, "sc.spica"))
        watched.expect("disk-full", within=300)
        time.sleep(20)
        said = len(watched.events("disk-full"))
        others = len([e for e in watched.events() if e["kind"] != "disk-full"])
        watched.end()
        subprocess.run(["umount", small], check=False)
    return {"said": said, "others": others}


def quiet(box):
    gpu.cards(box)
    with scene.Manager(box) as systemd:
        scene.start_journald(box, systemd)
        watched = scene.Watched(box, systemd, on="gpu", stt=gpu.options(box), llm=gpu.options(box))
        watched.up()
        watched.begin()
        time.sleep(QUIET_S)
        lines = [json.loads(line) for line in watched.guard.output().splitlines()]
        alarms = [line for line in lines if line["is"] == "decision" and line["to"] == "alarm"]
        said = watched.events() + alarms
        watched.end()
    return {"false": len(said), "said": said[:5]}


# What is injected: its function, and of each number that it finds the name, unit, bar, and whether that
# is the most or the least.
PARTS = {
    "cpu_restart": (cpu_restart, [("worst", "s", 10, True)]),
    "oom": (memory_lines, [("device", "s", 2, True), ("kernel", "s", 5, True)]),
    "frozen": (frozen, [("worst", "s", PROBE_WITHIN_S + 5, True)]),
    "leak": (leak, [("ahead", "s", 600, False), ("said", "x", None, True)]),
    "log_flood": (flood, [("took", "s", 5, True)]),
    "haproxy": (proxy, [("down", "s", 5, True), ("back", "s", 5, True)]),
    "full_disk": (full_disk, [("said", "times", 1, True), ("others", "events", 0, True)]),
    "quiet": (quiet, [("false", "alarms", 0, True)]),
}


def main():
    need(SPICA, FAKE)
    folder = workplace("guard-faults")
    for name in sys.argv[1:] or list(PARTS):
        function, numbers = PARTS[name]
        outcome = outcome_of(*start(name, function, folder))
        if "problem" in outcome:
            say(f"{name}: {outcome['problem']}")
        if outcome.get("said") and name == "quiet":
            say(f"quiet: {outcome['said']}")
        for key, unit, bar, most in numbers:
            number(f"guard_{name}_{key}", outcome.get(key), unit, bar, at_most=most)


if __name__ == "__main__":
    main()
