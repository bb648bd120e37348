#!/usr/bin/env python3
"""A service whose settings do not change between two trials stays up, and the restart of the other one
costs no more than its own start and stop. stt has other settings in each trial, llm in none.

A restart has to cost stt's own start (its ready time, of which it lets 500 ms pass before it opens its
port) and its own end (300 ms by its clock). Middle trials' start and stop phases are held against that."""

import os
import statistics

import bench_lib as bench

START_S, STOP_S, TRIALS = 0.5, 0.3, 6


def main():
    bench.need(bench.SPICA, bench.FAKE)
    folder = bench.workplace("restart")
    load = {"concurrency": 1}
    path = bench.write_study(
        folder,
        {"stt": bench.fake("stt", folder, "--latency", "{latency}",
                           "--start-delay", f"{round(START_S * 1000)}ms",
                           "--term-delay", f"{round(STOP_S * 1000)}ms",
                           knobs={"latency": [f"{5 + i}ms" for i in range(TRIALS)]}),
         "llm": bench.fake("llm", folder, "--latency", "5ms")},
        {"stt": dict(load, corpus="speech"), "llm": dict(load, prompts="prompts.jsonl", max_tokens=4)},
        measure={"warmup": "0s", "window": "1s", "alone": "0s", "contention": "100%",
                 "lateness": "10s", "repeats": 3},
        search={"strategy": "grid", "finalists": 1})
    out = os.path.join(folder, "bench.spica")
    code = bench.Run("run", path, "--out", out).wait(200)
    if code != 0:
        bench.give_up(f"spica run {path}: exit status {code}")
    db = bench.open_results(out)
    explored = [row["number"] for row in
                db.execute("SELECT number FROM trials WHERE purpose = 'explore' ORDER BY number")]
    if len(explored) < TRIALS:
        bench.give_up(f"only {len(explored)} exploring trials were stored")
    starts = {row["number"]: row["llm"] for row in db.execute(
        "SELECT trial AS number, started_in_trial AS llm FROM service JOIN text ON text.id = name"
        " WHERE text.body = 'llm'")}
    bench.number("restart_unchanged_starts", len({starts[n] for n in explored}), "starts", 1)
    costs, ratios = [], []
    for n in explored[1:-1]:  # the first starts both, the last stops both: the final starts cold
        cost = db.execute("SELECT sum(duration_s) AS s FROM phase JOIN text ON text.id = name"
                          " WHERE trial = ? AND text.body IN ('start', 'stop')", (n,)).fetchone()["s"]
        own = STOP_S + db.execute("SELECT ready_s FROM service JOIN text ON text.id = name WHERE trial"
                                  " = ? AND text.body = 'stt'", (n,)).fetchone()["ready_s"]
        costs.append(cost)
        ratios.append(cost / own)
    bench.number("restart_cost", statistics.median(costs), "s")
    bench.number("restart_cost_over_own", statistics.median(ratios), "ratio", 1.1)


main()
