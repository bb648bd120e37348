"""Shapes of a load, end to end: what `check --plan` says before is what the database holds after."""

import json

from harness import check, main, scenario


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
