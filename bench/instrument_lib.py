"""What the rows of instrument.py share: a check against its bar, the fake service as the other side of a
measurement, `spica bench` under observation, order statistics.

Nothing of spica's code computes anything here: quantiles are taken from the requests' raw records.
"""

import json
import math
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time

from bench_lib import BUILD, FAKE, SPICA

BARE_SENDER = os.path.join(BUILD, "bench/bare-sender")
STARTS_WITHIN_S = 30


class Missing(Exception):
    """A row, or a part of it, can't be had here; says what and why."""


class Broken(Exception):
    """A row could not measure."""


class Row:
    """The checks of one row, printed as they come."""

    def __init__(self, name, folder, seconds):
        self.name, self.folder, self.seconds = name, folder, seconds
        self.checks = []
        os.makedirs(folder, exist_ok=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def note(self, what, bar, seen, ok, by=""):
        """ok: True, False, None (only informs), or "missing"."""
        words = {"what": what, "bar": bar, "seen": seen, "by": by}
        self.checks.append({key: " ".join(str(text).split()) for key, text in words.items()} | {"ok": ok})
        print(line_of(self.checks[-1]), flush=True)

    def shows(self, what, seen):
        self.note(what, "", seen, None)

    def missing(self, what, why, bar=""):
        self.note(what, bar, f"missing: {why}", "missing")

    def at_most(self, what, value, bar, unit, bar_text=None):
        ok = value <= bar
        by = f"{bar - value:.3g} {unit} to spare" if ok else f"{value - bar:.3g} {unit} over"
        self.note(what, bar_text or f"<= {bar:.4g} {unit}", f"{value:.4g} {unit}", ok, by)

    def at_least(self, what, value, bar, unit):
        ok = value >= bar
        by = f"{value - bar:.3g} {unit} to spare" if ok else f"{bar - value:.3g} {unit} too little"
        self.note(what, f">= {bar:.4g} {unit}", f"{value:.4g} {unit}", ok, by)

    def near(self, what, value, wanted, tolerance, unit, ratio=None):
        """Within a tolerance, in the unit; ratio is how the bar says it."""
        off = abs(value - wanted)
        ok = off <= tolerance
        said = f"{ratio:.3g} %" if ratio else f"{tolerance:.3g} {unit}"
        by = f"off by {off:.3g} {unit}, {100 * off / abs(wanted):.2g} %" if wanted else ""
        self.note(what, f"{wanted:.5g} {unit} within {said}", f"{value:.5g} {unit}", ok, by)

    def near_percent(self, what, value, wanted, percent, unit):
        self.near(what, value, wanted, abs(wanted) * percent / 100, unit, percent)


MARKS = {True: "ok", False: "SHORT", None: "", "missing": "MISSING"}


def line_of(check):
    words = [f"  {check['what']:<66} {check['seen']:>16}"]
    if check["bar"]:
        words.append(f"[{check['bar']}]")
    words += [MARKS[check["ok"]], check["by"]]
    return " ".join(word for word in words if word)


def quantile(values, q):
    """Linear between order statistics (type 7)."""
    ordered = sorted(values)
    if not ordered:
        raise Broken("no values")
    at = (len(ordered) - 1) * q
    low = math.floor(at)
    return ordered[low] + (at - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else math.nan


# ---- processes ----

def run(command, cwd=None, stdin=None, stdout=None, timeout_s=900, env=None, good=(0,)):
    """(output or None, CPU seconds of the process and all it waited for, wall seconds)."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    log = os.path.join(cwd or BUILD, "stderr.log") if cwd else os.devnull
    with open(log, "ab") as err:
        popen = subprocess.Popen(command, cwd=cwd, stdin=stdin, stdout=stdout or subprocess.PIPE, stderr=err,
                                 env=env, start_new_session=True)
        try:
            out, _ = popen.communicate(timeout=timeout_s)
        except BaseException:
            os.killpg(popen.pid, signal.SIGKILL)
            popen.wait()
            raise
    if popen.returncode not in good:
        tail = open(log, encoding="utf-8", errors="replace").read()[-400:] if cwd else ""
        said = (out or b"").decode(errors="replace")[-400:]
        raise Broken(f"{shlex.join(map(str, command))[:300]}: exit {popen.returncode}: {said} {tail}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return out.decode(errors="replace") if out is not None else None, cpu_s, time.monotonic() - began


def raise_priority():
    """The other side must not be what is late; without the right to it, LATE shows. In a session of its own, because
    a priority counts only within it where sessions share the cores (sched_autogroup_enabled)."""
    try:
        os.setsid()
        os.nice(-5)
        with open("/proc/self/autogroup", "w", encoding="ascii") as file:
            file.write("-5")
    except OSError:
        pass


class Fake:
    """A fake service with its two logs; `with Fake(row, "name", "--latency", "20ms") as fake:`."""

    def __init__(self, row, name, *options):
        self.arrivals_path, self.served_path = row.path(f"{name}.arrivals"), row.path(f"{name}.served")
        self.log_path = row.path(f"{name}.log")
        self.command = [FAKE, "--kind", "llm", "--port", "0", "--life", "900s", "--arrivals",
                        self.arrivals_path, "--served", self.served_path, *options]
        self.popen = None
        self.port = 0

    def __enter__(self):
        with open(self.log_path, "wb") as out:
            self.popen = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          preexec_fn=raise_priority)
        end = time.monotonic() + STARTS_WITHIN_S
        while True:
            text = open(self.log_path, encoding="utf-8", errors="replace").read()
            found = re.search(r"127\.0\.0\.1:(\d+)", text)
            if found:
                self.port = int(found.group(1))
                return self
            if self.popen.poll() is not None or time.monotonic() > end:
                self.stop()
                raise Broken(f"the fake service does not start: {text}")
            time.sleep(0.02)

    def stop(self):
        """In good order, so that its logs are whole."""
        if self.popen and self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def arrivals(self, path="/v1/chat/completions"):
        """ns of each request's first byte, in order."""
        self.stop()
        rows = [line.split() for line in open(self.arrivals_path, encoding="utf-8")]
        return sorted(int(row[0]) for row in rows if row[2] == path)

    def served(self):
        """One dict per whole answer, times in ns."""
        self.stop()
        names = ("number", "first", "complete", "started", "sent", "last", "late", "pieces")
        return [dict(zip(names, map(int, line.split()))) for line in open(self.served_path, encoding="utf-8")]


# ---- spica bench ----

class Bench:
    """One run of `spica bench`: .json, .records (monotonic ns, ms), .cpu_s, .wall_s. One worker and one try: a window
    in which it was late itself is normally measured again, which would hide here what is looked for."""

    def __init__(self, row, name, url, *args, records=True, good=(0, 3, 6)):
        path = row.path(f"{name}.jsonl")
        command = [SPICA, "bench", "--protocol", "openai-chat", "--url", url, "--json", *map(str, args)]
        if records:
            command += ["--records", path]
        if "--capacity" not in args:
            command += ["--workers", "1"]
        before = time.time_ns() - time.monotonic_ns()
        out, self.cpu_s, self.wall_s = run(command, cwd=row.folder, good=good)
        after = time.time_ns() - time.monotonic_ns()
        try:
            self.json = json.loads(out)
        except ValueError:
            raise Broken(f"spica bench: no JSON: {out[-400:]}") from None
        with open(row.path(f"{name}.json"), "w", encoding="utf-8") as file:
            file.write(out)
        # The clock may be slewed meanwhile; by so much at most are the records' times uncertain.
        self.offset_ns, self.slew_ns = (before + after) // 2, abs(after - before)
        self.records = []
        if records:
            for line in open(path, encoding="utf-8"):
                self.records.append(json.loads(line))
            for record in self.records:
                meta = record["metadata"]
                for key in ("credit_issued_ns", "request_start_ns", "request_ack_ns", "request_end_ns"):
                    if meta[key] is not None:
                        meta[key] -= self.offset_ns
            self.records.sort(key=lambda r: r["metadata"]["credit_issued_ns"])

    def window(self):
        return [r for r in self.records if r["metadata"]["benchmark_phase"] == "profiling"]

    def values(self, metric):
        """In ms, of those answered in the window; lists are taken apart."""
        found = [r["metrics"][metric]["value"] for r in self.window() if metric in r["metrics"]]
        return [v for value in found for v in value] if found and isinstance(found[0], list) else found

    def stat_ms(self, metric, stat):
        """As spica itself says it."""
        value = self.json["metrics"][metric][stat]["value"]
        if value is None:
            raise Broken(f"spica gives no {metric} {stat}: {self.json['metrics'][metric][stat]}")
        return value * 1e3

    def failures(self):
        return self.json["requests"] - self.json["answered"]


def served_within(fake, bench):
    """What the fake says of the requests which the bench counted: the warm-up's came before."""
    window = bench.window()
    first = min(r["metadata"]["request_start_ns"] for r in window) - bench.slew_ns - 20_000
    last = max(r["metadata"]["request_end_ns"] for r in window) + bench.slew_ns + 20_000
    return [s for s in fake.served() if first <= s["first"] <= last]


def ms(ns):
    return ns / 1e6


def say(text):
    print(text, file=sys.stderr, flush=True)
