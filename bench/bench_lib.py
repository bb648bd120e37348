"""What the benches share: printing a number, running spica under observation, reading its database.

A bench is an executable file bench/NAME.py or bench/NAME.sh. It prints one line per number,

    name value unit bar ok|short         for a number with a bar
    name value unit - -                  for one that only informs (a machine's floor, say)

and exits 0 also when a number falls short: non-zero means that it could not measure. An unknown value is
printed as "absent" and falls short.
"""

import json
import math
import os
import resource
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import wave

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.abspath(os.environ.get("SPICA_BUILD", os.path.join(ROOT, "build")))
SPICA = os.path.join(BUILD, "src/cli/spica")
FAKE = os.path.join(BUILD, "tests/fakes/fake-service")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def say(text):
    print(text, file=sys.stderr, flush=True)


def give_up(text):
    """The bench can't measure."""
    say(f"bench: {text}")
    sys.exit(1)


def number(name, value, unit, bar=None, ok=None, at_most=True):
    """Prints a line. With a bar, ok is `value <= bar` (or >= when not at_most) unless given."""
    absent = value is None or math.isnan(value)
    shown = "absent" if absent else f"{value:.4g}" if isinstance(value, float) else str(value)
    if bar is None:
        print(name, shown, unit, "-", "-", flush=True)
        return
    if ok is None:
        ok = not absent and (value <= bar if at_most else value >= bar)
    print(name, shown, unit, bar, "ok" if ok and not absent else "short", flush=True)


def workplace(name):
    """An empty folder below build/bench-results; what an earlier run left there is removed."""
    folder = os.path.join(BUILD, "bench-results", name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder


def need(*programs):
    for program in programs:
        if not os.access(program, os.X_OK):
            give_up(f"{program} is not there: run make first")


def need_haproxy():
    if not shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        give_up("haproxy is not installed")


# ---- a study over fake services ----

def write_corpus(folder):
    """Four short clips with transcripts."""
    os.makedirs(folder)
    texts = ["the quick brown fox", "seven small boats sailed", "please write down every word",
             "winter brings cold wind"]
    with open(os.path.join(folder, "manifest.jsonl"), "w", encoding="utf-8") as manifest:
        for i, text in enumerate(texts):
            with wave.open(os.path.join(folder, f"{i}.wav"), "wb") as out:
                out.setnchannels(1)
                out.setsampwidth(2)
                out.setframerate(8000)
                out.writeframes(b"".join(struct.pack("<h", int(900 * math.sin(k / 7)))
                                         for k in range(8000)))
            manifest.write(json.dumps({"audio_filepath": f"{i}.wav", "duration": 1.0,
                                       "text": text}) + "\n")


def fake(kind, folder, *options, **keys):
    """A service over the fake; further keys of the service as keyword arguments."""
    command = [FAKE, "--kind", kind, "--port", "{port}", "--life", "900s", *options]
    if kind == "stt":
        command += ["--transcripts", os.path.join(folder, "speech/manifest.jsonl")]
    service = {"role": kind, "command": command, "ready": {"http": "/health"},
               "protocol": "openai-transcriptions" if kind == "stt" else "openai-chat"}
    service.update(keys)
    return service


def write_study(folder, services, load, **sections):
    """Writes corpus, prompts and study file; returns the latter's path. JSON is YAML."""
    write_corpus(os.path.join(folder, "speech"))
    with open(os.path.join(folder, "prompts.jsonl"), "w", encoding="utf-8") as file:
        file.write(json.dumps({"prompt": "Say something.", "max_tokens": 8}) + "\n")
    study = {"study": "bench", "device": "cpu", "services": services, "load": load,
             "goal": {"optimise": {f"{name}.latency.p50": {"good": "1ms", "bad": "10s"}
                                   for name in services}},
             "baseline": "none"}
    study.update(sections)
    path = os.path.join(folder, "study.yaml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(study, file, indent=1)
    return path


# ---- a process under observation ----

def processes():
    """pid -> (parent, name, CPU seconds) of everything in /proc, zombies included."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                found[int(entry)] = read_process(int(entry))
            except OSError:
                pass
    return found


def read_process(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        text = file.read()
    name = text[text.index("(") + 1:text.rindex(")")]
    fields = text[text.rindex(")") + 2:].split()
    return int(fields[1]), name, (int(fields[11]) + int(fields[12])) * TICK_S


def memory_kb(pid, file, key):
    """A line of /proc/PID/FILE in KiB; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/{file}", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith(key + ":"):
                    return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0


def own_processes(root):
    """spica itself, who asks the driver for it, its guards and their keepers: not the load worker, not the services."""
    table = processes()
    driver = [pid for pid, (parent, name, _) in table.items()
              if parent == root and name == "spica-driver"]
    guards = [pid for pid, (parent, name, _) in table.items()
              if parent == root and name == "spica-guard"]
    keepers = [pid for pid, (parent, name, _) in table.items()
               if parent in guards and name == "spica-keeper"]
    return [root] + driver + guards + keepers


class Run:
    """A spica command under way. Samples of its own CPU time are taken all along: (wall, seconds)."""

    def __init__(self, *args):
        self.popen = subprocess.Popen([SPICA, *args], stdout=sys.stderr, cwd=ROOT)
        self.pid = self.popen.pid
        self.samples = []
        self.cpu_s = self.ended = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while True:
            try:
                self.samples.append((time.time(), read_process(self.pid)[2]))
            except OSError:
                return
            status = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if status is not None:
                self.ended = time.time()
                self.cpu_s = read_process(self.pid)[2]  # a zombie still knows
                self.over.set()
                return
            time.sleep(0.01)

    def wait(self, timeout_s):
        if not self.over.wait(timeout_s):
            self.popen.send_signal(signal.SIGINT)
            time.sleep(10)
            self.popen.kill()
            self.popen.wait()
            give_up(f"{' '.join(self.popen.args)}: not over in {timeout_s} s")
        return self.popen.wait()

    def stop(self):
        """As ^C does."""
        self.popen.send_signal(signal.SIGINT)
        self.over.wait(60)
        return self.popen.wait()

    def cpu_since(self, wall):
        """Its own CPU seconds from that moment to its end."""
        before = [cpu for at, cpu in self.samples if at <= wall]
        return self.cpu_s - (before[-1] if before else 0)


def run_measured(*args):
    """Runs spica to its end: (exit status, output, CPU seconds, peak memory in MB)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([SPICA, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.returncode, done.stdout, cpu_s, after.ru_maxrss * 1024 / 1e6


# ---- results ----

def open_results(folder):
    path = os.path.join(folder, "study.db")
    if not os.path.exists(path):
        give_up(f"{path} is not there: the study did not begin")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    return connection


def last_trial_end(db):
    """Wall time at which the last trial was over, its services' stop included."""
    row = db.execute("SELECT max(started_wall_us / 1e6 + duration_s) AS at FROM trial").fetchone()
    return row["at"]


# ---- order statistics ----

def binomial_cdf(k, n, p):
    return sum(math.comb(n, i) * p ** i * (1 - p) ** (n - i) for i in range(k + 1))


def quantile_bounds(values, q, miss):
    """(lower, upper): order statistics that the q-quantile is above, or below, but for a probability of
    `miss` each, whatever the distribution; None where the sample is too small for one."""
    ordered, n = sorted(values), len(values)
    lower = upper = None
    for k in range(1, n + 1):  # the k-th smallest
        below = binomial_cdf(k - 1, n, q)  # of: fewer than k values lie below the quantile
        if below <= miss:
            lower = ordered[k - 1]
        if below >= 1 - miss and upper is None:
            upper = ordered[k - 1]
    return lower, upper
