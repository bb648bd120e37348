#!/usr/bin/env python3
"""The demonstration study from start to report, and what it is to show.

    demo.py            runs tools/demo anew (up to 25 minutes), then prints
    demo.py FOLDER     prints what an earlier run's folder holds

Speech-to-text latencies are pooled over all undisturbed cold starts of the final; a failed request counts
as slower than all others. The bounds of the p95 are order statistics that hold whatever the
distribution; one that the sample can't carry is absent. Computed from study.db alone, without spica."""

import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time

import bench_lib as bench

MISS = 0.025  # a bound of 97.5 %


def run_demo(folder):
    shutil.rmtree(os.path.dirname(folder), ignore_errors=True)
    os.makedirs(os.path.dirname(folder))
    began = time.monotonic()
    code = subprocess.run([os.path.join(bench.ROOT, "tools/demo")], check=False, stdout=sys.stderr,
                          env=dict(os.environ, SPICA_DEMO_OUT=folder)).returncode
    if code != 0:
        bench.give_up(f"tools/demo: exit status {code}")
    return (time.monotonic() - began) / 60


def stored_minutes(db):
    row = db.execute("SELECT min(started_wall_us) AS a, max(started_wall_us + duration_s * 1e6) AS b"
                     " FROM trial").fetchone()
    return (row["b"] - row["a"]) / 60e6


def finals_of(db, candidate):
    """Numbers of the candidate's undisturbed trials of the final."""
    return [row["number"] for row in db.execute(
        "SELECT number FROM trials WHERE purpose = 'final' AND candidate = ? AND cold = 1"
        " AND verdict IN ('ok', 'slow') ORDER BY number", (candidate,))]


def latencies(db, trials, service):
    pooled = []
    for trial in trials:
        for row in db.execute("SELECT error, done_ns - intended_ns AS ns FROM requests WHERE trial = ?"
                              " AND service = ? AND mode = 'shared' AND part = 1", (trial, service)):
            pooled.append(math.inf if row["error"] or row["ns"] is None else row["ns"] / 1e9)
    return pooled


def metric(db, trial, service, mode, name):
    row = db.execute("SELECT value FROM metrics WHERE trial = ? AND service = ? AND mode = ?"
                     " AND metric = ? AND stat = ''", (trial, service, mode, name)).fetchone()
    return row["value"] if row else None


def kept_ratios(db, trials):
    """Tokens a second shared over alone, per cold start."""
    ratios = []
    for trial in trials:
        shared, alone = (metric(db, trial, "llm", mode, "tokens_per_s") for mode in ("shared", "alone"))
        if shared is not None and alone:
            ratios.append(shared / alone)
    return ratios


def main():
    bench.need(bench.SPICA)
    given = sys.argv[1] if len(sys.argv) > 1 else None
    folder = given or os.path.join(bench.BUILD, "bench-results/demo/voice-cpu.spica")
    minutes = None if given else run_demo(folder)
    db = bench.open_results(folder)
    row = db.execute("SELECT body FROM decision ORDER BY id DESC LIMIT 1").fetchone()
    if not row:
        bench.give_up(f"{folder}: the study is not finished")
    decision = json.loads(row["body"])
    winner, baseline = decision["winner"], decision["baseline"]
    bench.say(f"outcome {decision['outcome']}; winner {winner}")
    won, today = finals_of(db, winner), finals_of(db, baseline)
    mine, theirs = latencies(db, won, "stt"), latencies(db, today, "stt")
    _, upper = bench.quantile_bounds(mine, 0.95, MISS)
    lower, _ = bench.quantile_bounds(theirs, 0.95, MISS)
    known = upper is not None and lower is not None and math.isfinite(upper)
    ratios = kept_ratios(db, won)
    bench.number("demo_winner_cold_starts", len(won), "trials", 3, at_most=False)
    bench.number("demo_baseline_cold_starts", len(today), "trials", 3, at_most=False)
    bench.number("demo_winner_stt_requests", len(mine), "requests")
    bench.number("demo_baseline_stt_requests", len(theirs), "requests")
    bench.number("demo_winner_stt_p95_upper", upper, "s")
    bench.number("demo_baseline_stt_p95_lower", lower, "s")
    bench.number("demo_stt_p95_ratio", upper / lower if known else None, "ratio", 0.5)
    bench.number("demo_llm_kept", statistics.mean(ratios) if ratios else None, "ratio", 0.9,
                 at_most=False)
    bench.number("demo_llm_kept_min", min(ratios) if ratios else None, "ratio")
    bench.number("demo_duration", minutes if minutes is not None else stored_minutes(db), "min", 25)


main()
