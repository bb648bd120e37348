"""Rows of instrument.py about what a service can take and what a model's stream looks like."""

import json
import math
import os
import random
import re
import socket
import subprocess
import time
import urllib.request

from bench_lib import ROOT
from instrument_lib import Bench, Broken, Fake, Missing, mean, ms, quantile, served_within
from instrument_referees import Aiperf
from instrument_time import ASKED, KEPT, WHOLE

# ---- capacity ----

SLOTS, SERVICE_S, LIMIT_S, SLA_TIMEOUT_S = 16, 0.020, 0.026, 1200


def simulated_p95(rate, seed, requests=200_000):
    """p95 of the time in a system of SLOTS servers of a fixed time, first come first served, Poisson
    arrivals. With a fixed time they leave in order: request n has the server of request n - SLOTS."""
    rng, at = random.Random(seed), 0.0
    leaves = [0.0] * SLOTS
    times = []
    for n in range(requests):
        at += rng.expovariate(rate)
        done = max(at, leaves[n % SLOTS]) + SERVICE_S
        leaves[n % SLOTS] = done
        times.append(done - at)
    return quantile(times[requests // 20:], 0.95)


def simulated_limit():
    """The largest Poisson rate whose p95 is within the limit: the mean over seeds, and how far they differ."""
    found = []
    for seed in range(3):
        low, high = 0.5 * SLOTS / SERVICE_S, SLOTS / SERVICE_S
        while high - low > 1:
            middle = (low + high) / 2
            low, high = (middle, high) if simulated_p95(middle, seed) <= LIMIT_S else (low, middle)
        found.append(low)
    return mean(found), max(found) - min(found)


def ask_capacity(row, name, of, *args):
    with Fake(row, name, "--latency", "20ms", "--slots", SLOTS_TEXT) as fake:
        bench = Bench(row, name, fake.url, "--capacity", of, "--for", f"{max(2, row.seconds // 2)}s", "--require",
                      f"latency.p95 < {LIMIT_S * 1e3:g}ms", *KEPT, *ASKED, *WHOLE, *args, records=False)
    found = bench.json.get("capacity") or bench.json
    low = found.get("met")
    row.shows(f"{name}: answer; the level that was too much; levels; seconds",
              f"{low}; {found.get('missed')}; {len(found.get('points', []))}; {bench.wall_s:.0f}")
    ours = sum(point["verdict"] in ("own limit", "disturbed") for point in found.get("points", []))
    if ours:
        row.shows(f"{name}: windows of no use, because we were late ourselves or others worked", str(ours))
    if low is None:
        row.note(f"{name}: an answer", "one", str(found.get("outcome")), False, "none")
    return low


SLOTS_TEXT = str(SLOTS)


def capacity(row):
    """16 slots of a fixed 20 ms, first come first served; p95 of 26 ms is allowed."""
    truth = math.floor(LIMIT_S / SERVICE_S * SLOTS + 1e-9)
    low = ask_capacity(row, "clients", "concurrency", "--concurrency", 4)
    if low is not None:
        row.near_percent("clients with p95 < 26 ms", low, truth, 10, "clients")
    limit, apart = simulated_limit()
    row.shows("the simulation's Poisson limit; three seeds differ by", f"{limit:.0f}; {apart:.0f} /s")
    low = ask_capacity(row, "rate", "rate", "--rate", "100/s", "--up-to", "2000/s")
    if low is not None:
        row.near_percent("Poisson arrivals with p95 < 26 ms", low, limit, 10, "/s")
    try:
        capacity_aiperf(row)
    except Missing as why:
        row.missing("AIPerf's SLA search on the same server", why)


def capacity_aiperf(row):
    """Its recipe knows p99 alone; with a fixed time p95 and p99 allow the same number of clients."""
    aiperf = Aiperf(row)
    with Fake(row, "aiperf", "--latency", "20ms", "--slots", SLOTS_TEXT) as fake:
        folder, _, wall_s = aiperf.raw("sla", fake.url, "--search-recipe", "max-concurrency-under-sla",
                                       "--e2e-sla-ms", "26", "--benchmark-duration", max(2, row.seconds // 2),
                                       "--extra-inputs", "max_tokens:4", timeout_s=SLA_TIMEOUT_S)
    with open(os.path.join(folder, "search_history.json"), encoding="utf-8") as file:
        history = json.load(file)
    bounds = history.get("boundary_summary") or {}
    most, least = bounds.get("feasible_max"), bounds.get("infeasible_min") or {}
    breach = least.get("first_breach") or {}
    answer = "none" if not most else most["value"] if isinstance(most, dict) else most
    row.shows(f"AIPerf's SLA search (p99 < 26 ms; the truth is {math.floor(20.8)}): clients",
              f"{answer} after {len(history['iterations'])} runs, {wall_s:.0f} s")
    if breach:
        row.shows(f"AIPerf: what it saw at {least.get('value')} clients", f"p99 {breach['observed']:.1f} ms")


# ---- streams ----

STREAMS, FIRST_MS, GAP_MS, TOKENS = 64, 100, 5, 200


def streams(row):
    """64 streams at once, 200 tokens a second each, first token after 100 ms."""
    with Fake(row, "streams", "--latency", f"{FIRST_MS}ms", "--latency-per-token", f"{GAP_MS}ms", "--tokens",
              str(TOKENS)) as fake:
        bench = Bench(row, "streams", fake.url, "--concurrency", STREAMS, "--for", f"{row.seconds}s", "--warmup", "2s",
                      *KEPT, "--prompt", "Say something.", "--max-tokens", TOKENS)
    served = served_within(fake, bench)
    # The server's own figures: from the request's first byte to its first token, and its pace over a whole answer.
    first = [ms(s["sent"] - s["first"]) for s in served]
    pace = [ms(s["last"] - s["sent"]) / (TOKENS - 1) for s in served]
    for q in (0.5, 0.99):
        for metric, wanted, own in (("ttft", FIRST_MS, quantile(first, q)), ("itl", GAP_MS, None)):
            seen = bench.stat_ms(metric, f"p{q * 100:.0f}")
            row.near(f"{metric} p{q * 100:.0f}", seen, wanted, max(1, 0.02 * wanted), "ms")
            if own is not None:
                row.shows(f"{metric} p{q * 100:.0f}: the server's own", f"{own:.2f} ms")
    row.shows("pace: the server's own, p50; p99", f"{quantile(pace, 0.5):.3f}; {quantile(pace, 0.99):.3f} ms")
    row.shows("the server's LATE (worst piece of an answer), p50; p99",
              f"{quantile([ms(s['late']) for s in served], 0.5):.2f}; "
              f"{quantile([ms(s['late']) for s in served], 0.99):.2f} ms")
    counts = {len(r["metrics"]["inter_chunk_latency"]["value"]) for r in bench.window() if not r["error"]}
    row.note("gaps of an answer", f"{TOKENS - 1}", ", ".join(map(str, sorted(counts))), counts == {TOKENS - 1})
    row.at_most(f"failed of {bench.json['requests']:,}", bench.failures(), 0, "")


# ---- a real server ----

LLAMA = os.path.join(ROOT, "build/demo/bin/llama-server")
WEIGHTS = os.path.join(ROOT, "build/demo/models/smollm2-135m-q4_1.gguf")
LLAMA_TOKENS, LLAMA_WITHIN_S = 64, 120
PROMPTS, PROMPT_WORDS = 12, 200
WORDS = ("river stone window morning engine letter garden winter signal number market silver road candle "
         "doctor kitchen forest bridge paper island music table evening station").split()
TIMING = re.compile(r"print_timing:.*?\| +(prompt eval|eval) time = +([\d.]+) ms / +(\d+) tokens")


class Llama:
    """llama-server with one slot, on one thread, without any cache: each prompt is read anew."""

    def __init__(self, row):
        if not (os.access(LLAMA, os.X_OK) and os.path.exists(WEIGHTS)):
            raise Missing("llama-server or its model (make setup)")
        self.log = row.path("llama-server.log")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.popen = None

    def __enter__(self):
        with open(self.log, "wb") as out:
            self.popen = subprocess.Popen(
                [LLAMA, "-m", WEIGHTS, "--host", "127.0.0.1", "--port", str(self.port), "-t", "1", "-tb", "1", "-np",
                 "1", "-c", "4096", "--cache-ram", "0", "--no-cache-prompt"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        end = time.monotonic() + LLAMA_WITHIN_S
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                    if answer.status == 200:
                        return self
            except OSError:
                pass
            if self.popen.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise Broken(f"llama-server does not start: see {self.log}")
            time.sleep(0.1)

    def __exit__(self, *_):
        self.popen.terminate()
        try:
            self.popen.wait(20)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def timings(self):
        """(ms of the prompt, ms of the rest, tokens) of every request so far, from its log."""
        found, prompt_ms = [], None
        for line in open(self.log, encoding="utf-8", errors="replace"):
            match = TIMING.search(line)
            if match and match.group(1) == "prompt eval":
                prompt_ms = float(match.group(2))
            elif match and prompt_ms is not None:
                found.append((prompt_ms, float(match.group(2)), int(match.group(3))))
                prompt_ms = None
        return found


def write_prompts(row):
    rng = random.Random(5)
    prompts = [" ".join(rng.choice(WORDS) for _ in range(PROMPT_WORDS)) + ". Go on." for _ in range(PROMPTS)]
    with open(row.path("prompts.jsonl"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"prompt": p, "max_tokens": LLAMA_TOKENS}) + "\n" for p in prompts)
    return prompts


def rate_of(tokens, spans_ms):
    """Tokens a second after the first, over all answers."""
    return 1e3 * sum(t - 1 for t in tokens) / sum(spans_ms)


def own_of(timings, count):
    """What the server says of its last `count` requests: (ms to the first token, tokens a second)."""
    timings = timings[-count:]
    if len(timings) != count:
        raise Broken(f"llama-server's log has {len(timings)} timings of {count}")
    return mean(t[0] for t in timings), rate_of([t[2] for t in timings], [t[1] for t in timings])


def llama(row):
    """A real server: one client, the same prompts, beside AIPerf and the server's own timings."""
    prompts, count = write_prompts(row), 2 * PROMPTS if row.seconds >= 10 else PROMPTS // 2
    with Llama(row) as server:
        bench = Bench(row, "llama", server.url, "--concurrency", 1, "--requests", count, "--warmup", "0s", "--prompts",
                      row.path("prompts.jsonl"), "--max-tokens", LLAMA_TOKENS)
        ours = of_requests(bench.values("time_to_first_token"), bench.values("request_latency"),
                           bench.values("output_sequence_length"))
        own = own_of(server.timings(), count)
        row.near_percent("spica: TTFT, mean, against the server's prompt time", ours[0], own[0], 3, "ms")
        row.near_percent("spica: tokens/s after the first, against the server's", ours[1], own[1], 3, "/s")
        row.at_most(f"spica: failed of {count}", bench.failures(), 0, "")
        try:
            aiperf = Aiperf(row, prompts)
        except Missing as why:
            for what in ("TTFT", "tokens/s"):
                row.missing(f"spica's {what} beside AIPerf's", why, "within 3 %")
            return
        result = aiperf.run("llama", server.url, "--streaming", "--concurrency", 1, "--request-count", count,
                            "--use-server-token-count", "--connection-reuse-strategy", "never", "--extra-inputs",
                            f"max_tokens:{LLAMA_TOKENS}", model="smollm2")
        lengths = result.values("usage_completion_tokens") or result.values("output_sequence_length")
        theirs = of_requests(result.values("time_to_first_token"), result.values("request_latency"), lengths)
        their_own = own_of(server.timings(), len(lengths))
    row.shows("AIPerf: TTFT against the server's", f"{theirs[0]:.1f} against {their_own[0]:.1f} ms")
    row.shows("AIPerf: tokens/s against the server's", f"{theirs[1]:.1f} against {their_own[1]:.1f} /s")
    # A server is not equally fast in two runs; what each tool says over what the server says is comparable.
    for what, i in (("TTFT", 0), ("tokens/s", 1)):
        row.near_percent(f"{what}, each over the server's own: spica beside AIPerf", ours[i] / own[i],
                         theirs[i] / their_own[i], 3, "")


def of_requests(first_ms, latency_ms, tokens):
    spans = [latency - first for latency, first in zip(latency_ms, first_ms)]
    return mean(first_ms), rate_of(tokens, spans)
