#!/usr/bin/env python3
"""What `spica guard` promises, measured: its statistics, HAProxy before the services, the choice of tiers
under a load that swings, what it finds and how soon, and what it costs.

    bench/guard.py                    all rows: 25 minutes, and 65 for the swing
    bench/guard.py NAME...            only these; the others keep their last results
    bench/guard.py --list             what there is
    bench/guard.py --seconds 5 ...    less of everything, to see that it works; never to be quoted
    bench/guard.py --markdown         the kept results as tables
    SPICA_BENCH_LONG=1                the long forms: a swing of 30 minutes, an hour of quiet

Each check is a line: what, what was seen, its bar, ok or SHORT and by how much. Exit status 1 when a bar is
missed or could not be looked at. Results are kept in build/bench-results/guard.json.
"""

import os
import re
import subprocess
import sys

from bench_lib import BUILD, ROOT, SPICA, need
from instrument_lib import Broken, Missing, run
from rows_lib import Bench

STATS = os.path.join(BUILD, "bench/guard-stats")
STATS_LINE = re.compile(r"(.+?)\s+([\d.]+) (%|x)\s+\[(?:([\d.]+), ([\d.]+)|-)\]\s+(ok|MISSED|told)$")
NUMBER_LINE = re.compile(r"(\S+) (\S+) (\S+) (\S+) (ok|short|-)")
SECONDS = 20
PROGRAM_S = 3 * 3600  # the long form of swing: three arms of half an hour, and a study before them


STATISTICS = {"sketch": (10_000_000, 100_000), "anytime": (500, 40)}  # how many; of a short run
BESIDE = {}  # rows of statistics that are under way beside another row


def begin_beside(names, seconds):
    """Their seed decides what they find, not the clock: they give way to the row that is timed."""
    for name in names:
        count = STATISTICS[name][seconds < SECONDS]
        BESIDE[name] = subprocess.Popen(["nice", "-n", "19", STATS, name, str(count)], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def statistics(row, what):
    """Lines of guard-stats."""
    count = STATISTICS[what][row.seconds < SECONDS]
    if what in BESIDE:
        out, _ = BESIDE.pop(what).communicate(timeout=3600)
        row.shows("counted, at the lowest priority, beside the row faults", "yes")
    else:
        out, _, _ = run([STATS, what, str(count)], timeout_s=3600, good=(0, 1))
    found = 0
    for line in out.splitlines():
        match = STATS_LINE.match(line)
        if not match:
            continue
        name, value, unit, low, high, verdict = match.groups()
        if verdict == "told":
            row.shows(name, f"{value} {unit}")
        else:
            row.note(name, f"{low} to {high} {unit}", f"{value} {unit}", verdict == "ok",
                     f"{abs(float(high) - float(value)):.3g} {unit} "
                     + ("to spare" if verdict == "ok" else "beyond"))
        found += 1
    if not found:
        raise Broken(f"guard-stats {what} says nothing")


def sketch(row):
    """The worst of 15 quantiles from the sketch against exact ones, as a ratio of the value."""
    statistics(row, "sketch")


def anytime(row):
    """Of false verdicts the 99 % lower bound of their share (Clopper-Pearson); of power the median number of
    requests until the verdict, against the test of a size fixed before."""
    statistics(row, "anytime")


def program(name):
    """A row that is a bench of its own, bench/guard_NAME.py; its numbers become checks."""
    path = os.path.join(ROOT, "bench", f"guard_{name}.py")

    def how(row):
        if not os.access(path, os.X_OK):
            raise Missing(f"bench/guard_{name}.py is not there")
        environment = dict(os.environ, SPICA_BUILD=BUILD)
        if row.seconds < SECONDS:
            environment["SPICA_BENCH_SHORT"] = "1"
        out, _, _ = run([path], timeout_s=PROGRAM_S, env=environment)
        lines = [match.groups() for match in map(NUMBER_LINE.fullmatch, out.splitlines()) if match]
        if not lines:
            raise Broken(f"bench/guard_{name}.py prints no number")
        for what, value, unit, bar, verdict in lines:
            if bar == "-":
                row.shows(what, f"{value} {unit}")
            else:
                row.note(what, f"{bar} {unit}", f"{value} {unit}", verdict == "ok")
    return how


# In the order they are measured in: what is counted goes on beside the faults, which mostly wait.
BENCH = Bench("guard", __doc__, {
    "proxy": (program("proxy"), "HAProxy: added latency, and changes that cut nothing", 340),
    "cost": (program("cost"), "guard's own CPU and memory, with its children", 420),
    "faults": (program("faults"), "faults found and named, and quiet without false alarms", 660),
    "sketch": (sketch, "quantiles of 10,000,000 values of six shapes from the sketch", 90),
    "anytime": (anytime, "the sequential test of a split: false verdicts, and how soon it sees 20 %", 420),
    "swing": (program("swing"), "a load that swings: tiers chosen, beside always-tiny and always-base", 3800),
}, SECONDS)


def main():
    asked = BENCH.parse(sys.argv[1:])
    if BENCH.show(asked):
        return 0
    need(SPICA, STATS)
    rows = asked.rows or list(BENCH.rows)
    faults, how = BENCH.rows["faults"][0], list(BENCH.rows["faults"])

    def faults_and_more(row):
        begin_beside([name for name in STATISTICS if name in rows], row.seconds)
        faults(row)
    BENCH.rows["faults"] = (faults_and_more, *how[1:])
    try:
        return BENCH.run(rows, asked.seconds)
    finally:
        for popen in BESIDE.values():
            popen.kill()
            popen.wait()


if __name__ == "__main__":
    BENCH.main(main)
