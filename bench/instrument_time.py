"""Rows of instrument.py about time itself: when requests leave, what a freeze looks like, and a server whose
latency is known, beside the tools that people trust."""

import json
import math
import random
import subprocess

from bench_lib import SPICA
from instrument_lib import BARE_SENDER, Bench, Broken, Fake, Missing, ms, quantile, served_within
from instrument_referees import Aiperf, hey, vegeta, wrk

CHAT = {"model": "fake-model", "stream": False, "max_tokens": 4,
        "messages": [{"role": "user", "content": "Say something."}]}
KEPT = ("--load", "reuse_connection=true")
ASKED = ("--prompt", "Say something.", "--max-tokens", "4")
WHOLE = ("--option", "stream=false")


# ---- when requests leave ----

BARE_CONNECTIONS = 8
SEND_BAR_MS, SEND_RATIO = 0.2, 1.5
RATE = 1000


def start_bare(row, name, port, seconds):
    """The bare sender at the same rate in the same seconds; constant, so that its plan needs no spica."""
    times = row.path(f"{name}.times")
    with open(times, "w", encoding="utf-8") as file:
        file.writelines(f"{i * 10**9 // RATE}\n" for i in range(int(seconds * RATE)))
    with open(times, "rb") as stdin, open(row.path(f"{name}.bare"), "wb") as out:
        return subprocess.Popen([BARE_SENDER, str(port), str(BARE_CONNECTIONS)], stdin=stdin, stdout=out)


def end_bare(row, name, popen, timeout_s):
    try:
        if popen.wait(timeout_s) != 0:
            raise Broken("the bare sender failed")
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()
        raise Broken("the bare sender does not end") from None
    return [tuple(map(int, line.split())) for line in open(row.path(f"{name}.bare"), encoding="utf-8")]


def write_trace(row, seconds):
    """Arrivals in clusters, as recorded ones are; times in ms from its start."""
    rng, at, times = random.Random(3), 0.0, []
    while at < seconds * 1000:
        times.append(round(at, 3))
        at += rng.expovariate(2.0 if len(times) // 200 % 2 else 0.667)
    with open(row.path("trace.jsonl"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"timestamp": t, "prompt": "Say something."}) + "\n" for t in times)
    return times


def exponential_distance(gaps_s):
    """Kolmogorov's distance of the gaps from Exp(rate), and what 1 in 1,000 Poisson plans exceeds."""
    ordered, n = sorted(gaps_s), len(gaps_s)
    far = 0.0
    for i, gap in enumerate(ordered):
        share = 1 - math.exp(-gap * RATE)
        far = max(far, share - i / n, (i + 1) / n - share)
    return far, 1.95 / math.sqrt(n)


def check_plan(row, shape, intended_ns, trace_ms):
    """The plan itself, against what was asked for, from the records."""
    gaps = [b - a for a, b in zip(intended_ns, intended_ns[1:])]
    if shape == "constant":
        off = max(abs(t - intended_ns[0] - round(i * 1e9 / RATE)) for i, t in enumerate(intended_ns))
        row.at_most("constant: the plan, worst distance from 1,000 a second", off, 1000, "ns")
    elif shape == "Poisson":
        far, bar = exponential_distance([gap / 1e9 for gap in gaps])
        row.at_most("Poisson: the plan's gaps, Kolmogorov distance from exponential", far, bar, "")
        row.near("Poisson: the plan's rate", len(gaps) / (sum(gaps) / 1e9), RATE,
                 4 * RATE / math.sqrt(len(gaps)), "/s")
    else:
        # The warm-up of no length: the window begins with the trace.
        count = min(len(trace_ms), len(intended_ns))
        off = max(abs((intended_ns[i] - intended_ns[0]) / 1e6 - (trace_ms[i] - trace_ms[0]))
                  for i in range(count))
        row.at_most(f"trace: the plan, worst distance from the {count:,} times in the file", off, 0.001, "ms")


def arrivals(row):
    """Known arrivals at 1,000 a second: the error of the send times against the plan."""
    trace_ms = write_trace(row, row.seconds)
    shapes = {"constant": (*ASKED, "--rate", f"{RATE}/s", "--arrivals", "constant"),
              "Poisson": (*ASKED, "--rate", f"{RATE}/s", "--arrivals", "poisson"),
              "trace": ("--max-tokens", "4", "--load", "trace=" + row.path("trace.jsonl"))}
    for shape, how in shapes.items():
        with Fake(row, shape, "--latency", "5ms") as fake:
            bare = start_bare(row, shape, fake.port, row.seconds + 1)
            try:
                bench = Bench(row, shape, fake.url, *how, "--for", f"{row.seconds}s", "--warmup", "0s",
                              *KEPT, *WHOLE)
            finally:
                sent = end_bare(row, shape, bare, row.seconds + 60)
            arrived, bare_arrived = fake.arrivals(), fake.arrivals("/health")
        meta = [r["metadata"] for r in bench.window()]
        intended = [m["credit_issued_ns"] for m in meta]
        held = sum(m["held_back"] for m in meta)
        check_plan(row, shape, intended, trace_ms)
        errors = [ms(abs(m["request_start_ns"] - m["credit_issued_ns"])) for m in meta
                  if not m["held_back"] and m["request_start_ns"] is not None]
        bare_errors = [ms(b - a) for a, b in sent]
        floor = quantile(bare_errors, 0.99)
        row.at_most(f"{shape}: send against plan, p99 of {len(errors):,}", quantile(errors, 0.99),
                    max(SEND_BAR_MS, SEND_RATIO * floor), "ms")
        row.shows(f"{shape}: send against plan, p50; max",
                  f"{quantile(errors, 0.5):.3f}; {max(errors):.3f} ms")
        row.shows(f"{shape}: bare sender in the same seconds, p50; p99; max",
                  f"{quantile(bare_errors, 0.5):.3f}; {floor:.3f}; {max(bare_errors):.3f} ms")
        show_arrivals(row, shape, intended, arrived, bench.slew_ns)
        show_arrivals(row, f"{shape}, bare sender", [a for a, _ in sent], bare_arrived, 0)
        row.at_most(f"{shape}: requests failed or held back", bench.failures() + held, 0, "")


def show_arrivals(row, what, intended, arrived, slew_ns):
    """By rank: the kth arrival in the server's log is held against the kth planned time. The log may hold
    requests before the plan's first, such as the one that tries the service."""
    arrived = arrived[-len(intended):]
    if len(arrived) < len(intended):
        row.shows(f"{what}: the server's own log", f"{len(arrived):,} of {len(intended):,}")
        return
    errors = [ms(abs(a - i)) for a, i in zip(arrived, sorted(intended))]
    row.shows(f"{what}: the server's own log, arrival against plan, p50; p99",
              f"{quantile(errors, 0.5):.3f}; {quantile(errors, 0.99):.3f} ms")
    if slew_ns > 20_000:
        row.shows(f"{what}: the wall clock was slewed meanwhile by", f"{ms(slew_ns):.3f} ms")


# ---- a freeze ----

FREEZE_AT_S, FREEZE_S, FREEZE_WINDOW_S, FREEZE_RATE, FREEZE_MS = 8, 2, 20, 100, 20


def freeze_truth():
    """p99 and max of the latency from the intended send, in ms, by the definition of a freeze."""
    found = []
    for i in range(FREEZE_WINDOW_S * FREEZE_RATE):
        # Sends stand in the middle between two grid points on average, seen from the freeze's start.
        at = (i + 0.5) / FREEZE_RATE
        done = at
        for add in (0, FREEZE_MS / 1000):  # it is read, then answered: neither during the freeze
            done += add
            if FREEZE_AT_S <= done < FREEZE_AT_S + FREEZE_S:
                done = FREEZE_AT_S + FREEZE_S
        found.append((done - at) * 1000)
    return quantile(found, 0.99), max(found)


def freeze(row):
    """A server that stands still for 2 s in a run of 20 s at 100 a second."""
    p99, worst = freeze_truth()
    options = ("--latency", f"{FREEZE_MS}ms", "--freeze-at", f"{FREEZE_AT_S}s:{FREEZE_S}s")
    window = ("--for", f"{FREEZE_WINDOW_S}s", "--warmup", "0s", *KEPT, *ASKED, *WHOLE)
    with Fake(row, "open", *options) as fake:
        bench = Bench(row, "open", fake.url, "--rate", f"{FREEZE_RATE}/s", "--arrivals", "constant", *window)
    row.near_percent("spica, 100/s: p99 from the intended send", bench.stat_ms("latency", "p99"), p99, 5, "ms")
    row.near_percent("spica, 100/s: max from the intended send", bench.stat_ms("latency", "max"), worst, 5, "ms")
    late = sum(s["late"] for s in fake.served()) / 1e6
    row.shows("the server's answers, sum of LATE", f"{late:.1f} ms")
    clients = FREEZE_RATE * FREEZE_MS // 1000
    with Fake(row, "closed", *options) as fake:
        closed = Bench(row, "closed", fake.url, "--concurrency", clients, *window)
    hides(row, f"spica, closed loop of {clients}", closed.stat_ms("latency", "p99"), p99)
    # wrk 4 adds the requests which it could not send meanwhile, by its own reckoning; hey adds none.
    for name, tool in (("hey", hey), ("wrk", wrk)):
        try:
            with Fake(row, name, *options) as fake:
                result = tool(row, f"freeze-{name}", fake.url, CHAT, clients, FREEZE_WINDOW_S)
            hides(row, f"{name}, closed loop of {clients}", result["p99_ms"], p99)
            row.shows(f"{name}: its max", f"{result['max_ms']:.0f} ms")
        except Missing as why:
            row.missing(name, why)


def hides(row, what, seen_ms, truth_ms):
    row.shows(f"{what}: p99, of {truth_ms:.0f} for who does not wait for others", f"{seen_ms:.1f} ms")


# ---- a known latency, beside others ----

def against_stamps(row, name, p50_ms, p99_ms, served, bars):
    """A tool's p50 and p99 beside what the server says it took for the same requests."""
    stamps = [ms(s["sent"] - s["first"]) for s in served]
    for q, seen, percent in ((0.5, p50_ms, 2), (0.99, p99_ms, 5)):
        wanted = quantile(stamps, q)
        what = f"{name}: p{q * 100:.0f} against the server's own stamps"
        if bars:
            row.near_percent(what, seen, wanted, percent, "ms")
        else:
            row.shows(what, f"{seen:.2f} against {wanted:.2f} ms")
    row.shows(f"{name}: server's LATE p99", f"{quantile([ms(s['late']) for s in served], 0.99):.3f} ms")


def spica_cpu(row, name, url, seconds):
    """(run, CPU µs per request, less what a run of a second costs)."""
    def once(label, length):
        return Bench(row, label, url, "--rate", f"{RATE}/s", "--arrivals", "constant", "--for", f"{length}s",
                     "--warmup", "0s", *KEPT, *ASKED, *WHOLE, records=False)
    short, whole = once(name + "-short", 1), once(name + "-cpu", seconds)
    more = whole.json["requests"] - short.json["requests"]
    return 1e6 * (whole.cpu_s - short.cpu_s) / more, 1e6 * whole.cpu_s / whole.json["requests"]


def fixed(row):
    """A server that takes 20 ms for everything, 1,000 requests a second."""
    seconds, options = row.seconds, ("--latency", "20ms")
    with Fake(row, "spica", *options) as fake:
        bench = Bench(row, "spica", fake.url, "--rate", f"{RATE}/s", "--arrivals", "constant", "--for",
                      f"{seconds}s", "--warmup", "1s", *KEPT, *ASKED, *WHOLE)
    against_stamps(row, "spica", bench.stat_ms("latency", "p50"), bench.stat_ms("latency", "p99"),
                   served_within(fake, bench), True)
    sends = [r["metrics"]["request_latency"]["value"] for r in bench.window() if not r["error"]]
    row.shows("spica: p50; p99 from the actual send, as others count",
              f"{quantile(sends, 0.5):.2f}; {quantile(sends, 0.99):.2f} ms")
    row.at_most("spica: requests failed", bench.failures(), 0, "")
    with Fake(row, "spica-cpu", *options) as fake:
        ours, ours_whole = spica_cpu(row, "spica", fake.url, seconds)
    row.shows("spica: CPU a request (all of a run, over its requests)", f"{ours:.0f} ({ours_whole:.0f}) us")
    for name, tool in (("wrk", fixed_wrk), ("vegeta", fixed_vegeta)):
        try:
            with Fake(row, name, *options) as fake:
                result = tool(row, fake.url, seconds)
            against_stamps(row, name, result["p50_ms"], result["p99_ms"], fake.served(), False)
            row.shows(f"{name}: CPU a request; requests",
                      f"{1e6 * result['cpu_s'] / result['requests']:.0f} us; {result['requests']:,}")
        except Missing as why:
            row.missing(name, why)
    fixed_aiperf(row, options, seconds, ours)


def fixed_wrk(row, url, seconds):
    # 20 clients of 20 ms: 1,000 a second at best.
    return wrk(row, "fixed", url, CHAT, 20, seconds)


def fixed_vegeta(row, url, seconds):
    return vegeta(row, "fixed", url, CHAT, RATE, seconds)


def fixed_aiperf(row, options, seconds, ours_us):
    bar = "at least 20 times ours"
    try:
        aiperf = Aiperf(row)
    except Missing as why:
        row.missing("AIPerf: CPU a request over ours", why, bar)
        return
    load = ("--request-rate", RATE, "--arrival-pattern", "constant")
    with Fake(row, "aiperf-short", *options) as fake:
        short = aiperf.run("fixed-short", fake.url, *load, "--extra-inputs", "max_tokens:4", "--request-count", RATE)
    with Fake(row, "aiperf", *options) as fake:
        whole = aiperf.run("fixed", fake.url, *load, "--extra-inputs", "max_tokens:4", "--request-count", RATE * seconds)
    latencies = whole.values("request_latency")
    against_stamps(row, "AIPerf", quantile(latencies, 0.5), quantile(latencies, 0.99), fake.served(), False)
    if whole.summary.get("effective_latency"):
        row.shows("AIPerf: effective latency p99", f"{whole.summary['effective_latency'].get('p99')} ms")
    row.shows("AIPerf: requests answered a second", f"{len(latencies) / whole.span_s():.0f}")
    more = len(latencies) - len(short.values("request_latency"))
    theirs_us = 1e6 * (whole.cpu_s - short.cpu_s) / max(1, more)
    row.shows("AIPerf: CPU a request (all of a run, over its requests)",
              f"{theirs_us:.0f} ({1e6 * whole.cpu_s / max(1, len(latencies)):.0f}) us")
    row.at_least("AIPerf: CPU a request over ours", theirs_us / ours_us, 20, "times")
