#!/usr/bin/env python3
"""What `spica guard` promises, measured: its statistics, HAProxy before the services, the choice of tiers
under a load that swings, what it finds and how soon, and what it costs.

    bench/guard.py                    all rows; the swing alone takes 20 minutes
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
import sys

from bench_lib import BUILD, ROOT, SPICA, need
from instrument_lib import Broken, Missing, run
from rows_lib import Bench

STATS = os.path.join(BUILD, "bench/guard-stats")
STATS_LINE = re.compile(r"(.+?)\s+([\d.]+) (%|x)\s+\[(?:([\d.]+), ([\d.]+)|-)\]\s+(ok|MISSED|told)$")
NUMBER_LINE = re.compile(r"(\S+) (\S+) (\S+) (\S+) (ok|short|-)")
SECONDS = 20
PROGRAM_S = 5400


def statistics(row, what, count, short):
    """Lines of guard-stats."""
    enough = row.seconds >= SECONDS
    out, _, _ = run([STATS, what, str(count if enough else short)], timeout_s=3600, good=(0, 1))
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
    statistics(row, "sketch", 10_000_000, 100_000)


def anytime(row):
    """Of false verdicts the 99 % lower bound of their share (Clopper-Pearson); of power the median number of
    requests until the verdict, against the test of a size fixed before."""
    statistics(row, "anytime", 500, 40)


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


BENCH = Bench("guard", __doc__, {
    "sketch": (sketch, "quantiles of 10,000,000 values of six shapes from the sketch", 90),
    "anytime": (anytime, "the sequential test of a split: false verdicts, and how soon it sees 20 %", 420),
    "proxy": (program("proxy"), "HAProxy: added latency, and changes that cut nothing", 240),
    "swing": (program("swing"), "a load that swings: tiers chosen, beside always-tiny and always-base", 1300),
    "faults": (program("faults"), "faults found and named, and quiet without false alarms", 1500),
    "cost": (program("cost"), "guard's own CPU and memory", 900),
}, SECONDS)


def main():
    asked = BENCH.parse(sys.argv[1:])
    if BENCH.show(asked):
        return 0
    need(SPICA, STATS)
    return BENCH.run(asked.rows or list(BENCH.rows), asked.seconds)


if __name__ == "__main__":
    BENCH.main(main)
