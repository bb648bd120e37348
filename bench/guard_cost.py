#!/usr/bin/env python3
"""What guard itself costs: CPU and memory at 500 log lines a second, and whether it grows over 10^7 lines
that come as fast as it reads them.

The lines are real ones: HAProxy logs one request of each front to us first, and those are sent again with
other times. "As fast as it reads" is told by the kernel: how much of its socket's queue is unread. The
services are fakes that nobody else asks; guard's probes are on, as they are by default.
"""

import json
import os
import random
import re
import shutil
import socket
import sys
import time
import urllib.request

import bench_lib as bench
from guard_proxy import Stage, free_ports, start_guard

RATE, STEADY_S, IDLE_S = 500, 40, 10
LINES = int(os.environ.get("SPICA_BENCH_LINES", 10_000_000))
WARM_LINES = LINES // 10   # memory is compared from here on: every window and slot has been filled
CPU_BAR, MEMORY_BAR_MB, GROWTH_BAR_MB = 3, 25, 0.5


class Watched(Stage):
    """The stage with guard's own port open."""

    def write(self):
        self.http = getattr(self, "http", None) or free_ports(1)[0]
        super().write()
        with open(self.study, encoding="utf-8") as file:
            study = json.load(file)
        study["guard"].update({"listen": f"127.0.0.1:{self.http}", "proxy": {},
                               "watch": {"stt": {"port": self.ports["base"]},
                                         "llm": {"port": self.ports["now"]}}})
        with open(self.study, "w", encoding="utf-8") as file:
            json.dump(study, file)

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
                bench.give_up("guard does not start")
            time.sleep(0.2)


def configuration(stage):
    for top, _, files in os.walk(stage.folder):
        for name in files:
            if name.endswith(".cfg"):
                with open(os.path.join(top, name), encoding="utf-8") as file:
                    return file.read()
    return bench.give_up("HAProxy's configuration is not found")


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
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * bench.TICK_S


def memory_mb(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) / 1000


def unread(port):
    """Bytes in the queue of the UDP socket at that port, and datagrams that it has lost."""
    with open("/proc/net/udp", encoding="utf-8") as file:
        for line in file:
            fields = line.split()
            if fields[1].endswith(f":{port:04X}"):
                return int(fields[4].split(":")[1], 16), int(fields[-1])
    return bench.give_up("guard's log socket is gone")


def steady(sender, lines, pid):
    """Share of a core, in percent, while RATE lines a second come."""
    begun, before, sent = time.monotonic(), cpu_s(pid), 0
    while time.monotonic() - begun < STEADY_S:
        while sent < (time.monotonic() - begun) * RATE:
            sender.send(lines[sent % len(lines)])
            sent += 1
        time.sleep(0.01)
    return 100 * (cpu_s(pid) - before) / (time.monotonic() - begun)


def flood(sender, lines, port, count):
    full = 64 << 10
    for sent in range(0, count, 100):
        for i in range(100):
            sender.send(lines[(sent + i) % len(lines)])
        while unread(port)[0] > full:
            time.sleep(0.0002)


def measure(stage):
    stage.proxy("apply")
    text = configuration(stage)
    port = int(re.search(r"log 127\.0\.0\.1:(\d+)", text).group(1))
    time.sleep(3)  # its checks have seen all servers
    lines = many(real_lines(stage, port))
    guard = start_guard(stage)
    try:
        stage.wait_for_guard(guard)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", port))
            before, begun = cpu_s(guard.pid), time.monotonic()
            time.sleep(IDLE_S)
            bench.number("guard.cost.idle.cpu",
                         100 * (cpu_s(guard.pid) - before) / (time.monotonic() - begun), "%")
            bench.number("guard.cost.steady.cpu", steady(sender, lines, guard.pid), "%", CPU_BAR)
            bench.number("guard.cost.steady.memory", memory_mb(guard.pid), "MB", MEMORY_BAR_MB)
            rate = sum(stage.status()["values"][f"{name}.requests.rate"]["value"] or 0
                       for name in ("stt", "llm"))
            bench.number("guard.cost.steady.seen", rate, "lines/s")
            flood(sender, lines, port, WARM_LINES)
            warm, begun = memory_mb(guard.pid), time.monotonic()
            flood(sender, lines, port, LINES - WARM_LINES)
            seconds = time.monotonic() - begun
            time.sleep(2)
            bench.number("guard.cost.flood.rate", (LINES - WARM_LINES) / seconds, "lines/s")
            bench.number("guard.cost.flood.lost", unread(port)[1], "lines")
            bench.number("guard.cost.flood.growth", memory_mb(guard.pid) - warm, "MB", GROWTH_BAR_MB)
            bench.number("guard.cost.flood.memory", memory_mb(guard.pid), "MB", MEMORY_BAR_MB)
            check = stage.status()
            bench.number("guard.cost.flood.ticks", check["ticks"], "ticks")
        if guard.poll() is not None:
            bench.give_up("guard ended meanwhile")
    finally:
        guard.terminate()
        guard.wait()


def main():
    bench.need(bench.SPICA, bench.FAKE)
    bench.need_haproxy()
    folder = os.path.join("/tmp", f"spica-bench-{os.getpid()}")
    os.makedirs(folder)
    stage = Watched(folder)
    try:
        measure(stage)
    finally:
        stage.end()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
