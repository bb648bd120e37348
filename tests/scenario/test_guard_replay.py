"""Recordings judged again: every decision with its numbers, the very ones that were made live, and one
clear line for what is no recording."""

import json
import os
import signal
import subprocess

from harness import FAKE, check, main, scenario
from production import free_ports
from systemd_box import wait_until

STUDY = """\
study: voice
services:
  stt: {command: [sh, "{port}", "{model}"], knobs: {model: [base, tiny]}, protocol: openai-chat}
  llm: {command: [sh, "{port}"], protocol: openai-chat}
goal: {optimise: {stt.latency.p95: {good: 100ms, bad: 1s}}}
load: {stt: {prompts: prompts.jsonl, rate: 1/s}, llm: {prompts: prompts.jsonl, rate: 1/s}}
baseline: none
guard:
  watch: {stt: {unit: whisper.service, port: 8090, metrics: /metrics}, llm: {port: 8000, metrics: /metrics}}
  rules:
    - {name: slow speech, when: stt.latency.p95 > 300ms, for: 30s, until: stt.latency.p95 < 250ms, do: [notify, restart]}
    - {name: failing, when: llm.errors > 5%, for: 5s, do: restudy}
  act: {notify: {per_hour: 20}, restart: }
"""


def tick(second, latency, events=(), **more):
    values = {f"{s}.latency.p50": [0.1, 57, "requests"] for s in ("stt", "llm")}
    values.update({"stt.latency.p95": [latency, 57, "requests"], "llm.errors": [0, 57, "engine"],
                   "stt.up": 1, "llm.up": 1, **more})
    line = {"t": 1764000000 + second, "m": (1000 + second) * 10**9, "v": values}
    if events:
        line["e"] = [{"k": kind, "s": service, "x": text} for kind, service, text in events]
    return json.dumps(line) + "\n"


def recording(box):
    """Ten minutes: slow from 100 to 199 s, a restart at 300 s, errors from 400 to 409 s."""
    lines = ['{"begins":1}\n']
    for second in range(600):
        events = [("restarted", "stt", "pid 7 is 9 now")] if second == 300 else []
        errors = {"llm.errors": [0.2, 57, "engine"]} if 400 <= second < 410 else {}
        lines.append(tick(second, 0.412 if 100 <= second < 200 else 0.2, events, **errors))
    box.write("study.yaml", STUDY)
    box.write("prompts.jsonl", '{"prompt": "a"}\n')
    box.write("day.jsonl", "".join(lines))


@scenario(quick=True)
def every_decision_is_told(box):
    recording(box)
    result = box.run("guard", box.path("study.yaml"), "--replay", box.path("day.jsonl"), "--json", code=0)
    told = [json.loads(line) for line in result.out.splitlines()]
    seen = [(round(d["t"] - 1764000000), d["rule"], d["to"], d["actions"], d["withheld"]) for d in told]
    check(seen == [
        (130, "slow speech", "alarm", ["notify", "restart"], []),
        (190, "slow speech", "alarm", ["restart"], []),
        (230, "slow speech", "fine", ["notify"], []),
        (300, "restarted", "alarm", ["notify"], []),
        (360, "restarted", "fine", [], []),
        (405, "failing", "alarm", [], ["restudy"]),
        (415, "failing", "fine", [], []),
    ], "\n".join(map(str, seen)))
    check(told[0]["text"] == "stt.latency.p95 412 ms of 57 requests > 300 ms for 30.0 s: slow speech; notify (1 of 20 "
          "this hour), restart (1 of 2 this hour); over when stt.latency.p95 < 250ms for 30.0 s", told[0])
    text = box.run("guard", box.path("study.yaml"), "--replay", box.path("day.jsonl"), code=0)
    check(text.out.splitlines()[-1] == "600 ticks over 9 min 59 s: 7 decisions, 3 alarms", text)
    check(len(text.out.splitlines()) == 8, text)
    for decision in told:
        check(decision["text"] in text.out, decision["text"])


def decisions(text):
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if line["is"] == "decision"]


@scenario(quick=True)
def as_it_was_live(box):
    """A service is watched, dies, is slow, dies again; what was recorded is judged again."""
    port, = free_ports(1)
    rules = [{"name": "too slow", "when": "llm.latency.p50 > 200ms", "for": "1s", "at_least": 3, "do": "notify"},
             {"name": "away", "when": "llm.up == 0", "do": ["notify", "rollback"], "cool_down": "1h"}]
    box.study(llm=box.fake("llm"), production={"llm": {"command": {"apply": ["true"], "rollback": ["true"]}, "port": port}},
              guard={"every": "200ms", "window": "6s", "probe": "5/s", "probe_within": "2s",
                     "watch": {"llm": {"port": port}}, "rules": rules, "act": {"notify": {"per_hour": 3}}})

    def serve(latency):
        return subprocess.Popen([FAKE, "--kind", "llm", "--port", str(port), "--life", "120s", "--latency", latency],
                                stdin=subprocess.DEVNULL)

    service = serve("10ms")
    guard = box.start("guard", box.file, "--json")

    def story():
        return f"{guard.output()}\n{open(guard._err, encoding='utf-8').read()}"

    def told(rule, state):
        return [d for d in decisions(guard.output()) if (d["rule"], d["to"]) == (rule, state)]

    def recorded():
        path = box.path("sc.spica.guard.jsonl")
        return os.path.exists(path) and '"llm.up":1' in open(path, encoding="utf-8").read()

    try:
        wait_until(recorded, story)
        for latency in ("400ms", "10ms"):
            before = len(told("away", "alarm"))
            service.kill()
            service.wait()
            wait_until(lambda: len(told("away", "alarm")) > before, story)
            service = serve(latency)
            wait_until(lambda: told("too slow", "alarm") if latency == "400ms" else told("too slow", "fine"), story)
    finally:
        service.kill()
        service.wait()
        guard.signal(signal.SIGTERM)
    live = decisions(guard.wait(30).out)
    again = decisions(box.run("guard", box.file, "--json", "--replay", box.path("sc.spica.guard.jsonl"), code=0).out)
    check(len(live) >= 5, live)
    check(again == live, "\n".join(f"{a}\n  {b}" for a, b in zip(live, again) if a != b) or (live, again))


@scenario(quick=True)
def what_was_refused(box):
    """One restart an hour. The first is refused (there is no such unit) and does not count, so the second may
    be; so it is in the replay."""
    rules = [{"name": f"missed {name}", "when": f"{name}.up == 0 or cpu.memory.free > 1MiB", "for": wait, "do": "restart"}
             for name, wait in (("llm", "1s"), ("stt", "6s"))]
    box.study(llm=box.fake("llm"), stt=box.fake("stt"),
              guard={"every": "200ms", "watch": {name: {"unit": "gone.service", "user": True} for name in ("llm", "stt")},
                     "rules": rules, "act": {"restart": {"per_hour": 1}}})
    guard = box.start("guard", box.file, "--json")

    def live():
        return decisions(guard.output())

    try:
        wait_until(lambda: any(d["rule"] == "missed stt" and d["to"] == "alarm" for d in live()),
                   lambda: f"{guard.output()}\n{open(guard._err, encoding='utf-8').read()}")
    finally:
        guard.signal(signal.SIGTERM)
    told = decisions(guard.wait(30).out)
    recording_ = box.path("sc.spica.guard.jsonl")
    check('"r":[{"a":"restart","s":"llm"}]' in open(recording_, encoding="utf-8").read(), told)
    check([d["rule"] for d in told if d["actions"] == ["restart"]] == ["missed llm", "missed stt"], told)
    again = decisions(box.run("guard", box.file, "--json", "--replay", recording_, code=0).out)
    check(again == told, "\n".join(f"{a}\n  {b}" for a, b in zip(told, again) if a != b) or (told, again))


@scenario(quick=True)
def what_is_no_recording(box):
    recording(box)
    study = box.path("study.yaml")
    day = open(box.path("day.jsonl")).read()
    box.write("cut.jsonl", day[:-20])
    check("599 ticks" in box.run("guard", study, "--replay", box.path("cut.jsonl"), code=0).out, "cut")
    for name, text, says in (("bad.jsonl", day + "nonsense\n", ":602: column 1: a tick begins with"),
                             ("odd.jsonl", '{"t":1,"m":-1}\n', ":1: column 12: a whole number")):
        box.write(name, text)
        result = box.run("guard", study, "--replay", box.path(name), code=2)
        check(says in result.err, result)
    result = box.run("guard", study, "--replay", box.path("none.jsonl"), code=2, lines=1)
    check("none.jsonl: No such file" in result.err, result)
    for options, says in ((("--replay", "x", "--once"), "one or the other"),
                          (("--replay", "x", "--dry-run"), "does nothing to the machine anyway")):
        check(says in box.run("guard", study, *options, code=2, lines=1).err, options)
    box.write("named.yaml", STUDY.replace("name: failing", "name: restarted"))
    for args in (("guard", box.path("named.yaml"), "--replay", box.path("day.jsonl")),
                 ("check", box.path("named.yaml"))):
        result = box.run(*args, code=2, lines=1)
        check('"restarted" is an alarm that guard has itself' in result.err, result)
    box.write("plain.yaml", STUDY[:STUDY.index("guard:")])
    result = box.run("guard", box.path("plain.yaml"), "--replay", box.path("day.jsonl"), code=2, lines=1)
    check('has no "guard"' in result.err, result)


@scenario(quick=True)
def check_shows_it(box):
    recording(box)
    out = box.run("check", box.path("study.yaml"), code=0).out
    for line in ("stt: whisper.service, port 8090, a probe every 10.0 s", "llm: whoever listens, port 8000",
                 "slow speech: when stt.latency.p95 > 300ms for 30.0 s, until stt.latency.p95 < 250ms: notify, restart",
                 "failing: when llm.errors > 5% for 5.00 s: restudy (not named under act: only said)",
                 "may do: notify (20 an hour), restart (2 an hour)"):
        check(line in out, f"{line}\n{out}")
    check("  recording: 64.0 MiB keep the last " in out and " a tick when every figure is known)" in out, out)
    # Measured, once there is something to measure; a whole day needs no word.
    box.write("voice.spica.guard.jsonl", '{"begins":1}\n' + tick(1, 0.2) * 100)
    out = box.run("check", box.path("study.yaml"), code=0).out
    check("recording:" not in out or " a tick, measured over the last 100); a day at any time takes " in out, out)
    box.write("study.yaml", STUDY.replace("guard:\n", "guard:\n  record: 1MiB\n"))
    out = box.run("check", box.path("study.yaml"), code=0).out
    check("  recording: 1,024 KiB keep the last " in out or "  recording: 1.00 MiB keep the last " in out, out)
    check(" a tick, measured over the last 100); a day at any time takes " in out, out)


if __name__ == "__main__":
    main(__name__)
