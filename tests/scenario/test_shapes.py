"""Shapes of a load, end to end: what `check --plan` says before is what the database holds after."""

import json
import time

from harness import check, main, scenario
from test_bench import ALONE, serve


def planned(box):
    """Lines of `check --plan`, by service."""
    result = box.run("check", "--plan", box.file, code=0)
    again = box.run("check", "--plan", box.file, code=0)
    check(result.out == again.out and result.out, "the same study gives the same bytes")
    plan = {}
    for line in result.out.splitlines():
        request = json.loads(line)
        plan.setdefault(request["stream"], []).append(request)
    return plan


def sent(box, service):
    rows = sorted(box.requests(1, service), key=lambda r: r["sequence"])
    failed = [r for r in rows if r["error"] is not None]
    check(rows and not failed, f"{service}: {len(rows)} requests, failed: {failed[:3]}")
    return rows


def same_times(plan, rows, what):
    """Both from their first: the plan's zero is the run's start, the database's is the machine's."""
    check(len(plan) == len(rows), f"{what}: {len(plan)} planned, {len(rows)} sent")
    for p, r in zip(plan, rows):
        check(p["intended_ns"] - plan[0]["intended_ns"] == r["intended_ns"] - rows[0]["intended_ns"],
              f"{what}: planned {p}, sent {r}")


@scenario(quick=True)
def bursts_sessions_and_a_trace(box):
    stt = box.fake("stt")
    box.write("trace.jsonl", "".join(
        json.dumps({"timestamp": 70 * i, "duration": 0.3 + 0.1 * (i % 4)}) + "\n" for i in range(80)))
    box.study(
        stt=stt, burst=box.fake("llm"), chat=box.fake("llm", "--latency", "20ms"),
        load={"stt": {"trace": "trace.jsonl", "speed": 2, "concurrency": 64},
              "burst": {"rate": "60/s", "on": "500ms", "off": "700ms", "concurrency": 64,
                        "start": "100ms"},
              "chat": {"rate": "8/s", "turns": {"from": 2, "to": 4}, "think": {"mean": "50ms"},
                       "concurrency": 64}},
        measure={"window": "3s"})
    plan = planned(box)
    box.run("run", box.file, code=0)
    box.expect(1, "ok")
    # The trace at twice its speed, each duration as the clip that has it.
    rows = sent(box, "stt")
    same_times(plan["stt"], rows, "trace")
    check(len(rows) == 86, f"3 s of a request each 35 ms: {len(rows)}")
    for i, row in enumerate(rows):
        check(abs(row["audio_s"] - (0.3 + 0.1 * (i % 80 % 4))) < 0.01, row)
        first = rows[0]["intended_ns"]
        check(row["intended_ns"] - first == 35_000_000 * i, (i, row))
    # Bursts begin with the window, 100 ms later here, and between them there is silence.
    rows = sent(box, "burst")
    same_times(plan["burst"], rows, "bursts")
    for request in plan["burst"]:
        check((request["intended_ns"] - 100_000_000) % 1_200_000_000 < 500_000_000, request)
    # Sessions begin at the plan's times, and further turns follow the answers.
    rows = sent(box, "chat")
    turns = sum(p["turns"] for p in plan["chat"])
    check(len(plan["chat"]) < len(rows) <= turns, f"{len(rows)} requests, {turns} turns at most")
    first = plan["chat"][0]["intended_ns"]
    times = {r["intended_ns"] - rows[0]["intended_ns"] for r in rows}
    for session in plan["chat"]:
        check(session["intended_ns"] - first in times, f"{session} never began")


def arrivals(path):
    """When the first byte of each piece of work came, in ns, as the fake wrote it down."""
    with open(path, encoding="utf-8") as file:
        lines = [line.split() for line in file]
    return sorted(int(first) for first, _, _, number in lines if number != "0")


def began(came, meant, answered):
    """When our clock's zero was by the service's. Each request came when it was meant to leave or later, and before its
    answer: on a machine that is late they come later, never sooner. There must be a moment that all of them agree with."""
    check(len(came) == len(meant) == len(answered), f"{len(meant)} meant, {len(came)} came, {len(answered)} answered")
    latest = min(at - wanted for at, wanted in zip(sorted(came), sorted(meant)))
    soonest = max(at - answer for at, answer in zip(sorted(came), sorted(answered)))
    check(soonest <= latest, f"{(soonest - latest) / 1e6} ms off the plan")
    return latest


def quarters(times):
    """How many in each half second."""
    return [sum(1 for t in times if k * 500_000_000 <= t < (k + 1) * 500_000_000) for k in range(4)]


@scenario(quick=True)
def a_bench_ramps(box):
    log = box.path("arrivals")
    url = serve(box, "llm", "--arrivals", log)
    ramp = ["--load", "rate={from: 20/s, to: 180/s}", "--load", "arrivals=ramp", "--load", "concurrency=256"]
    seen, came = [], []
    for seed in ("7", "7", "8"):
        run = json.loads(box.run(*ALONE, "-p", "openai-chat", "-u", url, *ramp, "--for", "2s", "--warmup", "0s", "--seed",
                                 seed, "--json", "--records", "r.jsonl", code=0).out)
        with open(box.path("r.jsonl"), encoding="utf-8") as file:
            lines = [json.loads(line)["metadata"] for line in file]
        end = time.monotonic() + 30
        while len(arrivals(log)) < len(came) + 1 + len(lines):  # it is written each half second; one came before all
            check(time.monotonic() < end, f"{len(arrivals(log))} in the service's log")
            time.sleep(0.05)
        new, came = arrivals(log)[len(came) + 1:], arrivals(log)
        meant = sorted(m["credit_issued_ns"] for m in lines)
        began(new, meant, [m["request_ack_ns"] for m in lines])
        counts = quarters([at - meant[0] for at in meant])
        check(run["load"]["arrivals"] == "ramp" and run["answered"] == len(lines), run["load"])
        check(counts[0] < counts[1] < counts[2] < counts[3] and counts[0] < 40 and counts[3] > 50, counts)
        seen.append([at - meant[0] for at in meant])
    check(seen[0] == seen[1] != seen[2], "the same seed is the same plan, another is not")


@scenario(quick=True)
def a_ramp_rises_as_planned(box):
    """From 20/s to 180/s: in the plan, in what was sent, and in the service's own log of what came."""
    log = box.path("arrivals")
    box.study(llm=box.fake("llm", "--arrivals", log), measure={"window": "2s"},
              load={"llm": {"rate": {"from": "20/s", "to": "180/s"}, "arrivals": "ramp", "concurrency": 256}})
    plan = planned(box)["llm"]
    box.run("run", box.file, code=0)
    box.expect(1, "ok")
    rows = sent(box, "llm")
    same_times(plan, rows, "ramp")
    # 20 in the first quarter, 80 in the last, 200 altogether; this seed's are drawn once and for all.
    counts = quarters([p["intended_ns"] for p in plan])
    check(sum(counts) == len(plan) and 160 < len(plan) < 240, counts)
    check(8 <= counts[0] <= 34 and 58 <= counts[3] <= 104 and counts[0] < counts[1] < counts[2] < counts[3], counts)
    # The log's last are the window's.
    came = arrivals(log)[-len(rows):]
    meant = [r["intended_ns"] for r in rows]
    zero = began(came, meant, [r["first_byte_ns"] for r in rows]) + min(meant) - plan[0]["intended_ns"]
    log_counts = quarters([at - zero for at in came])
    check(log_counts[0] <= counts[0] and sum(log_counts[:2]) <= sum(counts[:2]), f"{log_counts}, planned {counts}")
    # Another seed is another plan of the same ramp.
    study = json.load(open(box.file, encoding="utf-8"))
    study["seed"] = 4711
    box.write("study.yaml", json.dumps(study))
    check([p["intended_ns"] for p in planned(box)["llm"]] != [p["intended_ns"] for p in plan], "the seed changes nothing")


@scenario(quick=True)
def prompts_share_their_beginnings(box):
    """A service with a prefix cache answers sooner whatever begins as an earlier prompt did, and only that."""
    log = box.path("served")
    url = serve(box, "llm", "--latency-per-prompt-token", "1ms", "--prefix-cache", "--served", log)
    asked = 0

    def bench(*more):
        """What each of ten requests cost the service by its plan, and took from spica's plan, in ms: the words
        that were new."""
        nonlocal asked
        box.run(*ALONE, "-p", "openai-chat", "-u", url, "-n", "10", "--load", "max_tokens=1", "--seed", "3", "--json",
                "--records", "r.jsonl", *more, code=0)
        with open(box.path("r.jsonl"), encoding="utf-8") as file:
            lines = sorted(map(json.loads, file), key=lambda line: line["metadata"]["session_num"])
        took = [line["metrics"]["effective_time_to_first_token"]["value"] for line in lines]
        asked += 11  # one before all others
        end = time.monotonic() + 30
        while True:  # it is written each half second
            with open(log, encoding="utf-8") as file:
                served = sorted(tuple(map(int, line.split())) for line in file)
            if len(served) == asked:
                break
            check(time.monotonic() < end, f"{len(served)} of {asked} answers in the service's log")
            time.sleep(0.05)
        cost = [(sent - late - started) / 1e6 for _, _, _, started, sent, _, late, _ in served[-10:]]
        check(all(t >= c for t, c in zip(took, cost)), f"{took} for {cost}")
        return cost, took

    def whole(cost):
        return sum(1 for ms in cost if ms > 150)

    shared = ["--load", "prefixes={count: 2, tokens: 320}", "--load", "prompt_tokens=16"]
    cost, took = bench(*shared, "--text-salt", "one")
    # The one before all others has words of its own; then each beginning is new once.
    check(whole(cost) == 2 and max(c for c in cost if c <= 150) < 50, cost)
    check(min(took) < min(c for c in cost if c > 150), f"spica saw no difference: {took}")
    cost, _ = bench(*shared, "--text-salt", "one")
    check(whole(cost) == 0, f"the same words again: {cost}")
    cost, _ = bench(*shared, "--text-salt", "two")
    check(whole(cost) == 2, f"words of another salt: {cost}")
    cost, _ = bench("--load", "prompt_tokens=320", "--text-salt", "three")
    check(whole(cost) == 10, f"nothing in common: {cost}")


@scenario()
def made_up_prompts_and_thinking_clients(box):
    box.write("lengths.txt", "5\n9\n")
    box.study(
        llm=box.fake("llm", "--latency", "5ms"),
        load={"llm": {"prompt_tokens": {"median": 60, "p95": 200}, "output_tokens":
                      {"file": "lengths.txt"}, "prefixes": {"count": 3, "tokens": 20},
                      "think": {"from": "10ms", "to": "60ms"}, "concurrency": 4}})
    study = json.load(open(box.file, encoding="utf-8"))
    for key in ("prompts", "max_tokens"):
        del study["load"]["llm"][key]
    box.write("study.yaml", json.dumps(study))
    plan = planned(box)["llm"]
    check(len(plan) == 4 and all(5 <= p["output_tokens"] <= 9 for p in plan), plan)
    box.run("run", box.file, code=0)
    box.expect(1, "ok")
    rows = sent(box, "llm")
    check({r["tokens"] for r in rows} == {5, 9}, [r["tokens"] for r in rows])
    # Four clients that think 35 ms on average and wait 5 ms: far fewer than without thinking.
    check(20 < len(rows) < 160, f"{len(rows)} requests")


@scenario(quick=True)
def a_mix_holds_its_shares(box):
    box.prompts("chat.jsonl", count=5)
    box.write("code.jsonl", json.dumps({"prompt": "Write code.", "max_tokens": 3}) + "\n")
    box.study(llm=box.fake("llm"), measure={"window": "1s"},
              load={"llm": {"prompts": {"chat.jsonl": 3, "code.jsonl": 1}, "rate": "100/s",
                            "arrivals": "constant", "concurrency": 64}})
    study = json.load(open(box.file, encoding="utf-8"))
    del study["load"]["llm"]["max_tokens"]
    box.write("study.yaml", json.dumps(study))
    box.run("run", box.file, code=0)
    rows = sent(box, "llm")
    tokens = [r["tokens"] for r in rows]
    check(len(rows) == 100 and tokens.count(3) == 25 and tokens.count(8) == 75, tokens)


if __name__ == "__main__":
    main(__name__)
