#!/usr/bin/env python3
"""spica guard on a real card: production of examples/h100/guard.yaml (vLLM, and two sizes of Whisper behind
HAProxy) as units of a real `systemd --user` with a real journald, loaded, driven over its capacity, and
injured.

    guard.py pack FOLDER         where systemd, D-Bus, HAProxy and patchelf are installed: copies, to be carried
    guard.py unpack FOLDER       there, as root, on a machine without them that is thrown away afterwards
    guard.py play OUT [PART...]  after `h100.sh setup` and a study that ended: h100.sh start guard
    guard.py parts               what there is to play

Each part prints a line for each thing looked at, with "ok", "BAD" or, where nothing is promised, nothing.
OUT gets summary.txt, events.jsonl (all that guard said), once.txt, metrics.txt, status.json, the journal's
lines of the units, and the recording. Status 1 when something was BAD. Without a GPU: guard_dry_run.sh.

Times are by the wall clock of both: from the injury (and, of what had to start first, from when it answered)
to the event in guard's own words.
"""

import ctypes
import glob
import http.client
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BASE = os.environ.get("H100_ROOT", "/tmp/h100")
STUDIES = os.path.join(BASE, "studies/h100")
os.environ.setdefault("SPICA", os.path.join(BASE, "spica/bin/spica"))
os.environ.setdefault("FAKE_SERVICE", "/bin/false")  # none is started
sys.path.insert(0, os.path.join(ROOT, "tests/scenario"))
import harness  # noqa: E402  (after the programs are named)
from guard_kit import pack, unpack  # noqa: E402
from systemd_box import wait_until  # noqa: E402
from test_guard_watch import Manager, accepts, start_journald  # noqa: E402
from traffic import fetch, multipart  # noqa: E402

LLM, TINY, BASE_PORT = 18421, 18422, 18423
STT_FRONT, LLM_FRONT, WEB = 18420, 18419, 18469
LIMIT_S, PROBE_WITHIN_S = 0.6, 5  # guard.yaml: keep, probe_within
START_S = 300      # a first vLLM compiles kernels
ROUNDS = int(os.environ.get("ROUNDS", "3"))


# ---- requests ----

class Load:
    """Requests at a rate, each in a thread of its own: none waits for another's answer."""

    def __init__(self):
        self.lock, self.threads, self.ends = threading.Lock(), [], threading.Event()
        self.answers = []   # (wall clock when it was due, service, who answered, seconds, failure)
        self.draw = random.Random(8)
        self.clips = []
        for path in sorted(glob.glob(os.path.join(STUDIES, "lab/speech/*.wav"))):
            with open(path, "rb") as file:
                self.clips.append(multipart(file.read()))
        self.clips = [clip for clip in self.clips if len(clip[0]) < 250000] or self.clips

    def _ask(self, port, path, body, head):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        try:
            connection.request("POST", path, body, head)
            answer = connection.getresponse()
            data = answer.read()
            return answer, data
        finally:
            connection.close()

    def speech(self, due):
        return self._one(due, "stt", STT_FRONT, "/v1/audio/transcriptions", *self.draw.choice(self.clips),
                         lambda data: "text" in json.loads(data))

    def words(self, due):
        body = json.dumps({"model": "llm", "stream": True, "max_tokens": 48, "temperature": 0,
                           "messages": [{"role": "user", "content": "Say something."}]})
        return self._one(due, "llm", LLM_FRONT, "/v1/chat/completions", body, {"Content-Type": "application/json"},
                         lambda data: data.rstrip().endswith(b"data: [DONE]"))

    def _one(self, due, service, port, path, body, head, whole):
        who = failed = None
        try:
            answer, data = self._ask(port, path, body, head)
            who = answer.headers["X-Spica-Tier"]
            if answer.status != 200 or not whole(data):
                failed = f"{answer.status} {data[-100:]!r}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            failed = f"{type(error).__name__} {error}"
        with self.lock:
            self.answers.append((due, service, who, time.time() - due, failed))

    def begin(self, send, rate):
        """Poisson arrivals until end(); `rate` is a list of one number, which may be changed meanwhile."""
        ends = self.ends
        draw = random.Random(rate[0])

        def run():
            due, sent = time.time(), []
            while not ends.is_set():
                due += draw.expovariate(rate[0])
                if ends.wait(max(0, due - time.time())):
                    break
                sent.append(threading.Thread(target=send, args=(due,), daemon=True))
                sent[-1].start()
                sent = [thread for thread in sent if thread.is_alive()]
            for thread in sent:
                thread.join(130)
        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def end(self):
        self.ends.set()
        for thread in self.threads:
            thread.join(140)
        self.threads, self.ends = [], threading.Event()

    def since(self, begun, service=None):
        with self.lock:
            return [a for a in self.answers if a[0] >= begun and service in (None, a[1])]

    def failures(self, begun, service=None):
        return [a for a in self.since(begun, service) if a[4]]


# ---- production ----

class Production:
    def __init__(self, box, systemd, out):
        self.box, self.systemd, self.out = box, systemd, out
        self.bad, self.said, self.load, self.guard = 0, [], Load(), None
        self.began = time.monotonic()
        self.study = os.path.join(STUDIES, "guard.yaml")
        self.record = os.path.join(STUDIES, "guard.spica.guard.jsonl")
        python, lab = shutil.which("python3"), os.path.join(STUDIES, "lab")
        whisper = f"{python} ../openai_whisper_server.py lab/whisper-%s.pt %d --language en"
        self.unit("llm", f"{python} -m vllm.entrypoints.openai.api_server --model lab/llm-7b --host 127.0.0.1 "
                  f"--port {LLM} --served-model-name llm --gpu-memory-utilization 0.40 --max-model-len 4096 "
                  "--load-format dummy --enforce-eager", lab,
                  f"VLLM_WORKER_MULTIPROC_METHOD={'spawn' if os.path.exists(BASE + '/spawn') else 'fork'} "
                  "VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1")
        self.unit("tiny", whisper % ("tiny.en", TINY), lab)
        self.unit("base", whisper % ("base", BASE_PORT), lab)

    def unit(self, name, command, lab, more=""):
        self.card(name, True)
        given = dict(os.environ, HOME=os.path.expanduser("~"))  # where compiled kernels are
        handed_on = " ".join(f"{key}={given[key]}" for key in
                             ("PATH", "HOME", "CC", "CXX", "CUDAHOSTCXX",  # another compiler: all is compiled anew
                              "H100_ROOT", "FAKE", "FAKE_NVML_WORLD", "REAL_PYTHON") if key in given)
        self.systemd.service(name, command, extra=(
            f"WorkingDirectory={STUDIES}\nEnvironment={handed_on} PYTHONPATH={lab}/site PYTHONUNBUFFERED=1 "
            f"HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 CUDA_DEVICE_ORDER=PCI_BUS_ID {more}\n"
            f"EnvironmentFile={self.box.path(name + '.env')}\nRestart=always\nRestartSec=200ms\nTimeoutStopSec=20\n"))

    def card(self, name, sees):
        """The fault that nobody notices: a variable, emptied."""
        self.box.write(name + ".env", f"CUDA_VISIBLE_DEVICES={'0' if sees else ''}\n")

    def tell(self, text, ok=None):
        word = {True: "ok ", False: "BAD", None: "   "}[ok]
        self.bad += ok is False
        line = f"{time.monotonic() - self.began:5.0f} s  {word}  {text}"
        print(line, flush=True)
        with open(os.path.join(self.out, "summary.txt"), "a", encoding="utf-8") as file:
            file.write(line + "\n")

    # -- guard --

    def begin_guard(self):
        self.guard = self.box.start("guard", self.study, "--json", cwd=STUDIES)
        wait_until(lambda: self.guard.poll() is not None or (accepts(STT_FRONT) and accepts(LLM_FRONT)), self.story, 60)
        begun = time.time()
        wait_until(lambda: self.guard.poll() is not None or self.looked() > begun, self.story, 60)
        harness.check(self.guard.poll() is None, self.story())

    def looked(self):
        """When it did, last."""
        return os.path.exists(self.record) and os.path.getmtime(self.record)

    def end_guard(self, number=signal.SIGTERM):
        if self.guard:
            self.said += self.lines()
            self.guard.signal(number)
            self.guard.popen.wait(60)
            self.guard = None

    def lines(self):
        text = self.guard.output() if self.guard else ""
        return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]

    def all(self):
        return self.said + self.lines()

    def events(self, kind=None, service=None, since=0):
        return [line for line in self.all() if line["is"] == "event" and line["t"] >= since
                and kind in (None, line["kind"]) and service in (None, line["service"])]

    def alarms(self, since=0, rule=None):
        return [line for line in self.all() if line["is"] == "decision" and line["t"] >= since
                and line["to"] == "alarm" and line["from"] != "alarm" and rule in (None, line["rule"])]

    def until_event(self, kind, service, since, within=60):
        wait_until(lambda: self.events(kind, service, since), self.story, within)
        return self.events(kind, service, since)[0]

    def figures(self):
        with open(self.record, encoding="utf-8") as file:
            ticks = [line for line in file if line.endswith("\n") and '"v"' in line]
        return json.loads(ticks[-1])["v"] if ticks else {}

    def figure(self, name):
        value = self.figures().get(name)
        return value[0] if isinstance(value, list) else value

    def until_figure(self, name, wanted, within=120):
        wait_until(lambda: wanted(self.figure(name)), lambda: f"{name}: {self.figure(name)}\n{self.story()}", within)

    def story(self):
        err = open(self.guard._err, encoding="utf-8", errors="replace").read() if self.guard else ""
        return f"last said: {json.dumps(self.all()[-12:], indent=0)}\n{err[-2000:]}"

    # -- units --

    def up(self, *names, within=START_S):
        ports = {"llm": LLM, "tiny": TINY, "base": BASE_PORT}
        for name in names:
            self.systemd.ctl("start", "--no-block", name, ok=True)
        for name in names:
            wait_until(lambda p=ports[name]: healthy(p), self.systemd.story, within)

    def kill(self, name):
        """As a crash does; returns when."""
        at = time.time()
        os.kill(self.systemd.pid(name), signal.SIGKILL)
        return at

    def engine(self):
        """vLLM's engine is a process of its own behind the front that answers /health."""
        front = self.systemd.pid("llm")
        return max(harness.descendants(front, harness.processes()), default=front, key=resident_pages)

    def hold(self, *options):
        ready = self.box.path("hold.ready")
        if os.path.exists(ready):
            os.unlink(ready)
        popen = subprocess.Popen([shutil.which("python3"), "hold.py", *map(str, options), "--ready", ready],
                                 cwd=STUDIES, stdin=subprocess.DEVNULL)
        self.box.helpers.append(popen)
        wait_until(lambda: os.path.exists(ready) or popen.poll() is not None, "the neighbour", 60)
        harness.check(popen.poll() is None, "the neighbour ended")
        return popen

    def release(self, popen):
        popen.terminate()
        popen.wait(60)


def resident_pages(pid):
    try:
        with open(f"/proc/{pid}/statm", encoding="utf-8") as file:
            return int(file.read().split()[1])
    except OSError:
        return 0


def healthy(port):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


def cpu_seconds(pid):
    """Of it and of its children, ended or alive."""
    total = 0
    for each in {pid} | harness.descendants(pid, harness.processes()):
        try:
            with open(f"/proc/{each}/stat", encoding="utf-8") as file:
                words = file.read().rsplit(")", 1)[1].split()
            total += sum(map(int, words[11:15 if each == pid else 13]))
        except OSError:
            pass
    return total / os.sysconf("SC_CLK_TCK")


# ---- the parts ----

def quiet(p):
    """Nothing is wrong, and everything is known."""
    p.load.begin(p.load.speech, [2.0])
    p.load.begin(p.load.words, [1.0])
    p.until_figure("stt.placement", lambda v: v == "gpu")
    p.until_figure("llm.placement", lambda v: v == "gpu")
    wait_until(lambda: any(a[2] == "base" for a in p.load.since(time.time() - 5, "stt")), p.story, 120)
    wait_until(lambda: {e["text"].split()[0] for e in p.events("acted", "stt") if " is warm" in e["text"]} == {"base", "tiny"},
               p.story, 120)
    begun, cpu = time.time(), cpu_seconds(p.guard.pid)
    time.sleep(45)
    seconds = time.time() - begun
    p.tell(f"guard's own cost with its children: {100 * (cpu_seconds(p.guard.pid) - cpu) / seconds:.2f} % of a core")
    wrong = p.events(since=begun) + p.alarms(since=begun)
    p.tell(f"quiet, {seconds:.0f} s: {len(wrong)} events and alarms {[w.get('kind', w.get('rule')) for w in wrong]}", not wrong)
    failed = p.load.failures(begun)
    p.tell(f"{len(p.load.since(begun))} requests through HAProxy, {len(failed)} failed {failed[:2]}", not failed)
    p.load.end()
    look = p.box.run("guard", p.study, "--once", cwd=STUDIES)
    with open(os.path.join(p.out, "once.txt"), "w", encoding="utf-8") as file:
        file.write(look.text)
    p.tell(f"guard --once: status {look.code}", look.code == 0)
    for name, path in (("metrics.txt", "/metrics"), ("status.json", "/status")):
        with open(os.path.join(p.out, name), "w", encoding="utf-8") as file:
            file.write(fetch(f"http://127.0.0.1:{WEB}{path}") or "")
    v = p.figures()
    unknown = [n for n in ("stt.memory", "llm.memory", "gpu0.memory.free", "gpu0.busy", "stt.latency.p95", "llm.first.p95",
                           "stt.placement", "llm.placement", "stt.spare") if v.get(n) is None]
    p.tell(f"known: {', '.join(f'{n} {v[n]}' for n in ('stt.memory', 'llm.memory', 'gpu0.memory.free') if n in v)}; unknown: {unknown}")


def capacities():
    db = sqlite3.connect(f"file:{STUDIES}/guard.spica/study.db?mode=ro", uri=True)
    found = {}
    for candidate, rps in db.execute("SELECT t.candidate, max(p.answered_rps) FROM capacity_points p JOIN trials t "
                                     "ON t.number = p.trial WHERE p.answered_rps > 0 GROUP BY t.candidate"):
        size = candidate.split("stt.model=")[1].split()[0].removesuffix(".en")
        found[size] = max(rps, found.get(size, 0))
    db.close()
    return found


def swing(p):
    """Calm, an overload of the larger one, calm: who answers, and how fast."""
    most = capacities()
    p.tell(f"capacity by the study: {({k: round(v, 2) for k, v in most.items()})} requests/s")
    rate, llm = [0.3 * most["base"]], [2.0]
    wait_until(lambda: p.figure("stt.tier") == "base", p.story, 120)
    p.load.begin(p.load.words, llm)
    p.load.begin(p.load.speech, rate)
    begun, marks = time.time(), []
    over = min(1.3 * most["base"], 0.95 * most["tiny"]) if most["tiny"] > 1.1 * most["base"] else 1.3 * most["base"]
    for name, share, seconds in (("calm", 0.3 * most["base"], 30), ("overload", over, 30), ("calm again", 0.3 * most["base"], 45)):
        rate[0] = share
        marks.append((name, time.time(), share))
        time.sleep(seconds)
    p.load.end()
    marks.append(("end", time.time() + 1000, 0))
    for (name, at, share), (_, until, _) in zip(marks, marks[1:]):
        rows = [a for a in p.load.since(at, "stt") if a[0] < until]
        by = {who: sum(a[2] == who for a in rows) for who in ("base", "tiny")}
        inside = sum(not a[4] and a[3] <= LIMIT_S for a in rows)
        p.tell(f"swing, {name} ({share:.1f}/s): {len(rows)} requests, {inside} inside {LIMIT_S} s, by {by}")
    failed = p.load.failures(begun)
    switches = p.events("acted", "stt", begun)
    for event in switches:
        p.tell(f"  {event['text']}")
    p.tell(f"swing: {len(failed)} failed {failed[:2]}", not failed)
    llm_rows = sorted(a[3] for a in p.load.since(begun, "llm"))
    p.tell(f"swing: vLLM's whole answers beside it, p50 {llm_rows[len(llm_rows) // 2]:.2f} s of {len(llm_rows)}")


def back_on_cpu(p):
    """Killed, and started by systemd where CUDA_VISIBLE_DEVICES is empty: /health says 200."""
    for _ in range(ROUNDS):
        wait_until(lambda: p.figure("stt.placement") == "gpu", p.story, 120)
        p.card("tiny", False)
        at = p.kill("tiny")
        wait_until(lambda: healthy(TINY), p.systemd.story, 120)
        ready = time.time()
        event = p.until_event("on-cpu", "stt", at)
        p.tell(f"back on the CPU: {event['t'] - ready:.1f} s after it answered /health, {event['t'] - at:.1f} s after the kill: "
               f"{event['text']}", event["t"] - ready < 10)
        p.card("tiny", True)
        at = time.time()
        p.systemd.ctl("restart", "tiny", ok=True)
        p.until_event("placed", "stt", at, 120)


def tier_on_cpu(p):
    """The larger tier, which takes the requests, falls to the CPU."""
    p.load.begin(p.load.speech, [2.0])
    wait_until(lambda: any(a[2] == "base" for a in p.load.since(time.time() - 3, "stt")), p.story, 120)
    p.card("base", False)
    begun = p.kill("base")
    wait_until(lambda: p.figure("stt.tier") == "tiny" and [a for a in p.alarms(begun) if a["rule"] == "arm in doubt"], p.story, 120)
    p.tell(f"a tier on the CPU: {p.alarms(begun, 'arm in doubt')[0]['text']}", True)
    p.card("base", True)
    p.systemd.ctl("restart", "base", ok=True)
    wait_until(lambda: p.figure("stt.tier") == "base", p.story, 180)
    p.load.end()
    failed = p.load.failures(begun + 2)
    p.tell(f"a tier on the CPU: back on base; {len(p.load.failures(begun))} requests failed with the kill, "
           f"{len(failed)} later than 2 s {failed[:2]}", not failed)


def frozen_engine(p):
    """Its front answers /health all along."""
    wait_until(lambda: p.figure("llm.up") == 1, p.story, 120)
    engine, at = p.engine(), time.time()
    os.kill(engine, signal.SIGSTOP)
    try:
        event = p.until_event("hangs", "llm", at)
        p.tell(f"frozen engine: {event['t'] - at:.1f} s, /health says {'200' if healthy(LLM) else 'nothing'}: {event['text']}",
               event["t"] - at < PROBE_WITHIN_S + 5)
    finally:
        os.kill(engine, signal.SIGCONT)
    wait_until(lambda: healthy(LLM), p.systemd.story, 120)


def dead_engine(p):
    """kill -9 of the engine alone."""
    at = time.time()
    os.kill(p.engine(), signal.SIGKILL)
    wait_until(lambda: p.events("restarted", "llm", at) or p.events("down", "llm", at), p.story, 60)
    for event in p.events(service="llm", since=at):
        p.tell(f"dead engine, {event['t'] - at:.1f} s: {event['kind']}: {event['text']}", True)
    wait_until(lambda: healthy(LLM), p.systemd.story, START_S)
    p.until_figure("llm.placement", lambda v: v == "gpu")
    p.tell(f"dead engine: on the card again {time.time() - at:.0f} s after the kill; {p.figure('llm.restarts')} restart counted",
           p.figure("llm.restarts") >= 1)


def out_of_memory(p):
    """A neighbour leaves too little for the one that starts."""
    p.systemd.stop("tiny")
    hold = p.hold("--leave", 300)
    begun = time.time()
    p.systemd.ctl("start", "tiny", ok=True)
    try:
        event = p.until_event("oom-device", "stt", begun, 90)
        heard = subprocess.run(["journalctl", "--no-pager", "-q", "-o", "json", f"--since=@{int(begun)}", "-g", "out of memory"],
                               capture_output=True, text=True, check=False).stdout.splitlines()
        at = min((int(json.loads(line)["__REALTIME_TIMESTAMP"]) / 1e6 for line in heard), default=None)
        p.tell(f"out of memory: {event['t'] - at:.2f} s after the line: {event['text']}" if at else
               f"out of memory: {event['text']}; the line is not in the journal", bool(at) and event["t"] - at < 2)
    finally:
        p.release(hold)
    p.up("tiny")
    p.until_figure("stt.placement", lambda v: v == "gpu")


def pressure(p):
    """Another program takes the memory that base needs, and gives it back."""
    p.load.begin(p.load.speech, [2.0])
    wait_until(lambda: p.figure("stt.tier") == "base", p.story, 120)
    begun = time.time()
    hold = p.hold("--leave", 1200)
    try:
        wait_until(lambda: not p.systemd.active("base"), p.story, 120)
        p.tell(f"memory taken: base stopped after {time.time() - begun:.1f} s", True)
        for event in p.events("acted", "stt", begun):
            p.tell(f"  {event['t'] - begun:5.1f} s  {event['text']}")
        time.sleep(5)
    finally:
        p.release(hold)
    again = time.time()
    wait_until(lambda: p.figure("stt.tier") == "base", p.story, 180)
    p.tell(f"memory given back: base answers again after {time.time() - again:.1f} s", True)
    for event in p.events("acted", "stt", again):
        p.tell(f"  {event['t'] - again:5.1f} s  {event['text']}")
    p.load.end()
    failed = p.load.failures(begun)
    p.tell(f"memory taken and given back: {len(p.load.since(begun))} requests, {len(failed)} failed {failed[:2]}", not failed)


def leak(p):
    """A neighbour takes a little more each second, and would have it all in 14 minutes."""
    per_s = max(1, int(p.figure("gpu0.memory.free") / (1 << 20) / (14 * 60)))
    begun = time.time()
    hold = p.hold("--take", 1, "--grow", per_s)
    try:
        wait_until(lambda: p.alarms(begun, "device full soon"), p.story, 400)
        alarm = p.alarms(begun, "device full soon")[0]
        said, left = p.figure("gpu0.memory.full_in"), p.figure("gpu0.memory.free") / (1 << 20) / per_s
        p.tell(f"leak of {per_s} MiB/s: alarm {alarm['t'] - begun:.0f} s after it began, {left:.0f} s before full by what it takes "
               f"(guard says {said:.0f} s): {alarm['text']}", left > 600)
    finally:
        p.release(hold)
    wait_until(lambda: p.figure("gpu0.memory.full_in") is None, p.story, 240)


def killed(p):
    """Guard dies, HAProxy is reloaded; nobody who asks notices."""
    begun = time.time()
    p.load.begin(p.load.speech, [3.0])
    p.load.begin(p.load.words, [2.0])
    for _ in range(2):
        time.sleep(4)
        p.end_guard(signal.SIGKILL)
        time.sleep(2)
        p.box.run("proxy", p.study, "apply", code=0, cwd=STUDIES, lines=-1)
        p.begin_guard()
        time.sleep(4)
    p.load.end()
    failed = p.load.failures(begun)
    p.tell(f"guard killed twice, HAProxy reloaded twice: {len(p.load.since(begun))} answers, {len(failed)} failed {failed[:2]}",
           not failed)


PARTS = {f.__name__: f for f in (quiet, swing, back_on_cpu, tier_on_cpu, frozen_engine, dead_engine, out_of_memory,
                                 pressure, leak, killed)}


def keep(p):
    with open(os.path.join(p.out, "events.jsonl"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in p.all())
    with open(os.path.join(p.out, "journal.txt"), "w", encoding="utf-8") as file:
        subprocess.run(["journalctl", "--no-pager", "-q", "-o", "short-unix"], stdout=file, check=False)
    if os.path.exists(p.record):
        shutil.copy(p.record, os.path.join(p.out, "recording.jsonl"))


def play(out, names):
    box = harness.Box("guard-on-a-card")
    box.env.update({k: os.environ[k] for k in ("SPICA_NVML_LIBRARY", "FAKE_NVML_WORLD") if k in os.environ})
    bad = 1
    try:
        with Manager(box) as systemd:
            start_journald(box, systemd)
            p = Production(box, systemd, out)
            try:
                p.up("llm", "tiny", "base")
                p.tell("production is up")
                p.begin_guard()
                for name in names:
                    try:
                        PARTS[name](p)
                    except (AssertionError, OSError, ValueError, KeyError) as error:
                        p.load.end()
                        text = str(error) or type(error).__name__
                        with open(os.path.join(out, f"story-{name}.txt"), "w", encoding="utf-8") as file:
                            file.write(text)
                        p.tell(f"{name}: {text.splitlines()[0][:300]}: story-{name}.txt", False)
            finally:
                keep(p)
                p.end_guard()
                p.box.run("proxy", p.study, "stop", "--within", "2s", cwd=STUDIES)
            p.tell(f"{p.bad} came out otherwise" if p.bad else "all as it should be")
            bad = int(p.bad > 0)
    except BaseException:
        traceback.print_exc()
    box.close(False)
    return bad


def in_own_view(out, names):
    """In views of processes and mounts of its own, as scenarios are."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setsid()
            ctypes.CDLL(None).prctl(harness.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # and all below it
            harness.isolate()
            harness.become_subreaper()
            code = play(out, names)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main():
    command, *words = sys.argv[1:] or ["help"]
    if command == "pack" and len(words) == 1:
        pack(words[0])
    elif command == "unpack" and len(words) == 1:
        unpack(words[0])
    elif command == "parts":
        print(*(f"{name:16}{function.__doc__.splitlines()[0]}" for name, function in PARTS.items()), sep="\n")
    elif command == "play" and words and all(name in PARTS for name in words[1:]):
        os.makedirs(words[0], exist_ok=True)
        sys.exit(in_own_view(os.path.abspath(words[0]), words[1:] or list(PARTS)))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
