#!/usr/bin/env python3
"""What guard itself costs: CPU and memory at 500 log lines a second, and whether it grows over 10^7 lines
that come as fast as it reads them.

What it watches is what a production has: two services on a GPU (the fake driver's) as units of a real
`systemd --user` in a box (tests/scenario/systemd_box.py, needs root), HAProxy as the unit that is shipped,
a front whose tiers are chosen by what a study measured, a front that is split, eight rules, probes as
they are by default, its own port open. What it measured of the tiers is written into the study's results,
as finding it takes minutes.

The lines are real ones: HAProxy logs one request of each front to us first, and those are sent again with
other times. "As fast as it reads" is told by the kernel: how much of its socket's queue is unread.

CPU is guard's own, then that of its children, those that it has waited for and those that live: the
driver is asked by one, each probe is sent by one. A child's child that nobody waited for is not in it."""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import bench_lib as bench
from guard_proxy import Units, free_ports, start_guard
from promote import outcome_of, start
from systemd_box import MANAGER, Systemd
import gpu
import tiers
from harness import QUIET, descendants, processes

RATE = 500
STEADY_S = int(os.environ.get("SPICA_BENCH_STEADY_S", 120))  # two of guard's windows
IDLE_S = min(60, STEADY_S)
LINES = int(os.environ.get("SPICA_BENCH_LINES", 10_000_000))
WARM_LINES = LINES // 10   # memory is compared from here on: every window and slot has been filled
CPU_BAR, MEMORY_BAR_MB, GROWTH_BAR_MB = 3, 25, 0.5

WAITS = {"base": "4ms", "tiny": "2ms"}
# Requests per second, p50 and p95 of each setting: both take the lines' rate with room.
FOUND = {"4ms": [(2, 0.2, 0.8), (100, 0.2, 0.8), (400, 0.25, 0.9), (800, 4, 8)],
         "2ms": [(2, 0.1, 0.4), (100, 0.1, 0.4), (800, 0.12, 0.5)]}
ANSWERED = {"4ms": 500, "2ms": 800}
RULES = [("slow", "{}.latency.p95 > 30s"), ("failing", "{}.errors > 0.2"), ("down", "{}.up == 0"),
         ("queued", "{}.queue.p95 > 20s")]


class Watched(Units):
    """The stage of the row "cuts" with all of `guard:`."""

    real = False  # fakes: what they are is not what is measured

    def __init__(self, box, systemd):
        gpu.cards(box, gpu.Card())
        self.box, self.http, self.measured = box, free_ports(1)[0], False
        self.card = [str(o) for o in gpu.options(box, "2G")]
        super().__init__(box, systemd)

    def command(self, name, port):
        argv = super().command(name, port) + self.card
        if name in WAITS:
            argv[argv.index("--latency") + 1] = WAITS[name]
        return argv

    def start(self, name, argv):
        if not self.measured:  # the card has to be free
            self.measure()
        self.systemd.service(name, " ".join(argv), extra="TimeoutStopSec=5\nEnvironment="
                             f"FAKE_NVML_WORLD={self.box.env['FAKE_NVML_WORLD']}")
        self.systemd.start(name)

    def unit(self, name):
        return {"unit": f"{name}.service", "user": True, "port": self.ports[name]}

    def write(self):
        shutil.rmtree(os.path.join(self.folder, "speech"), ignore_errors=True)
        one = {"concurrency": 1, "timeout": "10s"}
        services = {
            "stt": bench.fake("stt", self.folder, "--latency", "{wait}", *self.card, on="gpu",
                              knobs={"wait": list(WAITS.values())}),
            "llm": bench.fake("llm", self.folder, "--latency", "5ms", *self.card, on="gpu")}
        chosen = {name: dict(self.unit(name), resident=True, values={"wait": wait})
                  for name, wait in WAITS.items()}
        rules = [{"name": f"{service} {name}", "when": when.format(service), "for": "30s", "do": ["notify"]}
                 for service in services for name, when in RULES]
        self.study = bench.write_study(
            self.folder, services,
            {"stt": dict(one, corpus="speech"), "llm": dict(one, prompts="prompts.jsonl", max_tokens=8)},
            device="gpu0", measure=QUIET, search={"strategy": "grid", "finalists": 1},
            baseline={"stt.wait": WAITS["base"]},
            guard={"listen": f"127.0.0.1:{self.http}", "proxy": self.where,
                   "watch": {"stt": self.unit("base"), "llm": self.unit("now")}, "rules": rules,
                   "fronts": {"stt": {"port": self.stt, "keep": "p95 < 2s", "reserve": "64MiB",
                                      "tiers": chosen},
                              "llm": {"port": self.llm, "split": {"arms": {
                                  "now": {"port": self.ports["now"], "weight": 90},
                                  "next": {"port": self.ports["next"], "weight": 10}}}}}})

    def measure(self):
        self.measured = True
        done = subprocess.run([bench.SPICA, "run", self.study, "--quiet"], capture_output=True, text=True,
                              check=False, timeout=120, env=self.env, cwd=self.folder)
        if done.returncode != 0:
            raise RuntimeError(f"spica run: {done.returncode}: {done.stdout[-800:]}{done.stderr[-800:]}")
        tiers.FOUND, tiers.ANSWERED = FOUND, ANSWERED
        tiers.add_capacities(os.path.join(self.folder, "bench.spica", "study.db"))

    def status(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/status", timeout=30) as answer:
            return json.load(answer)

    def wait_for_guard(self, guard):
        end = time.monotonic() + 60
        while True:
            try:
                if self.status()["ticks"] >= 3:
                    return
            except OSError:
                pass
            if guard.poll() is not None or time.monotonic() > end:
                raise RuntimeError("guard does not start")
            time.sleep(0.2)


def configuration(stage):
    for top, _, files in os.walk(stage.folder):
        for name in files:
            if name.endswith(".cfg"):
                with open(os.path.join(top, name), encoding="utf-8") as file:
                    return file.read()
    raise RuntimeError("HAProxy's configuration is not found")


def real_lines(stage, port):
    """What HAProxy logs of one small request to each front."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", port))
        sink.settimeout(30)
        lines = []
        for front in (stage.stt, stage.llm):
            with urllib.request.urlopen(f"http://127.0.0.1:{front}/health", timeout=30):
                pass
            lines.append(sink.recv(4096).decode())
        return lines


def many(lines, count=2000):
    """The same requests with other times: a heavy tail, as they have."""
    random.seed(1)
    made = []
    for i in range(count):
        ms = int(random.lognormvariate(5, 1))
        line = re.sub(r'"Ta":\d+', f'"Ta":{ms}', lines[i % len(lines)])
        line = re.sub(r'"Tr":\d+', f'"Tr":{ms // 2}', line)
        made.append(re.sub(r'"Tw":\d+', f'"Tw":{ms // 10}', line).encode())
    return made


def cpu_s(pid):
    """(guard's own, its children's)"""
    table = processes()
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        own, waited = cpu_of(file.read())
    for child in descendants(pid, table):
        try:
            with open(f"/proc/{child}/stat", encoding="utf-8") as file:
                waited += sum(cpu_of(file.read()))
        except OSError:
            pass  # it has ended and will be in what was waited for
    return own, waited


def cpu_of(stat):
    fields = stat.rpartition(")")[2].split()
    return [(int(fields[i]) + int(fields[i + 1])) * bench.TICK_S for i in (11, 13)]


def percent(before, after, seconds):
    return [100 * (now - then) / seconds for then, now in zip(before, after)]


def memory_mb(pid):
    return bench.memory_kb(pid, "status", "VmRSS") / 1000


def all_memory_mb(pid):
    """With its children: pages that they share count once."""
    return sum(bench.memory_kb(one, "smaps_rollup", "Pss")
               for one in {pid} | descendants(pid, processes())) / 1000


def unread(port):
    """Bytes in the queue of the UDP socket at that port, and datagrams that it has lost."""
    with open("/proc/net/udp", encoding="utf-8") as file:
        for line in file:
            fields = line.split()
            if fields[1].endswith(f":{port:04X}"):
                return int(fields[4].split(":")[1], 16), int(fields[-1])
    raise RuntimeError("guard's log socket is gone")


def idle(pid):
    before, begun = cpu_s(pid), time.monotonic()
    time.sleep(IDLE_S)
    return percent(before, cpu_s(pid), time.monotonic() - begun)


def steady(sender, lines, pid):
    """Shares of a core, in percent, while RATE lines a second come."""
    begun, before, sent = time.monotonic(), cpu_s(pid), 0
    while time.monotonic() - begun < STEADY_S:
        while sent < (time.monotonic() - begun) * RATE:
            sender.send(lines[sent % len(lines)])
            sent += 1
        time.sleep(0.01)
    return percent(before, cpu_s(pid), time.monotonic() - begun)


def flood(sender, lines, port, count):
    full = 64 << 10
    for sent in range(0, count, 100):
        for i in range(100):
            sender.send(lines[(sent + i) % len(lines)])
        while unread(port)[0] > full:
            time.sleep(0.0002)


def check_whole(status):
    """Is all at work that is to be paid for?"""
    seen = {name: status["values"][name]["value"] for name in
            ("stt.placement", "llm.placement", "stt.tier", "stt.probe.rate", "llm.probe.rate")}
    if list(seen.values())[:3] != ["gpu", "gpu", "base"] or not all(seen.values()):
        raise RuntimeError(f"guard does not see what it is to: {seen}")


def look(stage, guard, port, lines):
    found, pid = {}, guard.pid
    stage.wait_for_guard(guard)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        found["idle.cpu"], found["idle.children"] = idle(pid)
        own, children = steady(sender, lines, pid)
        found.update({"steady.cpu": own, "steady.children": children, "steady.both": own + children,
                      "steady.memory": memory_mb(pid), "steady.memory_all": all_memory_mb(pid)})
        status = stage.status()
        found["steady.seen"] = sum(status["values"][f"{name}.requests.rate"]["value"] or 0
                                   for name in ("stt", "llm"))
        check_whole(status)
        flood(sender, lines, port, WARM_LINES)
        warm, begun = memory_mb(pid), time.monotonic()
        flood(sender, lines, port, LINES - WARM_LINES)
        found["flood.rate"] = (LINES - WARM_LINES) / (time.monotonic() - begun)
        time.sleep(2)
        found["flood.lost"] = unread(port)[1]
        found["flood.growth"] = memory_mb(pid) - warm
        found["flood.memory"] = memory_mb(pid)
        found["flood.ticks"] = stage.status()["ticks"]
    if guard.poll() is not None:
        raise RuntimeError("guard ended meanwhile")
    return found


def measure(box):
    with Systemd(box) as systemd:
        stage = Watched(box, systemd)
        try:
            stage.proxy("apply")
            port = int(re.search(r"log 127\.0\.0\.1:(\d+)", configuration(stage)).group(1))
            time.sleep(3)  # its checks have seen all servers
            lines = many(real_lines(stage, port))
            guard = start_guard(stage)
            try:
                return look(stage, guard, port, lines)
            finally:
                guard.terminate()
                guard.wait()
        finally:
            stage.end()


ROWS = (("idle.cpu", "%", None), ("idle.children", "%", None), ("steady.cpu", "%", None),
        ("steady.children", "%", None), ("steady.both", "%", CPU_BAR),
        ("steady.memory", "MB", MEMORY_BAR_MB), ("steady.memory_all", "MB", None),
        ("steady.seen", "lines/s", None), ("flood.rate", "lines/s", None), ("flood.lost", "lines", None),
        ("flood.growth", "MB", GROWTH_BAR_MB), ("flood.memory", "MB", MEMORY_BAR_MB),
        ("flood.ticks", "ticks", None))


def main():
    bench.need(bench.SPICA, bench.FAKE)
    bench.need_haproxy()
    if os.geteuid() != 0 or not os.path.exists(MANAGER):
        bench.give_up("needs root and systemd, for units in a box")
    folder = os.path.join("/tmp", f"spica-bench-{os.getpid()}")
    os.makedirs(folder)
    try:
        found = outcome_of(*start("cost", measure, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if "problem" in found:
        bench.give_up(found["problem"])
    for name, unit, bar in ROWS:
        bench.number(f"guard.cost.{name}", found[name], unit, bar)


if __name__ == "__main__":
    sys.exit(main())
