#!/usr/bin/env python3
"""HAProxy as spica runs it.

Added latency: before fake services on loopback, spica bench sends the same seeded requests directly and
through HAProxy, in turns, so that what else the machine does meets both; what is compared are the 99th
percentiles of all turns together.

Cuts: 200 changes of tier and weights, 5 reloads and 3 deaths of a guard while recordings, slow uploads and
streams go through, and guard, while it lives, chooses the tier as well; every answer must be whole. HAProxy
is a unit of a real `systemd --user` in a box (tests/scenario/systemd_box.py), the one that is shipped, and
so are the services: two whisper-servers with tiny.en and base where tools/setup has made them, else fakes,
and two fakes that stream. Where no such box can be had, spica runs HAProxy itself, before fakes; "systemd" and "whisper" say which it was."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import bench_lib as bench

os.environ.update(SPICA=bench.SPICA, FAKE_SERVICE=bench.FAKE)
sys.path.insert(0, os.path.join(bench.ROOT, "tests/scenario"))
from promote import outcome_of, start  # noqa: E402  (after the programs are named)
from systemd_box import MANAGER, Systemd  # noqa: E402
from traffic import Traffic, accepts  # noqa: E402

SHORT = bool(os.environ.get("SPICA_BENCH_SHORT"))
TURNS, TURN_S, RATE = (2, 4, 100) if SHORT else (4, 15, 100)
CHANGES, RELOADS, KILLS = 200, 5, 3
DEMO = os.path.join(bench.ROOT, "build/demo")


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

    env, where, policy = None, {}, {}  # of what is started; keys of `proxy:`, of the front with tiers

    def __init__(self, folder):
        self.folder, self.popens, self.minutes = folder, [], 10
        self.stt, self.llm, *ports = free_ports(6)
        self.ports = dict(zip(("base", "tiny", "now", "next"), ports))
        self.write()
        for name, port in self.ports.items():
            self.start(name, self.command(name, port))
        end = time.monotonic() + 60
        while not all(accepts(port) for port in ports):
            if time.monotonic() > end:
                bench.give_up("the services do not start")
            time.sleep(0.05)

    def command(self, name, port):
        kind = "stt" if name in ("base", "tiny") else "llm"
        argv = [bench.FAKE, "--kind", kind, "--port", str(port), "--life", "900s",
                "--latency", "5ms", "--latency-per-token", "1ms"]
        if kind == "stt":
            argv += ["--transcripts", os.path.join(self.folder, "speech/manifest.jsonl")]
        return argv

    def start(self, _, argv):
        self.popens.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def clip(self):
        return os.path.join(self.folder, "speech/0.wav")

    def write(self):
        shutil.rmtree(os.path.join(self.folder, "speech"), ignore_errors=True)
        fronts = {"stt": {"port": self.stt, "timeout": f"{self.minutes}m",
                          "tiers": {n: self.tier(n) for n in ("base", "tiny")}, **self.policy},
                  "llm": {"port": self.llm, "split": {"arms": {
                      "now": {"port": self.ports["now"], "weight": 90},
                      "next": {"port": self.ports["next"], "weight": 10}}}}}
        self.study = bench.write_study(
            self.folder, {"stt": bench.fake("stt", self.folder), "llm": bench.fake("llm", self.folder)},
            {"stt": {"corpus": "speech"}, "llm": {"prompts": "prompts.jsonl", "max_tokens": 8}},
            guard={"fronts": fronts, **({"proxy": self.where} if self.where else {})})

    def tier(self, name):
        return {"port": self.ports[name]}

    def proxy(self, *args):
        done = subprocess.run([bench.SPICA, "proxy", self.study, *args], capture_output=True, text=True,
                              check=False, timeout=120, env=self.env)
        if done.returncode != 0:
            raise RuntimeError(f"spica proxy {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def end(self):
        subprocess.run([bench.SPICA, "proxy", self.study, "stop", "--within", "2s"], check=False,
                       stdout=sys.stderr, timeout=60, env=self.env)
        for popen in self.popens:
            popen.kill()
            popen.wait()


class Units(Stage):
    """Services and HAProxy as units."""

    def __init__(self, box, systemd):
        self.systemd, self.env = systemd, dict(box.env, PATH=box.env["PATH"] + ":/usr/sbin")
        self.where = {"unit": "spica-haproxy.service", "user": True, "folder": box.path("ha")}
        systemd.haproxy(box)
        super().__init__(box.folder)

    policy = {"keep": "p95 < 10s", "reserve": "64MiB"}  # guard chooses too, while it lives

    def tier(self, name):
        return {"port": self.ports[name], "unit": f"{name}.service", "user": True, "resident": True}

    models = {"base": os.path.join(DEMO, "models/ggml-base.bin"),
              "tiny": os.path.join(DEMO, "models/ggml-tiny.en.bin")}
    whisper = os.path.join(DEMO, "bin/whisper-server")
    real = all(os.path.exists(path) for path in (whisper, *models.values()))

    def command(self, name, port):
        if not self.real or name not in self.models:
            return super().command(name, port)
        return [self.whisper, "--host", "127.0.0.1", "-m", self.models[name], "-t", "1", "--audio-ctx",
                "512", "--language", "en", "--inference-path", "/v1/audio/transcriptions", "--port",
                str(port)]

    def start(self, name, argv):
        self.systemd.service(name, " ".join(argv), extra="TimeoutStopSec=5")
        self.systemd.start(name)

    def clip(self):
        speech = os.path.join(DEMO, "speech")
        return os.path.join(speech, sorted(n for n in os.listdir(speech) if n.endswith(".wav"))[0]) \
            if self.real else super().clip()


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
                            stderr=subprocess.DEVNULL, cwd=stage.folder, env=stage.env)


def change(stage, i):
    if i % 2:
        stage.proxy("weights", "llm", f"{i % 100}/{100 - i % 100}")
    else:
        stage.proxy("tier", "stt", "tiny" if i % 4 == 0 else "base")


def cuts(stage):
    with open(stage.clip(), "rb") as file:
        traffic = Traffic(file.read())
    traffic.add(4, traffic.upload, stage.stt)
    traffic.add(2, traffic.slow_upload, stage.stt)
    traffic.add(4, traffic.stream, stage.llm, 600)
    guard, kills, times = None, 0, []
    for i in range(CHANGES):
        if i % (CHANGES // KILLS) == 5:
            guard = start_guard(stage)
        begun = time.monotonic()
        change(stage, i)
        times.append(1000 * (time.monotonic() - begun))
        if i % (CHANGES // RELOADS) == CHANGES // RELOADS - 1:
            stage.minutes += 1
            stage.write()
            stage.proxy("apply")
        if guard and i % (CHANGES // KILLS) == 40:
            kills += guard.poll() is None
            guard.send_signal(signal.SIGKILL)
            guard.wait()
            guard = None
        time.sleep(0.1)
    if guard:
        guard.kill()
        guard.wait()
    time.sleep(2)
    traffic.stop(120)
    served = {"answers": traffic.answers(), "kills": kills, "change": quantile(times, 0.5),
              "failed": len(traffic.failures), "failures": traffic.failures[:10]}
    return dict(served, real=sum(traffic.served.get(name, 0) for name in ("base", "tiny")),
                streams=sum(traffic.served.get(name, 0) for name in ("now", "next")))


def cuts_of_units(box):
    with Systemd(box) as systemd:
        stage = Units(box, systemd)
        try:
            stage.proxy("apply")
            master = systemd.pid("spica-haproxy")
            time.sleep(3)
            found = cuts(stage)
            same = systemd.pid("spica-haproxy") == master
            return dict(found, systemd=1, whisper=int(stage.real), same=int(same))
        finally:
            stage.end()


def tell_cuts(found):
    for text in found.get("failures", ()):
        bench.say(text)
    for name, key, unit, bar, most in (
            ("systemd", "systemd", "truth", 1, False),
            ("whisper", "whisper", "truth", 1 if Units.real else None, False),
            ("answers", "answers", "requests", 1, False), ("recordings", "real", "requests", 1, False),
            ("streams", "streams", "requests", 1, False),
            ("guard_kills", "kills", "kills", KILLS, False), ("same_master", "same", "truth", None, True),
            ("change", "change", "ms", None, True), ("failed", "failed", "requests", 0, True)):
        bench.number(f"guard.proxy.cuts.{name}", found.get(key), unit, bar, at_most=most)


def latencies(folder):
    """Added latency; where there is no box for units, cuts as well."""
    stage = Stage(folder)
    try:
        stage.proxy("apply")
        time.sleep(3)  # its checks have seen all servers
        added(stage, "stream", "openai-chat", stage.ports["now"], stage.llm, "--max-tokens", "8")
        added(stage, "upload", "openai-transcriptions", stage.ports["base"], stage.stt, "--corpus",
              os.path.join(folder, "speech"))
        if os.geteuid() != 0 or not os.path.exists(MANAGER):
            tell_cuts(dict(cuts(stage), systemd=0))
    finally:
        stage.end()


def main():
    bench.need(bench.SPICA, bench.FAKE)
    bench.need_haproxy()
    # A short path: HAProxy's sockets stand in it.
    folder = os.path.join("/tmp", f"spica-bench-{os.getpid()}")
    os.makedirs(folder)
    try:
        if "cuts" not in sys.argv[1:]:
            latencies(folder)
        if os.geteuid() == 0 and os.path.exists(MANAGER):
            found = outcome_of(*start("cuts", cuts_of_units, folder))
            if "problem" in found:
                bench.say(found["problem"])
            tell_cuts(found)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
