#!/usr/bin/env python3
"""What spica itself takes during a trial: CPU time of the main process, its guards and keepers, and their memory,
the load worker apart. Two fake services, 20 requests a second each, a window of 30 s.

CPU time is read from /proc at both ends of 25 s inside the window; what the trial has stored of the main
process over its whole window is printed beside it. Memory is the largest sum of proportional set sizes
(keepers are forks and share most of theirs) and the main process's own peak."""

import os
import time

import bench_lib as bench

RATE, WINDOW_S, WATCHED_S = 20, 30, 25


def write_study(folder):
    load = {"arrivals": "constant", "rate": f"{RATE}/s"}
    return bench.write_study(
        folder,
        {"stt": bench.fake("stt", folder, "--latency", "30ms"),
         "llm": bench.fake("llm", folder, "--latency", "10ms", "--latency-per-token", "2ms")},
        {"stt": dict(load, corpus="speech"), "llm": dict(load, prompts="prompts.jsonl", max_tokens=8)},
        measure={"warmup": "3s", "window": f"{WINDOW_S}s", "alone": "0s", "contention": "100%",
                 "lateness": "1s"})


def cpu_of(pids):
    total = 0
    for pid in pids:
        try:
            total += bench.read_process(pid)[2]
        except OSError:
            pass
    return total


def wait_for_load(run):
    """Until the load worker has been there for the warm-up and a little more."""
    end = time.monotonic() + 60
    while time.monotonic() < end and not run.over.is_set():
        names = [name for parent, name, _ in bench.processes().values() if parent == run.pid]
        seconds = 4 if names.count("spica-load") else 0
        if seconds and names.count("spica-guard") == 2:
            time.sleep(1)
            table = bench.processes()
            # The probe's worker lives for an instant only.
            if any(name == "spica-load" and parent == run.pid for parent, name, _ in table.values()):
                time.sleep(seconds)
                return
        time.sleep(0.05)
    run.stop()
    bench.give_up("the trial's window did not begin")


def watch(run):
    """(CPU seconds, wall seconds, peak PSS in MB, peak of the main process in MB)"""
    pids = bench.own_processes(run.pid)
    began, before, peak_kb, main_kb = time.monotonic(), cpu_of(pids), 0, 0
    while time.monotonic() - began < WATCHED_S and not run.over.is_set():
        peak_kb = max(peak_kb, sum(bench.memory_kb(pid, "smaps_rollup", "Pss") for pid in pids))
        main_kb = max(main_kb, bench.memory_kb(run.pid, "status", "VmHWM"))
        time.sleep(1)
    return cpu_of(pids) - before, time.monotonic() - began, peak_kb * 1024 / 1e6, main_kb * 1024 / 1e6


def main():
    bench.need(bench.SPICA, bench.FAKE)
    folder = bench.workplace("overhead")
    path, out = write_study(folder), os.path.join(folder, "bench.spica")
    run = bench.Run("run", path, "--out", out)
    wait_for_load(run)
    cpu_s, wall_s, pss_mb, main_mb = watch(run)
    end = time.monotonic() + 120
    while time.monotonic() < end and not run.over.is_set():
        rows = bench.open_results(out).execute("SELECT own_cpu_s, window_s FROM trial").fetchall()
        if rows:
            break
        time.sleep(0.5)
    else:
        bench.give_up("the trial was not stored")
    run.stop()
    own = rows[0]["own_cpu_s"]
    bench.number("overhead_cpu", 100 * cpu_s / wall_s, "%", 2)
    bench.number("overhead_cpu_stored", None if own is None else 100 * own / rows[0]["window_s"], "%", 2)
    bench.number("overhead_memory", pss_mb, "MB", 30)
    bench.number("overhead_memory_main", main_mb, "MB", 30)


main()
