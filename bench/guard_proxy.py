#!/usr/bin/env python3
"""HAProxy as `spica proxy` runs it, before fake services on loopback.

Added latency: spica bench sends the same seeded requests directly and through HAProxy, in turns, so that
what else the machine does meets both; what is compared are the 99th percentiles of all turns together.
Cuts: 200 changes of tier and weights, 5 reloads and, where there is a guard, 3 of its deaths while
recordings, slow uploads and streams go through; every answer must be whole."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import bench_lib as bench

sys.path.insert(0, os.path.join(bench.ROOT, "tests/scenario"))
from traffic import Traffic, accepts  # noqa: E402

TURNS, TURN_S, RATE = 4, 15, 100
CHANGES, RELOADS, KILLS = 200, 5, 3


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Stage:
    """Four fakes, a study in front of them, HAProxy."""

    def __init__(self, folder):
        self.folder, self.popens, self.minutes = folder, [], 10
        self.stt, self.llm, *ports = free_ports(6)
        self.ports = dict(zip(("base", "tiny", "now", "next"), ports))
        self.write()
        for name, port in self.ports.items():
            kind = "stt" if name in ("base", "tiny") else "llm"
            argv = [bench.FAKE, "--kind", kind, "--port", str(port), "--life", "900s",
                    "--latency", "5ms", "--latency-per-token", "1ms"]
            if kind == "stt":
                argv += ["--transcripts", os.path.join(folder, "speech/manifest.jsonl")]
            self.popens.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL,
                                                stderr=subprocess.DEVNULL))
        end = time.monotonic() + 20
        while not all(accepts(port) for port in ports):
            if time.monotonic() > end:
                bench.give_up("the fake services do not start")
            time.sleep(0.05)

    def write(self):
        shutil.rmtree(os.path.join(self.folder, "speech"), ignore_errors=True)
        fronts = {"stt": {"port": self.stt, "timeout": f"{self.minutes}m",
                          "tiers": {n: {"port": self.ports[n]} for n in ("base", "tiny")}},
                  "llm": {"port": self.llm, "split": {"arms": {
                      "now": {"port": self.ports["now"], "weight": 90},
                      "next": {"port": self.ports["next"], "weight": 10}}}}}
        self.study = bench.write_study(
            self.folder, {"stt": bench.fake("stt", self.folder), "llm": bench.fake("llm", self.folder)},
            {"stt": {"corpus": "speech"}, "llm": {"prompts": "prompts.jsonl", "max_tokens": 8}},
            guard={"fronts": fronts})

    def proxy(self, *args):
        done = subprocess.run([bench.SPICA, "proxy", self.study, *args], capture_output=True, text=True,
                              check=False, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"spica proxy {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def end(self):
        subprocess.run([bench.SPICA, "proxy", self.study, "stop", "--within", "2s"], check=False,
                       stdout=sys.stderr, timeout=60)
        for popen in self.popens:
            popen.kill()
            popen.wait()


def quantile(values, q):
    """As spica defines it: between the neighbours of q (n - 1)."""
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def turn(stage, protocol, port, seed, *more):
    """Latencies in ms of one turn; failures end the bench."""
    records = os.path.join(stage.folder, "records.jsonl")
    done = subprocess.run(
        [bench.SPICA, "bench", "-p", protocol, "-u", f"http://127.0.0.1:{port}", "--rate", f"{RATE}/s",
         "--arrivals", "constant", "--for", f"{TURN_S}s", "--warmup", "1s", "--workers", "1",
         "--seed", str(seed), "--records", records, "--json", *more],
        capture_output=True, text=True, check=False, timeout=TURN_S + 90, cwd=stage.folder)
    if done.returncode != 0:
        bench.give_up(f"spica bench: exit {done.returncode}: {done.stderr.strip()[:500]}")
    latencies = []
    with open(records, encoding="utf-8") as file:
        for line in file:
            metrics = json.loads(line).get("metrics", {})
            latencies.append(float(metrics["request_latency"]["value"]))
    os.unlink(records)
    return latencies


def added(stage, name, protocol, direct_port, front_port, *more):
    direct, through = [], []
    for seed in range(1, TURNS + 1):
        # Who is first changes: whatever drifts is nobody's.
        order = [(direct, direct_port), (through, front_port)]
        for into, port in order if seed % 2 else reversed(order):
            into += turn(stage, protocol, port, seed, *more)
    for q in (0.5, 0.99):
        of = [quantile(values, q) for values in (direct, through)]
        label = f"guard.proxy.{name}.p{round(100 * q)}"
        bench.number(f"{label}.direct", of[0], "ms")
        bench.number(f"{label}.added", of[1] - of[0], "ms", *((1,) if q == 0.99 else ()))


def start_guard(stage):
    return subprocess.Popen([bench.SPICA, "guard", stage.study], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, cwd=stage.folder)


def guard_is_there():
    return subprocess.run([bench.SPICA, "guard", "--help"], capture_output=True,
                          check=False).returncode == 0


def change(stage, i):
    if i % 2:
        stage.proxy("weights", "llm", f"{i % 100}/{100 - i % 100}")
    else:
        stage.proxy("tier", "stt", "tiny" if i % 4 == 0 else "base")


def cuts(stage):
    with open(os.path.join(stage.folder, "speech/0.wav"), "rb") as file:
        traffic = Traffic(file.read())
    traffic.add(4, traffic.upload, stage.stt)
    traffic.add(2, traffic.slow_upload, stage.stt)
    traffic.add(4, traffic.stream, stage.llm, 600)
    guard, guards, kills = None, guard_is_there(), 0
    times = []
    for i in range(CHANGES):
        if guards and i % (CHANGES // KILLS) == 5:
            guard = start_guard(stage)
        begun = time.monotonic()
        change(stage, i)
        times.append(1000 * (time.monotonic() - begun))
        if i % (CHANGES // RELOADS) == CHANGES // RELOADS - 1:
            stage.minutes += 1
            stage.write()
            stage.proxy("apply")
        if guard and i % (CHANGES // KILLS) == 40:
            guard.send_signal(signal.SIGKILL)
            guard.wait()
            guard, kills = None, kills + 1
        time.sleep(0.1)
    if guard:
        guard.kill()
        guard.wait()
    time.sleep(2)
    traffic.stop()
    for text in traffic.failures[:10]:
        bench.say(text)
    bench.number("guard.proxy.cuts.answers", traffic.answers(), "requests")
    bench.number("guard.proxy.cuts.guard_kills", kills, "kills")
    bench.number("guard.proxy.cuts.change", quantile(times, 0.5), "ms")
    bench.number("guard.proxy.cuts.failed", len(traffic.failures), "requests", 0)


def main():
    bench.need(bench.SPICA, bench.FAKE)
    if not shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        bench.give_up("haproxy is not installed")
    # A short path: HAProxy's sockets stand in it.
    folder = os.path.join("/tmp", f"spica-bench-{os.getpid()}")
    os.makedirs(folder)
    stage = Stage(folder)
    try:
        stage.proxy("apply")
        time.sleep(3)  # its checks have seen all servers
        added(stage, "stream", "openai-chat", stage.ports["now"], stage.llm, "--max-tokens", "8")
        added(stage, "upload", "openai-transcriptions", stage.ports["base"], stage.stt, "--corpus",
              os.path.join(folder, "speech"))
        cuts(stage)
    finally:
        stage.end()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
