#!/usr/bin/env python3
"""Provokes every kind of failure on a fake card and looks at what the study makes of it.

    bench/faults.py [--seeds N] [--jobs N] [FAULT...]

Twelve faults (bench/fault_matrix.py), each with 20 seeds; each run is a study of its own with a folder,
a card and, where that is allowed, processes of its own. In half of the runs the faulty candidate would
win if its failure went unseen. Printed is the table (on stderr, and into
build/bench-results/faults/table.txt), and the numbers as of every bench.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import traceback

import bench_lib
from bench_lib import BUILD, FAKE, ROOT, SPICA, give_up, need, number, say, workplace

os.environ.update(SPICA=SPICA, FAKE_SERVICE=FAKE)
sys.path.insert(0, os.path.join(ROOT, "tests/scenario"))
import fault_matrix  # noqa: E402  (after the programs are named)
import harness  # noqa: E402

RUN_S = 150


def child(name, seed, path):
    """In a process of its own: the outcome as JSON."""
    harness.become_subreaper()
    box = harness.Box(f"{name}-{seed}")
    try:
        outcome = fault_matrix.run_one(box, name, seed)
    except BaseException:  # whatever it was: it is this run's outcome
        outcome = {"problems": [traceback.format_exc()], "false_winner": False, "left": 0,
                   "back": False}
    outcome["left"] += len(box.close(False))
    with open(path, "w", encoding="utf-8") as file:
        json.dump(outcome, file)


def start(name, seed, folder):
    path = os.path.join(folder, f"{name}-{seed}.json")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            harness.isolate()
            child(name, seed, path)
            code = 0
        finally:
            os._exit(code)
    return {"pid": pid, "name": name, "seed": seed, "path": path, "end": time.monotonic() + RUN_S}


def outcome_of(job, status):
    if status == 0:
        with open(job["path"], encoding="utf-8") as file:
            return json.load(file)
    return {"problems": [f"the run itself ended with {status}"], "false_winner": False, "left": 0,
            "back": False}


def run_all(waiting, jobs, folder):
    """(name, seed) -> outcome."""
    running, outcomes = [], {}
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(start(*waiting.pop(0), folder))
        for job in list(running):
            pid, status = os.waitpid(job["pid"], os.WNOHANG)
            if pid == 0 and time.monotonic() < job["end"]:
                continue
            if pid == 0:
                harness.end_tree(job["pid"])
                _, status = os.waitpid(job["pid"], 0)
            running.remove(job)
            outcome = outcome_of(job, status)
            outcomes[job["name"], job["seed"]] = outcome
            for problem in outcome["problems"]:
                say(f"{job['name']} seed {job['seed']}: {problem}")
        time.sleep(0.02)
    return outcomes


def table(outcomes, names, seeds):
    lines = [f"{'fault':20} {'runs':>5} {'label right':>12} {'false winners':>14} "
             f"{'processes left':>15} {'device back':>12}"]
    for name in names:
        mine = [outcomes[name, seed] for seed in seeds]
        back = sum(o["back"] for o in mine)
        never = not fault_matrix.FAULTS[name].comes_back
        lines.append(f"{name:20} {len(mine):5} {sum(not o['problems'] for o in mine):12} "
                     f"{sum(o['false_winner'] for o in mine):14} {sum(o['left'] for o in mine):15} "
                     + (f"{'never, said':>12}" if never and back == len(mine) else f"{back:12}"))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="runs of each fault (20)")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 2),
                        help="studies at once: most of their time is waiting")
    parser.add_argument("fault", nargs="*", help="only these")
    options = parser.parse_args()
    names = options.fault or list(fault_matrix.FAULTS)
    unknown = [name for name in names if name not in fault_matrix.FAULTS]
    if unknown:
        give_up(f"no fault {', '.join(unknown)}; there are: {', '.join(fault_matrix.FAULTS)}")
    need(SPICA, FAKE)
    seeds = range(1, options.seeds + 1)
    results = workplace("faults")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        # Seed by seed, so that an early end has seen every fault.
        outcomes = run_all([(name, seed) for seed in seeds for name in names], options.jobs, folder)
    text = table(outcomes, names, seeds)
    say(text)
    with open(os.path.join(results, "table.txt"), "w", encoding="utf-8") as file:
        file.write(text + "\n")
    every = list(outcomes.values())
    number("faults_runs", len(every), "runs")
    number("faults_labels_right", 100.0 * sum(not o["problems"] for o in every) / len(every), "%", 100,
           at_most=False)
    number("faults_false_winners", sum(o["false_winner"] for o in every), "runs", 0)
    number("faults_processes_left", sum(o["left"] for o in every), "processes", 0)
    number("faults_device_not_back", sum(not o["back"] for o in every), "runs", 0)
    number("faults_duration", (time.monotonic() - began) / 60, "min")
    return 0


if __name__ == "__main__":
    sys.exit(main())
