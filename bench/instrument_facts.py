"""Rows of instrument.py that no clock decides: what intervals and answers promise, by simulation; word errors
beside jiwer; and what one worker can carry."""

import os
import pathlib
import re
import subprocess

from bench_lib import BUILD, FAKE, ROOT
from instrument_lib import Broken, run
from instrument_referees import statistics_python

STATS = os.path.join(BUILD, "bench/instrument-stats")
LOAD = os.path.join(BUILD, "bench/bench-load")
WINDOWS = 2000
STATS_LINE = re.compile(r"(.+?)\s+([\d.]+) %\s+\[([\d.]+), ([\d.]+)\]\s+(ok|MISSED)$")


def simulate(row):
    """The lines of instrument-stats; the other row of the same run takes them from the file."""
    kept = os.path.join(os.path.dirname(row.folder), "instrument-stats.txt")
    windows = WINDOWS if row.seconds >= 10 else 200
    key = f"{windows} {os.stat(STATS).st_mtime_ns}"
    if os.path.exists(kept):
        first, *lines = open(kept, encoding="utf-8").read().splitlines()
        if first == key:
            return lines
    out, _, _ = run([STATS, str(windows)], timeout_s=3600, good=(0, 1))
    with open(kept, "w", encoding="utf-8") as file:
        file.write(key + "\n" + out)
    return out.splitlines()


def show_lines(row, lines, begins, bar_of):
    found = 0
    for line in lines:
        match = STATS_LINE.match(line)
        if match and line.startswith(begins):
            what, value, low, high = match.group(1), *map(float, match.group(2, 3, 4))
            room = min(value - low, high - value) if low > 0 else high - value
            row.note(what, bar_of(low, high), f"{value:.3f} %", match.group(5) == "ok",
                     f"{abs(room):.2f} points {'to spare' if room >= 0 else 'beyond'}")
            found += 1
        elif line.startswith(begins) and line.endswith("refused"):
            row.note(line[:-len("refused")].strip(), "refused or held", "refused", True)
            found += 1
    if not found:
        raise Broken(f"instrument-stats says nothing of {begins}")


def intervals(row):
    """Coverage of the 95 % intervals of quantiles in simulated windows."""
    show_lines(row, simulate(row), "coverage", lambda low, high: f"{low:g} to {high:g} %")


def requirements(row):
    """False answers about a requirement at its boundary: the 99 % lower bound of their share."""
    show_lines(row, simulate(row), "false", lambda _, high: f"<= {high:g} %")
    for line in simulate(row):
        if line.startswith("of at most"):
            what, _, seen = line.partition(":")
            row.shows(what, " ".join(seen.split()))


# ---- word errors ----

# Writes the tables again with the packages that are installed, into another folder.
AGAIN = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import reference
reference.HERE = pathlib.Path(sys.argv[2])
reference.normalisers()
reference.errors()
reference.said()
"""
TABLES = ("reference_said.h", "reference_wer.h", "reference_normalise.h")


def wer(row):
    """Word errors and normalised texts beside jiwer and whisper-normalizer, which answer anew here."""
    tests = os.path.join(ROOT, "tests/unit/stats")
    run([statistics_python(), "-c", AGAIN, tests, row.folder], cwd=row.folder)
    for name in TABLES:
        again, kept = (pathlib.Path(folder, name).read_text() for folder in (row.folder, tests))
        same = again.split() == kept.split()
        row.note(f"{name}: jiwer answers as the committed table says", "the same", "the same" if same else "other", same)
        if name == "reference_said.h":
            texts = sum(line.startswith("    {") for line in again.splitlines())
            row.at_least("pairs of texts", texts, 200, "")
    for name in ("wer", "normalise"):
        program = os.path.join(BUILD, "tests/unit/stats", f"test_stats_{name}")
        done = subprocess.run([program], capture_output=True, text=True, check=False)
        count = re.search(r"PASSED +\] (\d+)", done.stdout + done.stderr)
        row.note(f"spica's {name} against that table", "every row equal",
                 "equal" if done.returncode == 0 else "not equal", done.returncode == 0,
                 f"{count.group(1)} tests" if count else "")


# ---- what one worker carries ----

SHOWN = {"lateness.p99": "own lateness, p99", "lateness.p99.floor": "a bare sleeper's in the same seconds, p99",
         "stall.p99": "standstills of the loop, p99", "cpu": "CPU", "cpu.request": "CPU a request", "memory": "memory",
         "answered": "answered in the window", "gap.error.p99": "error of the gaps, p99"}
NO_BAR = ("lateness.p99.floor", "gap.error.p99")


def throughput(row):
    """One worker: 5,000 requests a second of 1 KiB JSON; then 2,000 streams of 10 tokens a second."""
    for scene, said in (("json", "5,000/s of 1 KiB JSON"), ("streams", "2,000 streams, 10 tokens/s each")):
        out, _, _ = run([LOAD, FAKE, str(row.seconds), scene], cwd=row.folder, timeout_s=300, good=(0, 1))
        lines = [line.split() for line in out.splitlines() if line]
        if not lines:
            raise Broken(f"bench-load {scene} has no numbers: see {row.path('stderr.log')}")
        for name, value, unit, bar, ok in lines:
            name = name.removeprefix("load.").removeprefix(scene + ".")
            what = f"{said}: {SHOWN.get(name, name)}"
            if name in NO_BAR:
                row.shows(what, f"{float(value):.3g} {unit}")
                continue
            off = float(value) - float(bar)
            by = f"{abs(off):.3g} {unit} {'above' if off > 0 else 'below'} {bar}"
            sign = ">=" if name == "answered" else "<="
            row.note(what, f"{sign} {bar} {unit}", f"{float(value):.4g} {unit}", ok == "ok", by)
