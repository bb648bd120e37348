#!/usr/bin/env python3
"""Real servers, real weights, real speech: llama-server beside whisper-server, beside
faster-whisper-server and beside wyoming-faster-whisper, for a few seconds each; what else these servers
speak, a voice turn through two of them, and mlserver for KServe.

What the fakes can't show: that the engines' flags, ready paths, protocols and transcripts are those of
the programs which people run. tools/setup builds and fetches what this needs; where it is missing the
scenario is skipped with the reason, unless SPICA_SKIP_IS_FAILURE is set (as in CI).
"""

import json
import os
import shutil
import subprocess
import time
import urllib.request

from harness import ROOT, Skip, check, main, scenario
from production import free_ports, write_study
from systemd_box import Systemd

DEMO = os.path.join(ROOT, "build/demo")
NEEDED = ["bin/llama-server", "bin/whisper-server", "bin/faster-whisper-server",
          "models/smollm2-135m-q4_1.gguf", "models/ggml-tiny.en.bin", "models/ct2-tiny.en",
          "speech-real/manifest.jsonl", "prompts.jsonl"]


def need_the_demo():
    need(*NEEDED)


def need(*names):
    missing = [name for name in names if not os.path.exists(os.path.join(DEMO, name))]
    if missing and os.environ.get("SPICA_SKIP_IS_FAILURE"):
        raise AssertionError(f"not set up (tools/setup all): {', '.join(missing)}")
    if missing:
        raise Skip(f"not set up (tools/setup all): {', '.join(missing)}")


def demo(*parts):
    return os.path.join(DEMO, *parts)


def llm():
    return {"engine": "llama-server", "program": demo("bin/llama-server"),
            "model": demo("models/smollm2-135m-q4_1.gguf"), "threads": 1}


def run_beside_the_llm(box, stt, **load):
    box.study(stt=dict(stt, role="stt"), llm=llm(),
              load={"stt": dict(load, corpus=demo("speech-real"), timeout="60s"),
                    "llm": {"prompts": demo("prompts.jsonl"), "timeout": "60s", "max_tokens": 16}},
              measure={"warmup": "1s", "window": "8s", "drain": "60s", "probe_within": "60s"},
              goal={"optimise": {"stt.latency.p50": {"good": "100ms", "bad": "60s"},
                                 "stt.wer": {"good": "5%", "bad": "90%"},
                                 "llm.ttft.p50": {"good": "10ms", "bad": "60s"}},
                    "require": ["stt.errors == 0", "llm.errors == 0"]})
    box.run("prepare", box.file, code=0)
    box.run("run", box.file, code=0, deadline=300)
    trial = box.expect(1, "ok")
    services = box.services(1)
    check(services["stt"]["placement"] == "cpu", f"placement {services['stt']['placement']}")
    check(services["llm"]["version"], "llama-server's version is unknown")
    for name in ("stt", "llm"):
        # 30 MB is less than the smallest of these models: a server that holds its weights has more.
        check(services[name]["peak_memory_bytes"] > 30e6, f"{name} holds no model")
    wer = box.metric(1, "stt", "wer")
    check(wer is not None and wer < 0.3, f"word error rate {wer} of clear speech")
    tokens = [row["tokens"] for row in box.requests(1, "llm") if row["error"] is None]
    check(tokens and all(1 <= t <= 16 for t in tokens), f"tokens {tokens}")
    check(all(row["tokens_exact"] for row in box.requests(1, "llm")), "usage was not read")
    first = [row for row in box.requests(1, "llm") if row["first_token_ns"] is not None]
    check(all(r["intended_ns"] < r["first_token_ns"] <= r["done_ns"] for r in first), "token times")
    return trial


@scenario(alone=True)
def whisper_server_beside_llama_server(box):
    need_the_demo()
    run_beside_the_llm(box, {"engine": "whisper-server", "program": demo("bin/whisper-server"),
                             "model": demo("models/ggml-tiny.en.bin"), "threads": 1,
                             "language": "en"})


@scenario(alone=True)
def faster_whisper_server_beside_llama_server(box):
    need_the_demo()
    run_beside_the_llm(box, {"engine": "faster-whisper-server",
                             "program": demo("bin/faster-whisper-server"),
                             "model": demo("models/ct2-tiny.en"), "compute_type": "int8",
                             "threads": 1, "language": "en"})


@scenario(alone=True)
def wyoming_faster_whisper_beside_llama_server(box):
    """Wyoming over TCP, spoken to the program that Home Assistant's users run."""
    need_the_demo()
    need("bin/wyoming-faster-whisper")
    run_beside_the_llm(box, {"command": [
        demo("bin/wyoming-faster-whisper"), "--uri", "tcp://127.0.0.1:{port}",
        "--model", demo("models/ct2-tiny.en"), "--stt-library", "faster-whisper",
        "--language", "en", "--device", "cpu", "--compute-type", "int8", "--beam-size", "5",
        "--cpu-threads", "1", "--data-dir", "{dir}", "--local-files-only"],
        "protocol": "wyoming", "ready": {"within": "120s"}}, language="en")


def start_server(box, port, path, *command, **more):
    """A real server that answers at `path`; ended with the box."""
    popen = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             env=dict(box.env, **more.get("env", {})), cwd=box.folder)
    box.helpers.append(popen)
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                if answer.status == 200:
                    return popen
        except OSError:
            check(popen.poll() is None and time.monotonic() < end, f"{command[0]} is not ready")
            time.sleep(0.1)


def bench(box, port, protocol, *more, requests=3):
    """`spica bench --json` of a few requests, none of which failed."""
    run = json.loads(box.run("bench", "--workers", "1", "-p", protocol, "-u", f"http://127.0.0.1:{port}", "-n",
                             requests, "--json", *more, code=0, lines=-1, deadline=120).out)
    check(run["answered"] == requests and not run["errors"], run)
    return run["metrics"]


@scenario(alone=True)
def other_protocols_of_llama_server(box):
    """Completions, streamed and counted by its usage; vectors of one length from --embeddings."""
    need_the_demo()
    words = ["--host", "127.0.0.1", "-m", demo("models/smollm2-135m-q4_1.gguf"), "-t", "1"]
    port, vectors = free_ports(2)
    start_server(box, port, "/health", demo("bin/llama-server"), *words, "--port", port)
    seen = bench(box, port, "openai-completions", "--max-tokens", "8", "--records", "r.jsonl", "--prompt",
                 "Once upon a time there was a little")
    check(seen["ttft"]["p50"] and seen["itl"]["count"] > 0 and seen["tokens_per_s"]["value"] > 0, seen)
    with open(box.path("r.jsonl"), encoding="utf-8") as file:
        tokens = [json.loads(line)["metrics"]["output_sequence_length"]["value"] for line in file]
    check(all(1 <= n <= 8 for n in tokens), tokens)
    start_server(box, vectors, "/health", demo("bin/llama-server"), *words, "--port", vectors, "--embeddings",
                 "--pooling", "mean")
    check(bench(box, vectors, "openai-embeddings")["latency"]["count"] == 3, "no latency of vectors")


@scenario(alone=True)
def other_protocols_of_whisper_server(box):
    """Its own /inference, and the long form of a transcript."""
    need_the_demo()
    port, = free_ports(1)
    start_server(box, port, "/", demo("bin/whisper-server"), "--host", "127.0.0.1", "--port", port, "-m",
                 demo("models/ggml-tiny.en.bin"), "-t", "1")
    for more in ((), ("-o", "response_format=verbose_json")):
        seen = bench(box, port, "whisper-inference", "--corpus", demo("speech-real"), *more, requests=1)
        check(seen["wer"]["value"] < 0.5 and seen["rtf"]["count"] == 1, (more, seen))


@scenario(alone=True)
def a_voice_turn(box):
    """whisper-server, then llama-server with what it heard: a turn is at least as long as its parts."""
    need_the_demo()
    study = box.study(
              file=False, stt={"engine": "whisper-server", "program": demo("bin/whisper-server"), "role": "stt",
                   "model": demo("models/ggml-tiny.en.bin"), "threads": 1, "language": "en"}, llm=llm(),
              load={"stt": {"corpus": demo("speech-real"), "timeout": "60s"}},
              measure={"warmup": "0s", "window": "6s", "drain": "60s", "probe_within": "60s"},
              goal={"optimise": {"llm.turn.p50": {"good": "100ms", "bad": "60s"}}, "require": ["llm.turn_errors == 0"]})
    study["load"]["llm"] = {"after": "stt", "max_tokens": 8, "timeout": "60s"}
    write_study(box, study)
    box.run("run", box.file, code=0, deadline=200)
    box.expect(1, "ok")
    heard = {(r["session"], r["turn"], r["sequence"]): r for r in box.requests(1, "stt")}
    turns = [r for r in box.requests(1, "llm") if r["error"] is None and r["part"] == 1]
    check(turns and box.metric(1, "llm", "turn_errors") == 0, turns)
    by_start = {r["intended_ns"]: r for r in heard.values()}
    for turn in turns:
        said = by_start[turn["turn_start_ns"]]
        check(said["answer"].strip(), said)
        check(said["done_ns"] == turn["intended_ns"] < turn["first_token_ns"], (said, turn))
    check(box.metric(1, "llm", "turn", "min") > box.metric(1, "stt", "latency", "min"), "a turn shorter than its part")


ADDER = """from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

class Adder(MLModel):
    async def predict(self, payload):
        total = sum(NumpyCodec.decode_input(one) for one in payload.inputs)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("SUM", total)])
"""


@scenario(alone=True)
def a_kserve_server(box):
    """mlserver with a model that adds two tensors, asked in JSON. It does not know the binary form (1.7.1), and what
    spica then says of it is what the server said."""
    need("bin/mlserver")
    port, grpc, metrics = free_ports(3)
    box.write("models/adder.py", ADDER)
    box.write("models/model-settings.json", json.dumps({"name": "adder", "implementation": "adder.Adder"}))
    box.write("models/settings.json", json.dumps({"host": "127.0.0.1", "http_port": port, "grpc_port": grpc,
                                                  "metrics_port": metrics, "parallel_workers": 0}))
    box.write("tensors.jsonl", json.dumps({"inputs": [
        {"name": name, "shape": [4], "datatype": "FP32", "data": [0.5, 1.5, 2.5, 3.5]} for name in "AB"]}) + "\n")
    start_server(box, port, "/v2/models/adder/ready", demo("bin/mlserver"), "start", box.path("models"))
    asked = ["-m", "adder", "--prompts", "tensors.jsonl"]
    check(bench(box, port, "kserve", *asked)["latency"]["count"] == 3, "no latency of tensors")
    refused = box.run("bench", "-p", "kserve", "-u", f"http://127.0.0.1:{port}", "-n", "1", *asked, "-o", "binary=true",
                      code=6)
    check("HTTP status 500" in refused.err, refused.err)


@scenario(alone=True)
def llama_server_says_what_it_refuses(box):
    need_the_demo()
    box.study(llm=dict(llm(), args=["--no-such-flag"]))
    box.run("run", box.file, code=3)
    box.expect(1, "refused", service="llm", says="--no-such-flag")


def latest(box, code, *args):
    done = box.run("promote", box.file, *args, "--json", code=code, lines=-1, deadline=300)
    return json.loads(done.out)


@scenario(alone=True)
def a_promotion_and_back(box):
    """Both servers as measured to real units; then the new setting's model is gone, and the old one
    serves again."""
    need_the_demo()
    weights = box.path("llm neu.gguf")
    shutil.copy(demo("models/smollm2-135m-q4_1.gguf"), weights)
    stt_port, llm_port = free_ports(2)
    study = box.study(
        file=False, stt={"engine": "whisper-server", "program": demo("bin/whisper-server"), "role": "stt",
                         "model": demo("models/ggml-tiny.en.bin"), "threads": 1, "language": "en"},
        llm=dict(llm(), model=weights, ctx_size="{context}", knobs={"context": [2048, 1024]}),
        load={"stt": {"corpus": demo("speech-real"), "timeout": "60s"},
              "llm": {"prompts": demo("prompts.jsonl"), "timeout": "60s", "max_tokens": 16}},
        measure={"warmup": "1s", "window": "6s", "drain": "60s", "probe_within": "60s"},
        baseline={"llm.context": 2048}, search={"finalists": 2},
        goal={"optimise": {"llm.latency.p50": {"good": "10ms", "bad": "60s"}},
              "require": ["stt.errors == 0", "llm.errors == 0"]})
    write_study(box, study)
    box.run("run", box.file, "--quiet", code=0, deadline=300)
    unit = {"user": True, "exec": "as-measured", "within": "60s"}
    write_study(box, study, {"stt": dict(unit, unit="stt.service", port=stt_port),
                             "llm": dict(unit, unit="llm.service", port=llm_port),
                             "verify": {"window": "5s", "rate": "1/s"}})
    # Whichever won: here it is the way that is looked at.
    chosen = ["--candidate", "llm.context=1024", "--accept", "candidate"]
    with Systemd(box) as systemd:
        old = demo("models/smollm2-135m-q4_1.gguf")
        systemd.service("stt", f"{demo('bin/whisper-server')} --host 127.0.0.1 --port {stt_port} -m "
                               f"{demo('models/ggml-tiny.en.bin')} -t 1")
        systemd.service("llm", f"{demo('bin/llama-server')} --host 127.0.0.1 --port {llm_port} -m {old} "
                               "-t 1")
        systemd.start("stt", "llm")
        plan = latest(box, 0, *chosen, "--plan-only")["plan"]["id"]
        result = latest(box, 0, *chosen, "--approve", plan)
        seen = {(c["check"], c["service"]): c["answer"] for c in result["checks"]}
        for kind in ("active", "ready", "probe", "placement"):
            for name in ("stt", "llm"):
                check(seen[kind, name] == "passed", result["checks"])

        def words():
            with open(f"/proc/{systemd.pid('llm')}/cmdline", encoding="utf-8") as file:
                return file.read().split("\0")

        check(weights in words(), words())
        box.run("rollback", box.file, code=0, deadline=300)
        check(old in words() and systemd.active("stt"), words())
        os.rename(weights, weights + ".gone")
        plan = latest(box, 0, *chosen, "--plan-only")["plan"]["id"]
        result = latest(box, 7, *chosen, "--approve", plan)
        check("llm.service ended after its start" in result["why"], result["why"])
        check(old in words() and systemd.active("llm") and systemd.active("stt"), systemd.story())
        outcomes = json.loads(box.run("history", box.file, "--json", code=0).out)["promotions"]
        check([r["outcome"] for r in outcomes] == ["promoted", "rolled back", "rolled back"], outcomes)


if __name__ == "__main__":
    main(__name__)
