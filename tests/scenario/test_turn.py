"""Voice turns end to end: what is heard is asked, and the whole has a time and errors of its own."""

import json
import os

from harness import check, main, scenario


def chain(box, stt, llm, **parts):
    """A study in which llm is asked what stt has heard, and tts, if there is one, speaks the answer."""
    study = box.study(stt=stt, llm=llm, load={"stt": {"rate": "20/s", "concurrency": 64}}, **parts)
    study["load"]["llm"] = {"after": "stt", "max_tokens": 8, "timeout": "10s"}
    if "tts" in parts:
        study["load"]["tts"] = {"after": "llm", "timeout": "10s"}
    box.write("study.yaml", json.dumps(study, indent=1) + "\n")


@scenario(quick=True)
def a_turn_is_the_sum_of_its_steps(box):
    chain(box, box.fake("stt", "--latency", "20ms"), box.fake("llm", "--latency", "30ms"),
          goal={"optimise": {"llm.turn.p50": {"good": "10ms", "bad": "2s"}},
                "require": ["llm.turn_errors == 0"]})
    box.run("run", box.file, code=0)
    box.expect(1, "ok")
    stt = {r["sequence"]: r for r in box.requests(1, "stt")}
    llm = {r["sequence"]: r for r in box.requests(1, "llm")}
    check(stt and stt.keys() == llm.keys(), f"{len(stt)} heard, {len(llm)} asked")
    for number, asked in llm.items():
        heard = stt[number]
        check(asked["intended_ns"] == heard["done_ns"], (heard, asked))
        check(asked["turn_start_ns"] == heard["intended_ns"], (heard, asked))
        check(asked["part"] == heard["part"], (heard, asked))
        check(heard["turn_start_ns"] is None, heard)
    check(box.metric(1, "llm", "turn", "min") >= 0.05, "a turn shorter than its servers' waits")
    check(box.metric(1, "llm", "turn_errors") == 0, "a broken turn")


@scenario()
def a_turn_is_told_step_by_step(box):
    chain(box, box.fake("stt", "--latency", "20ms"),
          box.fake("llm", "--latency", "{wait}", knobs={"wait": ["5ms", "60ms"]}), tts=box.fake("tts"),
          goal={"optimise": {"tts.turn.p50": {"good": "10ms", "bad": "2s"}}})
    run = box.run("run", box.file, code=0)
    check("Voice turn" in run.out and "whole answer" in run.out, run.out)
    with open(os.path.join(box.results, "report.md"), encoding="utf-8") as file:
        report = file.read()
    check("## The voice turn" in report and "→ tts: first sound" in report, report[:4000])


@scenario()
def steps_that_come_out_of_order_are_not_slow(box):
    # expected: every answer of llm is quick, whenever what it follows came; both windows are whole.
    # before: the steps after slow ones left holes in the numbers, which were taken for slow requests
    chain(box, box.fake("stt", "--latency", "20ms", "--every", "2:slow:1500ms"),
          box.fake("llm", "--latency", "5ms", "--tokens", "{tokens}", knobs={"tokens": [3, 4]}),
          measure={"window": "4s"},
          goal={"optimise": {"llm.latency.p50": {"good": "1ms", "bad": "10s"}},
                "require": ["llm.ttft.p95 < 700ms"]})
    box.run("run", box.file, code=0)
    for trial in box.trials():
        box.expect(trial["number"], "ok")
        check(trial["window_s"] > 3.9, f"left after {trial['window_s']} s")


@scenario(quick=True)
def a_turn_that_breaks_is_nobodys_time(box):
    chain(box, box.fake("stt", "--every", "5:http:500"), box.fake("llm"))
    box.run("run", box.file)
    heard, asked = box.requests(1, "stt"), box.requests(1, "llm")
    broken = [r for r in heard if r["error"] is not None and r["part"] == 1]
    check(broken and len(asked) == sum(r["error"] is None for r in heard), (len(heard), len(asked)))
    check(all(r["error"] is None for r in asked), "what failed before is no error of the llm")
    check(box.metric(1, "llm", "turn_errors") == len(broken), "each broken turn counts once")
    check(box.metric(1, "llm", "errors") == 0, "errors of the llm")


@scenario(quick=True)
def a_key_comes_from_the_environment_and_goes_nowhere_else(box):
    secret = "sk-scenario-0123456789abcdef"
    study = box.study(llm=box.fake("llm"), load={"llm": {"api_key_env": "SPICA_TEST_KEY"}})
    run = box.run("run", box.file, code=2)
    check("load.llm.api_key_env" in run.err and "SPICA_TEST_KEY is not set" in run.err, run.err)
    check(study["load"]["llm"]["api_key_env"] == "SPICA_TEST_KEY", study)
    run = box.run("run", box.file, code=2, env={"SPICA_TEST_KEY": secret + "\r\nX-Evil: 1"})
    check(secret not in run.out + run.err and "no header takes" in run.err, run.err)
    run = box.run("run", box.file, code=0, env={"SPICA_TEST_KEY": secret})
    check(secret not in run.out + run.err, "the key was printed")
    box.expect(1, "ok")
    for folder, _, names in os.walk(box.results):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                check(secret.encode() not in file.read(), f"the key stands in {name}")


if __name__ == "__main__":
    main(__name__)
