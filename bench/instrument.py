#!/usr/bin/env python3
"""spica as an instrument, beside the tools that people trust and against servers that are known.

    bench/instrument.py                    all rows, about 25 minutes on a quiet machine
    bench/instrument.py NAME...            only these; the others keep their last results
    bench/instrument.py --list             what there is
    bench/instrument.py --setup            gets the referees that are missing (about 4 minutes, 1.5 GB)
    bench/instrument.py --seconds 5 ...    short runs, to see that it works; never to be quoted
    bench/instrument.py --markdown         the kept results as tables

Each check is a line: what, what was seen, its bar, ok or SHORT and by how much. A referee that is not
there is MISSING, by name. Exit status 1 when a bar is missed or could not be looked at.
Results are kept in build/bench-results/instrument.json, the requests' records beside it.

Servers, referees and spica share the machine: whatever else runs on it shows in the times, and in the
bare sender's and the server's own, which stand beside them.
"""

import argparse
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import time

from bench_lib import BUILD, FAKE, SPICA, give_up, need
from instrument_lib import BARE_SENDER, MARKS, Broken, Missing, Row, say

import instrument_facts
import instrument_model
import instrument_referees
import instrument_time

# name -> (how, what it is, seconds it takes when the machine is quiet)
ROWS = {
    "arrivals": (instrument_time.arrivals, "known arrivals at 1,000/s: constant, Poisson, a trace", 75),
    "freeze": (instrument_time.freeze, "a server that freezes 2 s in a run of 20 s at 100/s", 65),
    "fixed": (instrument_time.fixed, "a fixed 20 ms at 1,000/s, beside wrk, vegeta and AIPerf", 190),
    "capacity": (instrument_model.capacity, "16 slots of a fixed 20 ms: what it can take", 600),
    "streams": (instrument_model.streams, "64 streams of 200 tokens/s with a known first token and gaps", 25),
    "llama": (instrument_model.llama, "a real llama-server, beside AIPerf and its own timings", 70),
    "intervals": (instrument_facts.intervals, "95 % intervals of quantiles, 2,000 simulated windows", 140),
    "requirements": (instrument_facts.requirements, "answers about requirements at the boundary, 2,000 runs", 1),
    "wer": (instrument_facts.wer, "word errors equal jiwer's", 10),
    "throughput": (instrument_facts.throughput, "one worker: 5,000/s of JSON; 2,000 streams at once", 85),
}
RESULTS = os.path.join(BUILD, "bench-results", "instrument.json")
FOLDER = os.path.join(BUILD, "bench-results", "instrument")


def read_results():
    try:
        with open(RESULTS, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def keep(name, result):
    """One row at a time, so that a run that is cut short leaves what it had."""
    results = read_results()
    results[name] = result
    os.makedirs(os.path.dirname(RESULTS), exist_ok=True)
    with open(RESULTS + ".new", "w", encoding="utf-8") as file:
        json.dump({n: results[n] for n in ROWS if n in results}, file, indent=1)
    os.replace(RESULTS + ".new", RESULTS)


def measure(name, seconds):
    how, what, _ = ROWS[name]
    print(f"{name}: {what}", flush=True)
    row = Row(name, os.path.join(FOLDER, name), seconds)
    began, load = time.monotonic(), os.getloadavg()[0]
    try:
        how(row)
    except Missing as why:
        row.missing(what, why, "all of this row")
    except (Broken, OSError, KeyError, ValueError, subprocess.SubprocessError) as why:
        row.note("the row could be measured", "yes", "no", False, f"{type(why).__name__}: {why}"[:600])
    wall_s = time.monotonic() - began
    print(f"  ({wall_s:.0f} s; load of the machine {load:.1f} before, {os.getloadavg()[0]:.1f} after)", flush=True)
    result = {"what": what, "checks": row.checks, "seconds": seconds, "wall_s": round(wall_s, 1),
              "when": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "load_before": load, "load_after": os.getloadavg()[0], "cores": os.cpu_count(),
              "machine": platform.platform(), "commit": commit()}
    keep(name, result)
    return result


def commit():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    done = subprocess.run(["git", "-C", root, "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                          check=False)
    return done.stdout.strip()


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def markdown(results):
    lines = []
    for name, result in results.items():
        load = f"{result['load_before']:.1f} before, {result['load_after']:.1f} after"
        lines += [f"### {name}: {result['what']}", "",
                  f"`bench/instrument.py {name}`, {result['when']}, {result['wall_s']:.0f} s"
                  + (f", **short runs of {result['seconds']} s**" if result["seconds"] != SECONDS else "")
                  + f"; commit {result['commit']}; {result['cores']} cores, load {load}", "",
                  "| check | seen | bar | | |", "|---|---|---|---|---|"]
        lines += ["| " + " | ".join(map(cell, (c["what"], c["seen"], c["bar"], MARKS[c["ok"]], c["by"]))) + " |"
                  for c in result["checks"]]
        lines.append("")
    return "\n".join(lines)


SECONDS = 20


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="NAME", help=", ".join(ROWS))
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of each timed run (20)")
    parser.add_argument("--setup", action="store_true", help="gets the referees that are missing first")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--markdown", action="store_true", help="prints the kept results")
    asked = parser.parse_args(arguments)
    unknown = [name for name in asked.rows if name not in ROWS]
    if unknown or asked.seconds < 2:
        parser.error(f"there is no row {', '.join(unknown)}" if unknown else "--seconds: at least 2")
    return asked


def main():
    asked = parse(sys.argv[1:])
    if asked.list:
        for name, (_, what, seconds) in ROWS.items():
            print(f"{name:<14} {what} ({seconds} s)")
        return 0
    if asked.markdown:
        print(markdown(read_results()))
        return 0
    if asked.setup:
        instrument_referees.set_up()
        if not asked.rows:
            return 0
    need(SPICA, FAKE, BARE_SENDER, instrument_facts.STATS, instrument_facts.LOAD)
    names = [name for name in ROWS if name in asked.rows] or list(ROWS)
    results = {name: measure(name, asked.seconds) for name in names}
    checks = [check for result in results.values() for check in result["checks"]]
    short, missing = ([c for c in checks if c["ok"] == state] for state in (False, "missing"))
    good = sum(check["ok"] is True for check in checks)
    print(f"\n{good} ok, {len(short)} short, {len(missing)} missing")
    for check in short + missing:
        print(f"  {MARKS[check['ok']]}: {check['what']}: {check['seen']} [{check['bar']}] {check['by']}")
    barred = [check for check in missing if check["bar"]]
    return 1 if short or barred else 0


def stop(*_):
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)  # the servers have sessions of their own: they are ended on the way out
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("instrument: stopped; the rows that were over are kept")
        sys.exit(130)
