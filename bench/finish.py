#!/usr/bin/env python3
"""From the last trial's end to the winner and the report: spica's own CPU time, and for information the
wall time. A study of 12 exploring trials and a final over fake services, some 20,000 request rows."""

import os

import bench_lib as bench

TRIALS, RATE = 12, 250


def main():
    bench.need(bench.SPICA, bench.FAKE)
    folder = bench.workplace("finish")
    latencies = [f"{5 + i}ms" for i in range(TRIALS)]
    load = {"arrivals": "poisson", "rate": f"{RATE}/s"}
    path = bench.write_study(
        folder,
        {"stt": bench.fake("stt", folder, "--latency", "{latency}", knobs={"latency": latencies}),
         "llm": bench.fake("llm", folder, "--latency", "2ms")},
        {"stt": dict(load, corpus="speech"), "llm": dict(load, prompts="prompts.jsonl", max_tokens=4)},
        measure={"warmup": "0s", "window": "2s", "alone": "0s", "contention": "100%",
                 "lateness": "10s", "repeats": 3},
        baseline={"stt.latency": latencies[-1]},
        search={"strategy": "grid", "finalists": 3})
    out = os.path.join(folder, "bench.spica")
    run = bench.Run("run", path, "--out", out)
    code = run.wait(400)
    if code != 0:
        bench.give_up(f"spica run {path}: exit status {code}")
    for name in ("winner.json", "report.md"):
        if not os.path.exists(os.path.join(out, name)):
            bench.give_up(f"{out} holds no {name}")
    db = bench.open_results(out)
    rows = db.execute("SELECT count(*) FROM request").fetchone()[0]
    trials = db.execute("SELECT count(*) FROM trial").fetchone()[0]
    end = bench.last_trial_end(db)
    bench.say(f"{trials} trials, {rows:,} request rows")
    bench.number("finish_cpu", run.cpu_since(end), "s", 1)
    bench.number("finish_wall", run.ended - end, "s")


main()
