"""Each protocol against a service that speaks it: what is measured of a right answer, and what a wrong
one is called."""

import json
import os

from harness import FAKE, check, main, scenario
from test_bench import ALONE, serve


def cases(box, name, table, kind=None, load=None, **keys):
    """One study whose candidates are the table's rows: label -> (the fake's options, expected verdict,
    what is said). The first request, the probe, is answered as usual."""
    for label, (options, _, _) in table.items():
        box.write(f"case-{label}", "\n".join(["--latency 10ms"] + options) + "\n")
    service = box.fake(kind or name, "--script", box.path("case-{case}"), knobs={"case": list(table)},
                       **keys)
    box.study(load={name: load or {}}, **{name: service})
    box.run("run", box.file, code=3 if all(v != "ok" for _, v, _ in table.values()) else 0)
    for label, (_, verdict, says) in table.items():
        found = [t for t in box.trials() if f"{name}.case={label}" in t["candidate"].split()]
        check(found, f"{label}: no trial\n{box.story()}")
        box.expect(found[0]["number"], verdict, service=None if verdict == "ok" else name, says=says)


def unknown(box, service, *metrics):
    for metric, stat in metrics:
        value = box.metric(1, service, metric, stat)
        check(value is None, f"{service}.{metric}.{stat} is {value}")


def known(box, service, *metrics):
    for metric, stat in metrics:
        value = box.metric(1, service, metric, stat)
        check(value is not None and value > 0, f"{service}.{metric}.{stat} is {value}")


@scenario(quick=True)
def every_protocol_is_measured(box):
    box.study(chat=box.fake("llm", "--latency-per-token", "2ms", protocol="ollama-chat"),
              text=box.fake("llm", "--latency-per-token", "2ms", protocol="ollama-generate"),
              tts=box.fake("tts", "--latency", "20ms", "--latency-per-token", "5ms", "--role-early"),
              vectors=box.fake("embeddings", "--latency", "5ms"),
              tensors=box.fake("kserve", "--latency", "5ms"),
              stt=box.fake("stt", "--latency", "20ms", "--latency-per-token", "5ms"),
              load={"chat": {"model": "any"}, "text": {"model": "any"},
                    "vectors": {"batch": 3}, "tensors": {"model": "scorer", "prompts": "tensors.jsonl"},
                    "stt": {"stream": "true"}},
              goal={"optimise": {"tts.ttft.p50": {"good": "1ms", "bad": "10s"},
                                 "stt.ttft.p50": {"good": "1ms", "bad": "10s"}},
                    "require": ["tts.rtf.p50 < 1", "stt.wer < 1%", "chat.errors == 0", "text.errors == 0",
                                "tts.errors == 0", "vectors.errors == 0", "tensors.errors == 0"]})
    box.write("tensors.jsonl", json.dumps({"inputs": [
        {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 1]}]}) + "\n" +
        json.dumps({"prompt": "a text"}) + "\n")
    box.run("run", box.file, code=0)
    box.expect(1, "ok")
    for service in ("chat", "text"):
        known(box, service, ("ttft", "p50"), ("itl", "p50"), ("tokens_per_s", ""))
        tokens = [(r["tokens"], r["tokens_exact"]) for r in box.requests(1, service)
                  if r["error"] is None]
        check(tokens and all(pair == (8, 1) for pair in tokens), tokens[:3])
    known(box, "tts", ("ttft", "p50"), ("rtf", "p50"), ("latency", "p50"))
    known(box, "stt", ("ttft", "p50"), ("itl", "p50"), ("rtf", "p50"))
    unknown(box, "tts", ("itl", "p50"), ("wer", ""), ("tokens_per_s", ""))
    for service in ("vectors", "tensors"):
        known(box, service, ("latency", "p50"), ("requests_per_s", ""))
        unknown(box, service, ("ttft", "p50"), ("rtf", "p50"), ("wer", ""))
    # "Say something about number 0." is five words of 0.1 s each; the header came long before them.
    for r in box.requests(1, "tts"):
        if r["error"] is None:
            check(abs(r["audio_s"] - 0.5) < 1e-9, r)
            check(r["first_byte_ns"] < r["first_token_ns"] <= r["last_token_ns"], r)


@scenario(quick=True)
def other_forms_of_text_and_speech(box):
    """Those that no study here uses: what was said is what is heard, and tokens come one after the other."""
    def bench(*args):
        return json.loads(box.run(*ALONE, *args, "-n", "6", "--json", code=0).out)
    url = serve(box, "llm", "--latency", "10ms", "--latency-per-token", "2ms", "--tokens", "8")
    run = bench("-p", "openai-completions", "-u", url)
    check(run["answered"] == 6 and run["metrics"]["ttft"]["count"] == 6 and run["metrics"]["itl"]["count"] == 42, run)
    url = serve(box, "stt", "--latency", "10ms")
    for protocol, *options in (["whisper-inference"], ["openai-transcriptions", "-o", "response_format=verbose_json"],
                               ["openai-transcriptions", "-o", "response_format=text"]):
        run = bench("-p", protocol, "-u", url, "--corpus", "speech", *options)
        check(run["answered"] == 6 and run["metrics"]["wer"]["value"] == 0 and run["metrics"]["rtf"]["count"] == 6, run)


@scenario(quick=True)
def what_is_wrong_with_an_ollama_answer(box):
    # expected: ollama_8258, an error line under status 200 is a failure; partial text is not graded
    cases(box, "llm", {
        "fine": ([], "ok", None),
        "line": (["--from 2:sse:data-error"], "errors", "server_error"),
        "first": (["--from 2:sse:err-field"], "errors", "server_error"),
        "cut": (["--from 2:sse:truncated"], "errors", "truncated"),
        "half": (["--from 2:sse:half-json"], "errors", "truncated"),
        "undone": (["--from 2:sse:no-done"], "errors", "truncated"),
        "empty": (["--from 2:empty"], "bad_answers", "empty"),
        "page": (["--from 2:garbage"], "bad_answers", "not what the protocol says"),
        "bang": (["--from 2:bang"], "bad_answers", "only repeat"),
        "missing": (['--from 2:http:404:"model not found"'], "errors", "404"),
    }, protocol="ollama-chat", load={"model": "any"})


@scenario(quick=True)
def what_is_wrong_with_sound(box):
    cases(box, "tts", {
        "fine": ([], "ok", None),
        "error": (["--from 2:sse:err-field"], "errors", "server_error"),
        "header": (["--from 2:empty"], "bad_answers", "empty"),
        "silence": (["--from 2:nonsense"], "bad_answers", "empty"),
        "page": (["--from 2:garbage"], "bad_answers", "not what the protocol says"),
        "cut": (["--from 2:close-mid"], "errors", "closed"),
    })


@scenario(quick=True)
def what_is_wrong_with_vectors(box):
    cases(box, "embeddings", {
        "fine": ([], "ok", None),
        "nan": (["--from 2:nonsense"], "bad_answers", "not what the protocol says"),
        "zeros": (["--from 2:bang"], "bad_answers", "not what the protocol says"),
        "none": (["--from 2:empty"], "bad_answers", "not what the protocol says"),
        "page": (["--from 2:garbage"], "bad_answers", "not what the protocol says"),
        "busy": (["--from 2:http:503:busy"], "errors", "503"),
    }, load={"batch": 2})


@scenario(quick=True)
def a_model_that_nobody_names(box):
    # Before: the first trial found it out, after everything had been started.
    box.study(tensors=box.fake("kserve"), load={"tensors": {"rate": "5/s"}})
    result = box.run("check", box.file, code=2)
    check("load.tensors: kserve needs \"model\", the name to ask for" in result.err, str(result))
    # An engine's own option may name it.
    for keys, says in (({}, "service llm: ollama-generate needs the name of a model: give load.llm.model"),
                       ({"alias": "mine"}, "")):
        box.study(llm=box.disguised("llama-server", protocol="ollama-generate", **keys),
                  load={"llm": {"rate": "5/s"}})
        result = box.run("prepare", box.file, code=2 if says else 0, lines=-1)
        check(says in result.text, str(result))


@scenario()
def what_is_wrong_with_tensors(box):
    cases(box, "kserve", {
        "fine": ([], "ok", None),
        "nan": (["--from 2:nonsense"], "bad_answers", "not what the protocol says"),
        "none": (["--from 2:empty"], "bad_answers", "empty"),
        "page": (["--from 2:garbage"], "bad_answers", "not what the protocol says"),
    }, load={"model": "m"})


@scenario()
def what_is_wrong_with_binary_tensors(box):
    cases(box, "kserve", {
        "fine": ([], "ok", None),
        "nan": (["--from 2:nonsense"], "bad_answers", "not what the protocol says"),
        "none": (["--from 2:empty"], "bad_answers", "empty"),
        "page": (["--from 2:garbage"], "bad_answers", "not what the protocol says"),
    }, load={"model": "m", "binary": True})


@scenario()
def what_is_wrong_with_a_streamed_transcript(box):
    cases(box, "stt", {
        "fine": ([], "ok", None),
        "crlf": (["--sse crlf,ping"], "ok", None),
        "chunks": (["--sse chunks"], "ok", None),
        "chunks-cut": (["--sse chunks", "--from 2:sse:truncated"], "errors", "truncated"),
        "error": (["--from 2:sse:data-error"], "errors", "server_error"),
        "cut": (["--from 2:sse:truncated"], "errors", "truncated"),
        # expected: whisper_cpp_2037, speech that is repeated where the reference does not
        "loop": (["--from 2:repeat:40"], "bad_answers", "only repeat"),
        "words": (["--from 2:say:one two three four five six seven eight nine ten"], "bad_answers", "word error rate"),
    }, load={"stream": "true"})


@scenario(quick=True)
def a_reload_is_no_sample(box):
    # expected: intelowl_3855, a model that left and came back is not the answer's latency
    # before: 1.5 s of load as the slowest answer
    box.study(llm=box.fake("llm", "--latency", "5ms", "--at", "9:reload:1500ms",
                           protocol="ollama-generate"),
              load={"llm": {"model": "any"}}, measure={"window": "3s"},
              goal={"optimise": {"llm.latency.p50": {"good": "1ms", "bad": "10s"}},
                    "require": ["llm.errors == 0"]})
    box.run("run", box.file, code=0)
    box.expect(1, "ok")
    rows = [r for r in box.requests(1, "llm") if r["part"] == 1]
    reloads = [r for r in rows if r["error"] == "reload"]
    check(len(reloads) == 1 and reloads[0]["done_ns"] - reloads[0]["intended_ns"] > 1.5e9, reloads)
    times = [(r["done_ns"] - r["intended_ns"]) / 1e9 for r in rows if r["error"] is None]
    check(abs(box.metric(1, "llm", "latency", "max") - max(times)) < 1e-6, max(times))
    check(box.metric(1, "llm", "errors") == 0, "a reload is no failure")


@scenario()
def a_model_that_is_thrown_out_all_the_time(box):
    box.study(llm=box.fake("llm", "--latency", "5ms", "--every", "3:reload:600ms", protocol="ollama-chat"),
              load={"llm": {"model": "any"}}, measure={"window": "2s"})
    box.run("run", box.file, lines=-1)
    box.expect(1, "contended", service="llm", says="loaded its model anew for")


@scenario(quick=True)
def the_engine_ollama(box):
    """Without a word about the protocol it is asked through /api/chat, where a reload shows."""
    program = os.path.join(box.bin, "ollama")
    os.symlink(FAKE, program)
    script = box.write("script-ollama", "--life 300s\n--latency 5ms\n--at 9:reload:1500ms\n")
    box.study(llm={"engine": "ollama", "program": program, "model": "fake-model",
                   "environment": {"FAKE_SERVICE_SCRIPT": script},
                   "stop_grace": "5s", "ready": {"within": "20s"}}, measure={"window": "3s"})
    box.run("run", box.file, code=0)
    box.expect(1, "ok")
    known(box, "llm", ("ttft", "p50"), ("tokens_per_s", ""))
    reloads = [r for r in box.requests(1, "llm") if r["error"] == "reload"]
    check(len(reloads) == 1, "expected: a cold load is told from a slow answer; before: openai-chat can't")


if __name__ == "__main__":
    main(__name__)
