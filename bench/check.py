#!/usr/bin/env python3
"""`spica check` of a study with over a million feasible candidates and constraints across services, one of
them over four knobs at once, so that no shortcut remains but to go through them: the exact count, the time
and the memory it takes. The count is worked out here again, by other means. (The peak of memory is the
larger one of spica's and of the process that starts it.)"""

import json
import os
import re

import bench_lib as bench

THREADS, THREADS_MAX, WORK_MAX = 64, 64, 400
SIZES = {"a": {"batch": 10}, "b": {"slots": 10}}
EXTRA = 9  # values of a.extra, which exists in one of two modes
CONSTRAINTS = [f"a.threads + b.threads <= {THREADS_MAX}",
               f"a.threads * a.batch + b.threads * b.slots <= {WORK_MAX}"]


def expected():
    pairs = 0
    for a in range(1, THREADS + 1):
        for b in range(1, min(THREADS, THREADS_MAX - a) + 1):
            for batch in range(1, SIZES["a"]["batch"] + 1):
                # the slots that are left: b * slots <= WORK_MAX - a * batch
                pairs += min(SIZES["b"]["slots"], max(0, WORK_MAX - a * batch) // b)
    return pairs * (EXTRA + 1)


def write_study(folder):
    def service(name, **more):
        knobs = {"threads": {"from": 1, "to": THREADS, "step": 1}}
        knobs.update({knob: {"from": 1, "to": count, "step": 1}
                      for knob, count in SIZES[name].items()})
        knobs.update(more)
        return {"command": ["sleep"] + [f"{{{knob}}}" for knob in knobs], "knobs": knobs}
    extra = {"values": list(range(1, EXTRA + 1)), "when": "mode == tuned"}
    study = {"study": "million", "device": "cpu",
             "services": {"a": service("a", mode=["plain", "tuned"], extra=extra), "b": service("b")},
             "constraints": CONSTRAINTS,
             "goal": {"optimise": {"a.memory": {"good": "1MiB", "bad": "1GiB"}}},
             "baseline": "none"}
    path = os.path.join(folder, "million.yaml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(study, file, indent=1)
    return path


def main():
    bench.need(bench.SPICA)
    path = write_study(bench.workplace("check"))
    code, text, cpu_s, peak_mb = bench.run_measured("check", path)
    if code != 0:
        bench.give_up(f"spica check {path}: exit status {code}\n{text}")
    found = re.search(r"^([\d,]+) candidates", text, re.MULTILINE)
    count = int(found[1].replace(",", "")) if found else None
    bench.say(f"{expected():,} candidates expected, {count:,} printed" if found else text)
    bench.number("check_count", count, "candidates", expected(), ok=count == expected())
    bench.number("check_cpu", cpu_s, "s", 1)
    bench.number("check_memory", peak_mb, "MB", 100)


main()
