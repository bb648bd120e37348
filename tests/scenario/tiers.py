"""A study with two settings of one service, both in production as units on a real `systemd --user` behind
a real HAProxy, and `spica guard` to choose between them. Shared by test_tiers.py.

    with Tiers(box) as tiers:
        tiers.guard()
        tiers.send(5, "/s", until=lambda: tiers.served_by("base"))

base answers 25 requests a second, one after the other; tiny a thousand. What is kept is p95 < 500 ms, so
40/s are far too much for base, and 5/s are nothing."""

import atexit
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import signal
import sqlite3
import tempfile
import threading
import time

from harness import FAKE, check, skip_unless
from production import free_ports, write_study
from systemd_box import Systemd, wait_until
from tls_front import behind, secured
from traffic import accepts, multipart, shows

BASE = ["--latency", "40ms", "--slots", "1"]
TINY = ["--latency", "2ms", "--slots", "8"]
CALM, MUCH = 5, 40  # requests/s
MEASURED = tempfile.mkdtemp(prefix="spica-sc-tiers-")
atexit.register(shutil.rmtree, MEASURED, True)


def haproxy():
    return shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")


# What a search for requests per second would have found: rate, p50, p95 of each setting. Written into the
# results, since finding it takes minutes and guard only reads it.
FOUND = {"40ms": [(2, 0.045, 0.06), (10, 0.06, 0.12), (20, 0.1, 0.35), (40, 4, 8)],
         "2ms": [(2, 0.004, 0.01), (100, 0.006, 0.02), (400, 0.01, 0.05)]}
ANSWERED = {"40ms": 25, "2ms": 400}


def add_capacities(path):
    with sqlite3.connect(path) as db:
        def text(body):
            db.execute("INSERT INTO text (body) SELECT ? WHERE NOT EXISTS "
                       "(SELECT 1 FROM text WHERE body = ?)", (body, body))
            return db.execute("SELECT id FROM text WHERE body = ?", (body,)).fetchone()[0]
        for number, candidate in db.execute("SELECT number, candidate FROM trials").fetchall():
            wait = candidate.split("stt.wait=")[1].split()[0]
            db.execute("INSERT INTO capacity VALUES (?, 0, ?, ?, ?, 0, ?, 20, 40, 0, NULL, NULL, 1)",
                       (number, text("stt"), text("rate"), text("latency"), text("found")))
            for i, (rate, p50, p95) in enumerate(FOUND[wait]):
                db.execute("INSERT INTO capacity_point VALUES (?, ?, 0, ?, ?, 2, 0, 100, 0, ?, NULL, "
                           "NULL, ?, NULL, NULL, ?, ?, NULL)",
                           (number, i, rate, text("met" if p95 < 0.5 else "missed"), p50, p95,
                            min(rate, ANSWERED[wait]), min(rate, ANSWERED[wait])))
    db.close()


def measure(box, *options, service=None, pair=None, **parts):
    """The study, measured once for all scenarios that ask for the same."""
    stt = box.fake("stt", "--latency", "{wait}", *options, knobs={"wait": ["40ms", "2ms"]},
                   **(service or {}))
    if pair:
        stt = secured(stt, *pair, ca=pair[0])
    study = box.study(file=False, stt=stt, baseline={"stt.wait": "40ms"}, **parts)
    write_study(box, study)
    # Everything but this scenario's own folder.
    key = hashlib.sha256(json.dumps(study).replace(box.folder, "").encode()).hexdigest()
    kept = os.path.join(MEASURED, key)
    with open(kept + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(kept):
            box.run("run", box.file, "--quiet", code=0, lines=-1)
            add_capacities(os.path.join(box.results, "study.db"))
            shutil.copytree(box.results, kept)
        else:
            shutil.copytree(kept, box.results)
    return study


class Answers:
    """Requests as they come, by plan: each in a thread of its own, so that none waits for another."""

    def __init__(self, port, wav):
        self.port = port
        self.body, self.head = multipart(wav)
        self.lock = threading.Lock()
        self.failures, self.served, self.threads = [], [], []

    def one(self, headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        begun = time.monotonic()
        try:
            connection.request("POST", "/v1/audio/transcriptions", self.body,
                               dict(self.head, **headers))
            answer = connection.getresponse()
            text = answer.read()
            with self.lock:
                if answer.status == 200:
                    self.served.append((answer.headers["X-Spica-Tier"], time.monotonic() - begun,
                                        headers.get("X-Spica-Tier")))
                else:
                    self.failures.append(f"{answer.status} {text[:80]!r} {headers}")
        except (OSError, http.client.HTTPException) as error:
            with self.lock:
                self.failures.append(f"{type(error).__name__} {error} {headers}")
        finally:
            connection.close()

    def send(self, headers=None):
        thread = threading.Thread(target=self.one, args=(headers or {},), daemon=True)
        thread.start()
        self.threads = [t for t in self.threads if t.is_alive()] + [thread]

    def last(self, count=5):
        """Tiers that answered last, those asked for by header apart."""
        with self.lock:
            return [tier for tier, _, pinned in self.served if not pinned][-count:]

    def end(self):
        for thread in self.threads:
            thread.join(60)


class Tiers:
    def __init__(self, box, base=None, tiny=None, front=None, extra=(), guard=None, pair=None,
                 **parts):
        """`base`, `tiny`: keys of the tier in the study file; `extra`: options of both fakes; `guard`:
        further keys of `guard:`; `pair`: certificate and key, files, of servers that speak TLS."""
        skip_unless(haproxy(), "haproxy is not installed")
        self.box, self.extra = box, [str(o) for o in extra]
        self.pair = pair
        self.study = measure(box, *self.extra, pair=pair, **parts)
        self.port, *ports = free_ports(3)
        self.ports = dict(zip(("base", "tiny"), ports))
        self.systemd = Systemd(box)
        self.front = dict({
            "port": self.port, "keep": "p95 < 500ms", "up_after": "3s", "reserve": "64MiB",
            "tiers": {"base": self.tier("base", "40ms", base), "tiny": self.tier("tiny", "2ms", tiny)}},
            **(front or {}))
        self.more = guard or {}
        self.write()
        with open(box.path("speech/clip0.wav"), "rb") as file:
            self.answers = Answers(self.port, file.read())
        self.running = self.web = None
        self.texts = ""  # of guards that have ended

    def tier(self, name, wait, keys):
        return dict({"unit": f"{name}.service", "user": True, "port": self.ports[name],
                     "resident": True, "values": {"wait": wait}}, **(keys or {}))

    def write(self):
        """`guard:` as it is now."""
        study = dict(self.study, guard=dict({"fronts": {"stt": self.front}}, **self.more))
        write_study(self.box, study)

    def command(self, name, *more):
        options = {"base": BASE, "tiny": TINY}[name]
        words = [FAKE, "--kind", "stt", "--port", str(self.ports[name]), "--life", "300s", "--transcripts",
                 self.box.path("speech/manifest.jsonl"), *options, *self.extra, *more]
        return " ".join(behind(*self.pair, words) if self.pair else words)

    def __enter__(self):
        self.systemd.__enter__()
        try:
            for name in ("base", "tiny"):
                self.unit(name, self.command(name))
            for name, tier in self.front["tiers"].items():
                if tier.get("resident"):
                    self.up(name)
        except BaseException:
            self.systemd.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print(self.told()[-6000:])
        if self.running and self.running.poll() is None:
            self.running.signal(signal.SIGTERM)
            self.running.popen.wait()
        self.box.start("proxy", self.box.file, "stop", "--within", "1s").wait()
        self.systemd.__exit__(kind, value, trace)

    def unit(self, name, command, stop="5"):
        """Its unit, which sees the world's card; systemd waits for its end for `stop`."""
        world = self.box.env.get("FAKE_NVML_WORLD")
        environment = f"Environment=FAKE_NVML_WORLD={world}\n" if world else ""
        self.systemd.service(name, command, extra=f"TimeoutStopSec={stop}\n{environment}")

    def up(self, name):
        self.systemd.start(name)
        wait_until(lambda: accepts(self.ports[name]), self.systemd.story)

    # -- guard --

    def guard(self, *args):
        """Started, and in the way of requests."""
        self.running = self.box.start("guard", self.box.file, *args)
        wait_until(lambda: accepts(self.port) or self.running.poll() is not None, self.told)
        check(self.running.poll() is None, self.told())

    def kill(self):
        self.texts += self.running.output()
        self.running.signal(signal.SIGKILL)
        self.running.popen.wait()

    def told(self):
        """All that guards have said of tiers so far."""
        text = self.texts
        if self.running:
            text += self.running.output()
            with open(self.running._err, encoding="utf-8", errors="replace") as file:
                text += "".join(f"! {line}" for line in file)
        return text

    def says(self, words):
        return words in self.told()

    def listen(self):
        """Before guard(): /metrics."""
        self.web, = free_ports(1)
        self.more["listen"] = f"127.0.0.1:{self.web}"
        self.write()

    def shows(self, sample):
        return shows(self.web, sample)

    # -- requests --

    def send(self, rate, until, within=60, headers=None, every=4):
        """At that rate (every n-th with the headers) until it is so."""
        begun = time.monotonic()
        sent = 0
        while not until():
            check(time.monotonic() < begun + within,
                  f"not within {within} s; last answers: {self.answers.last()}, "
                  f"failed: {self.answers.failures[:3]}\n{self.told()}")
            self.answers.send(headers if headers and sent % every == 0 else None)
            sent += 1
            time.sleep(max(0, begun + sent / rate - time.monotonic()))

    def served_by(self, tier, count=5):
        last = self.answers.last(count)
        return len(last) == count and set(last) == {tier}

    def for_seconds(self, seconds):
        end = time.monotonic() + seconds
        return lambda: time.monotonic() >= end

    def no_failures(self):
        self.answers.end()
        check(not self.answers.failures, f"{len(self.answers.failures)} of {len(self.answers.served)} "
              f"failed: {self.answers.failures[:5]}\n{self.told()}")
