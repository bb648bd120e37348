#!/usr/bin/env python3
"""A load that swings, and who answers it: spica guard choosing between two models, always the small one,
always the large one. The same seeded arrivals for all three, through the same HAProxy, to the same two
servers as units of a real `systemd --user` in a box (needs root).

    bench/guard_swing.py        whisper-server with tiny.en and base on the CPU, 6 minutes for each of the three,
                                with the arrivals of three seeds, one after the other
    SPICA_BENCH_LONG=1          30 minutes for each, one seed
    SPICA_BENCH_SHORT=1         fake services, 45 seconds each, to see that it works; never to be quoted
    SPICA_BENCH_SWING_S=60      so many seconds for each, whatever the servers, and a capacity that is measured in
                                short windows and kept apart: to see that it works; never to be quoted

First both models are measured by `spica run` (capacity by clients; about 7 minutes, kept in
build/bench-results/guard-swing). From that come the rates, as shares of what base answers for a minute (m): calm
0.2 m, a burst of 0.8 m, an overload of 1.8 m (or of 0.8 of what tiny answers for a minute, where that is less:
what nobody can carry shows nothing), calm again; and the limit, five times what base takes for one request. An
answer counts from the moment its request was meant to leave.

The bars hold for all requests of all seeds together. In six minutes some 60 come in calm, of which one in twenty
is three: whether three or five come just in the seconds in which nobody can know yet that an overload is over is
chance, and one seed would judge its luck (tests/unit/guard/test_tier_swing.c plays 200 of them)."""

import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback

import bench_lib as bench

os.environ.update(SPICA=bench.SPICA, FAKE_SERVICE=bench.FAKE)
sys.path.insert(0, os.path.join(bench.ROOT, "tests/scenario"))
import harness  # noqa: E402  (after the programs are named)
from production import free_ports  # noqa: E402
from systemd_box import Systemd, wait_until  # noqa: E402
from traffic import accepts, multipart  # noqa: E402

SHORT, LONG = (bool(os.environ.get(f"SPICA_BENCH_{name}")) for name in ("SHORT", "LONG"))
DEMO = os.path.join(bench.ROOT, "build/demo")
PHASES = (("calm", 150, 0.2), ("burst", 20, 0.8), ("overload", 40, 1.8), ("calm", 150, 0.2))
WHOLE_S = sum(length for _, length, _ in PHASES)
TRIED_S = float(os.environ.get("SPICA_BENCH_SWING_S", 45 if SHORT else 0))
SCALE = TRIED_S / WHOLE_S if TRIED_S else 5 if LONG else 1
SEEDS = (8,) if TRIED_S or LONG else (8, 9, 10)
LIMIT_SERVICES = 5  # the limit, in requests that base answers alone
# Of 20 ms: seven and a half seconds, for clips of at most four. Twice of that halves the rates, and of 41
# requests in calm three are 7 %. With 256 tiny.en repeats itself on some clips, for ten seconds; and what the
# decoder does when it doubts its own words, all over again, takes either model longer than its work.
AUDIO_CTX = 384
CLIP_BYTES = 130000  # 16 bit at 16 kHz, four seconds: what people say to a machine
ANSWER_S = 300      # a client's own patience


ARMS = ("adaptive", "tiny", "base")


# ---- the two servers ----

def short_clips(corpus):
    """A folder with those clips of a corpus that are sent: what is measured is what will be asked."""
    folder = os.path.join(bench.workplace("guard-swing-speech"), "speech")
    os.makedirs(folder)
    with open(os.path.join(corpus, "manifest.jsonl"), encoding="utf-8") as file:
        lines = file.readlines()
    with open(os.path.join(folder, "manifest.jsonl"), "w", encoding="utf-8") as file:
        for line in lines:
            name = json.loads(line)["audio_filepath"]
            if os.path.getsize(os.path.join(corpus, name)) < CLIP_BYTES:
                os.symlink(os.path.realpath(os.path.join(corpus, name)), os.path.join(folder, name))
                file.write(line)
    return folder


def servers():
    """(what the study says of stt, knob value -> command of its unit without the port, corpus)"""
    model = {"base": os.path.join(DEMO, "models/ggml-base.bin"),
             "tiny": os.path.join(DEMO, "models/ggml-tiny.en.bin")}
    program = os.path.join(DEMO, "bin/whisper-server")
    if not SHORT and all(os.path.exists(p) for p in (program, *model.values())):
        corpus = short_clips(os.path.join(DEMO, "speech"))
        study = {"role": "stt", "engine": "whisper-server", "program": program, "threads": 1,
                 "audio_ctx": AUDIO_CTX, "no_fallback": True, "language": "en", "model": "{size}",
                 "knobs": {"size": {"values": model}}}
        argv = {size: [program, "--host", "127.0.0.1", "-m", path, "-t", "1",
                       "--audio-ctx", str(AUDIO_CTX), "--no-fallback", "--language", "en",
                       "--inference-path", "/v1/audio/transcriptions", "--port"]
                for size, path in model.items()}
        return "whisper-server", study, argv, corpus
    if not SHORT:
        bench.give_up("no whisper-server with both models: tools/setup all")
    corpus = os.path.join(bench.workplace("guard-swing-speech"), "speech")
    bench.write_corpus(corpus)
    waits = {"base": "150ms", "tiny": "50ms"}
    command = [bench.FAKE, "--kind", "stt", "--life", "900s", "--slots", "1", "--transcripts",
               os.path.join(corpus, "manifest.jsonl"), "--latency"]
    study = {"role": "stt", "command": [*command, "{size}", "--port", "{port}"],
             "protocol": "openai-transcriptions", "ready": {"http": "/health"},
             "knobs": {"size": {"values": waits}}}
    return "fake", study, {n: [*command, wait, "--port"] for n, wait in waits.items()}, corpus


def write_study(path, service, corpus, guard=None):
    window = "6s" if TRIED_S else "30s"  # a p95 needs 20 answers
    study = {
        "study": "swing", "device": "cpu", "services": {"stt": service},
        "load": {"stt": {"corpus": corpus, "concurrency": 1, "timeout": "120s"}},
        "measure": {"warmup": "1s", "window": "10s", "alone": "0s", "probe_within": "60s",
                    "contention": "100%", "lateness": "1s", "repeats": 3},
        "capacity": {"stt": {"of": "concurrency", "from": 1, "up_to": 8, "window": window,
                             "warmup": "2s", "require": ["stt.errors == 0"]}},
        "goal": {"optimise": {"stt.latency.p50": {"good": "10ms", "bad": "30s"}}},
        "search": {"strategy": "grid", "finalists": 1}, "baseline": {"stt.size": "base"}, "seed": 1}
    if guard:
        study["guard"] = guard
    with open(path, "w", encoding="utf-8") as file:
        for key, value in study.items():
            file.write(f"{key}: {json.dumps(value)}\n")


def measure(kind, service, corpus):
    """The study's results; kept for as long as the question is the same."""
    folder = os.path.join(bench.BUILD, "bench-results",
                          f"guard-swing-{kind}{'-tried' if TRIED_S else ''}")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "study.yaml")
    write_study(path, service, corpus)
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    mark = os.path.join(folder, "measured")
    if not os.path.exists(mark) or open(mark, encoding="utf-8").read() != digest:
        code = subprocess.run([bench.SPICA, "run", path, "--fresh", "--quiet"], check=False,
                              stdout=sys.stderr).returncode
        if code != 0:
            bench.give_up(f"spica run: exit status {code}")
        capacity(os.path.join(folder, "swing.spica"))  # gives up where there is none: nothing to keep
        with open(mark, "w", encoding="utf-8") as file:
            file.write(digest)
    return os.path.join(folder, "swing.spica")


def capacity(results):
    """size -> (answers a second with enough clients, seconds of one request alone)

    The last window of a search, a long one at its last level: the most of many short ones is luck."""
    found = {}
    db = bench.open_results(results)
    for row in db.execute("SELECT t.candidate AS c, p.level AS n, p.answered_rps AS rps, p.p95 AS p95 "
                          "FROM capacity_points p JOIN trials t ON t.number = p.trial "
                          "WHERE p.answered_rps > 0 ORDER BY t.number, p.position"):
        size = row["c"].split("stt.size=")[1].split()[0]
        _, alone = found.get(size, (0, 0))
        if row["n"] == 1:  # one client after another: too few answers for a p95 still have a mean
            alone = row["p95"] or 1 / row["rps"]
        found[size] = (row["rps"], alone)
    if set(found) != {"base", "tiny"} or not all(alone for _, alone in found.values()):
        bench.give_up(f"the study found no capacity of both: {found}")
    return found


# ---- the load ----

def arrivals(seed, most_rps, tiny_rps):
    """(seconds since the start, phase) of each request: Poisson, with a rate for each phase."""
    draw = random.Random(seed)
    at, begun, planned = 0.0, 0.0, []
    for i, (_, length, share) in enumerate(PHASES):
        end = begun + length * SCALE
        at = begun
        while True:
            at += draw.expovariate(min(share * most_rps, 0.8 * tiny_rps))
            if at >= end:
                break
            planned.append((at, i))
        begun = end
    return planned


class Load:
    def __init__(self, port, corpus):
        self.port = port
        with open(os.path.join(corpus, "manifest.jsonl"), encoding="utf-8") as file:
            names = [json.loads(line)["audio_filepath"] for line in file]
        self.clips = []
        for name in names:
            with open(os.path.join(corpus, name), "rb") as file:
                self.clips.append(multipart(file.read()))
        if not self.clips:
            bench.give_up(f"{corpus} has no clip that is short enough")

    def one(self, due, phase, seed, clip, answers):
        body, head = clip
        tier, failed = None, None
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
            connection.request("POST", "/v1/audio/transcriptions", body, head)
            answer = connection.getresponse()
            answer.read()
            tier = answer.headers["X-Spica-Tier"]
            failed = None if answer.status == 200 else answer.status
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            failed = f"{type(error).__name__} {error}"
        answers.append((phase, time.monotonic() - due, tier, failed, seed))

    def send(self, planned, seed):
        """[(phase, seconds, tier, failure, seed)]; ends with the last answer."""
        answers, threads = [], []
        draw = random.Random(seed + 1000)
        begun = time.monotonic() + 0.5
        for at, phase in planned:
            clip = draw.choice(self.clips)
            time.sleep(max(0, begun + at - time.monotonic()))
            threads.append(threading.Thread(target=self.one, daemon=True,
                                            args=(begun + at, phase, seed, clip, answers)))
            threads[-1].start()
        for thread in threads:
            thread.join(ANSWER_S + 10)
        return answers


# ---- the three ----

class Stage:
    """Both units up, HAProxy in front of them."""

    def __init__(self, box, kind, service, argv, corpus, results, limit_s):
        self.box, self.corpus = box, corpus
        self.port, *ports = free_ports(3)
        self.ports = dict(zip(("base", "tiny"), ports))
        self.argv = argv
        self.systemd = Systemd(box)
        guard = {
            "every": "500ms", "probe": 0, "proxy": {"folder": box.path("proxy")},
            "fronts": {"stt": {
                "port": self.port, "keep": f"p95 < {round(1000 * limit_s)}ms",
                "up_after": "2s" if TRIED_S else "15s" if LONG else "3s", "reserve": "64MiB",
                "tiers": {size: {"unit": f"{size}.service", "user": True, "port": self.ports[size],
                                 "resident": True, "values": {"size": size}} for size in self.ports}}}}
        self.study = box.path("study.yaml")
        write_study(self.study, service, corpus, guard)
        shutil.copytree(results, box.path("swing.spica"))
        self.kind, self.guard = kind, None
        self.log = box.path("guard.log")

    def __enter__(self):
        self.systemd.__enter__()
        for size, port in self.ports.items():
            self.systemd.service(size, " ".join([*self.argv[size], str(port)]))
            self.systemd.start(size)
        for port in self.ports.values():
            wait_until(lambda p=port: accepts(p), self.systemd.story)
        self.proxy("apply")
        wait_until(lambda: accepts(self.port), "HAProxy does not listen")
        time.sleep(3)  # its checks have seen both
        return self

    def __exit__(self, kind, value, trace):
        self.end_guard()
        subprocess.run([bench.SPICA, "proxy", self.study, "stop", "--within", "2s"], check=False,
                       stdout=sys.stderr, env=self.box.env, cwd=self.box.folder, timeout=120)
        self.systemd.__exit__(kind, value, trace)

    def proxy(self, *args):
        done = subprocess.run([bench.SPICA, "proxy", self.study, *args], check=False, stdout=sys.stderr,
                              stderr=subprocess.PIPE, text=True, env=self.box.env, cwd=self.box.folder,
                              timeout=120)
        if done.returncode != 0:  # who is measured would be somebody else
            raise RuntimeError(f"spica proxy {' '.join(args)}: {done.stderr.strip()}")

    def begin_guard(self):
        with open(self.log, "wb") as log:
            self.guard = subprocess.Popen([bench.SPICA, "guard", self.study], stdout=log,
                                          stderr=subprocess.STDOUT, env=self.box.env,
                                          cwd=self.box.folder)
        time.sleep(3)
        if self.guard.poll() is not None:
            raise RuntimeError(f"guard ended: {self.told()}")

    def end_guard(self):
        if self.guard:
            self.guard.send_signal(signal.SIGTERM)
            try:
                self.guard.wait(30)
            except subprocess.TimeoutExpired:  # no reason to lose what was measured
                bench.say("guard does not end: killed")
                self.guard.kill()
                self.guard.wait()
        self.guard = None

    def told(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def idle(self):
        """What is left of a run has gone, and rates that guard saw are over."""
        time.sleep(1 if TRIED_S else 5)


def play(box, kind, service, argv, corpus, results, limit_s, most_rps, tiny_rps):
    found = {name: [] for name in ARMS}
    found["told"] = {}
    with Stage(box, kind, service, argv, corpus, results, limit_s) as stage:
        load = Load(stage.port, corpus)
        for seed in SEEDS:
            planned = arrivals(seed, most_rps, tiny_rps)
            for name in ARMS:
                stage.proxy("tier", "stt", "base" if name == "adaptive" else name)
                if name == "adaptive":
                    stage.begin_guard()
                stage.idle()
                rows = load.send(planned, seed)
                if stage.guard and stage.guard.poll() is not None:
                    raise RuntimeError(f"guard ended meanwhile: {stage.told()[-2000:]}")
                stage.end_guard()
                found[name] += rows
                inside = sum(is_inside(row, limit_s) for row in rows)
                bench.say(f"{name}, seed {seed}: {len(rows)} of {len(planned)} ended, {inside} inside")
            found["told"][seed] = stage.told()
    return found


def in_box(*args):
    """play() in a process with views of its own."""
    folder = bench.workplace("guard-swing-run")
    path = os.path.join(folder, "found.json")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setsid()
            harness.isolate()
            harness.become_subreaper()
            os.dup2(2, 1)  # what is printed in there is no number
            box = harness.Box("swing")
            try:
                outcome = play(box, *args)
            except BaseException:  # whatever it was: it is this run's outcome
                outcome = {"problem": traceback.format_exc()[-3000:]}
            outcome["left"] = len(box.close(False))
            with open(path, "w", encoding="utf-8") as file:
                json.dump(outcome, file)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if status != 0:
        bench.give_up(f"the box ended with {status}")
    with open(path, encoding="utf-8") as file:
        found = json.load(file)
    if "problem" in found:
        bench.give_up(found["problem"])
    return found


# ---- numbers ----

def is_inside(row, limit_s):
    return not row[3] and row[1] <= limit_s


def ratio(a, b):
    return a / b if b else float("nan")


def share(values):
    values = list(values)
    return 100 * sum(values) / len(values) if values else float("nan")


def tell(found, kind, limit_s, rates):
    def name(text):
        return f"guard.swing.{'fake.' if kind == 'fake' else 'tried.' if TRIED_S else ''}{text}"

    def inside(arm, seeds=SEEDS):
        return share(is_inside(row, limit_s) for row in found[arm] if row[4] in seeds)

    def by_base(rows, seeds=SEEDS):
        return share(row[2] == "base" for row in rows if row[4] in seeds)

    def failed(arm):
        return sum(bool(row[3]) for row in found[arm])

    for text, (value, unit) in rates.items():
        bench.number(name(text), value, unit)
    for arm in ("adaptive", "tiny", "base"):
        bench.number(name(f"{arm}.requests"), len(found[arm]), "requests")
        bench.number(name(f"{arm}.inside"), inside(arm), "%")
        bench.number(name(f"{arm}.failed"), failed(arm), "requests",
                     failed("tiny") if arm == "adaptive" else None)  # a switch fails none
        if arm != "adaptive":  # an overloaded base answers no check either: HAProxy lets tiny stand in
            number_of_others = sum(not row[3] and row[2] != arm for row in found[arm])
            bench.number(name(f"{arm}.by_others"), number_of_others, "requests", 0 if arm == "tiny" else None)
        ordered = sorted(row[1] for row in found[arm])
        bench.number(name(f"{arm}.p95"), ordered[int(0.95 * (len(ordered) - 1))], "s")
    calm = [row for row in found["adaptive"] if PHASES[row[0]][0] == "calm"]
    bench.number(name("adaptive.by_base"), by_base(found["adaptive"]), "%")
    bench.number(name("inside_beside_tiny"), ratio(inside("adaptive"), inside("tiny")), "x", 0.98,
                 at_most=False)
    # Of a calm of 19 s (the short form's) the way back alone takes 7.
    bench.number(name("calm_by_base"), by_base(calm), "%", 80 if TRIED_S else 95, at_most=False)
    counts = []
    for seed in SEEDS:
        switches = [line for line in found["told"][str(seed)].splitlines()
                    if " acted: " in line and " -> " in line]
        counts.append(len(switches))
        for line in switches:
            bench.say(line)
        if len(SEEDS) > 1:
            bench.number(name(f"seed_{seed}.inside_beside_tiny"),
                         ratio(inside("adaptive", [seed]), inside("tiny", [seed])), "x")
            bench.number(name(f"seed_{seed}.calm_by_base"), by_base(calm, [seed]), "%")
            bench.number(name(f"seed_{seed}.switches"), counts[-1], "switches")
    bench.number(name("switches"), max(counts), "switches", 5)
    bench.number(name("left"), found["left"], "processes", 0)


def main():
    bench.need(bench.SPICA, bench.FAKE)
    bench.need_haproxy()
    if os.geteuid() != 0:
        bench.give_up("needs root, for a systemd in a box")
    kind, service, argv, corpus = servers()
    Load(0, corpus)  # what can't be sent is found out before the long part
    results = measure(kind, service, corpus)
    found = capacity(results)
    most_rps, alone_s = found["base"]
    limit_s = LIMIT_SERVICES * alone_s
    rates = {"base.most": (most_rps, "requests/s"), "tiny.most": (found["tiny"][0], "requests/s"),
             "limit": (limit_s, "s")}
    tell(in_box(kind, service, argv, corpus, results, limit_s, most_rps, found["tiny"][0]), kind, limit_s,
         rates)


if __name__ == "__main__":
    main()
