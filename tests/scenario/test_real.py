#!/usr/bin/env python3
"""Real servers, real weights, real speech: llama-server beside whisper-server, beside
faster-whisper-server and beside wyoming-faster-whisper, for a few seconds each; what else these servers
speak, a voice turn through two of them, bootlegger for spoken answers and transcripts in pieces, and
Triton for KServe.

What the fakes can't show: that the engines' flags, ready paths, protocols and transcripts are those of
the programs which people run. tools/setup builds and fetches what this needs; where it is missing the
scenario is skipped with the reason, unless SPICA_SKIP_IS_FAILURE is set (as in CI).
"""

import json
import os
import shutil
import struct
import subprocess
import time
import urllib.request
import wave

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


def start_bootlegger(box):
    """Moonshine's weights for hearing and a voice of Piper's for speaking, laid out as the server would download them.
    What is not in a package (times of words, spelling) is an empty file, and the server does without."""
    need("bin/bootlegger", "models/moonshine-tiny.en", "models/piper-joe")
    site = box.path("cache/download.moonshine.ai")
    ears, voices = f"{site}/model/tiny-en/quantized/tiny-en", f"{site}/tts/es_mx/piper-voices"
    for folder, weights in ((ears, demo("models/moonshine-tiny.en")), (voices, demo("models/piper-joe"))):
        os.makedirs(folder)
        for name in os.listdir(weights):
            os.symlink(os.path.realpath(os.path.join(weights, name)), os.path.join(folder, name))
    os.makedirs(f"{site}/model/spelling-en")
    for name in ("spelling_cnn.ort", "spelling_cnn_meta.json"):
        box.write(f"cache/download.moonshine.ai/model/spelling-en/{name}", "")
    box.write("cache/download.moonshine.ai/model/tiny-en/quantized/tiny-en/decoder_with_attention.ort", "")
    port, = free_ports(1)
    # Nothing listens at this proxy: a file that is missed after all is a failure at once, and no download.
    start_server(box, port, "/v1/models", demo("bin/bootlegger"), "--host", "127.0.0.1", "--port", port,
                 "--model-arch", "0", "--tts-language", "es-mx",
                 env={"MOONSHINE_VOICE_CACHE": box.path("cache"), "HTTPS_PROXY": "http://127.0.0.1:9"})
    return port


@scenario(alone=True)
def a_speech_server(box):
    """The first sound of a sentence that is sent as it is made comes long before the last; of a file, with it."""
    port = start_bootlegger(box)
    said = "El barco sale. Cambia el viento. Vuelve al puerto."
    box.write("said.jsonl", json.dumps({"prompt": said}) + "\n")
    asked = ["-m", "joe", "--prompts", "said.jsonl", "-o", "voice=piper_en_US-joe-medium"]
    first = {}
    for form, more in (("whole", ()), ("wav", ("-o", "stream_format=audio")),
                       ("pcm", ("-o", "stream_format=audio", "-o", "response_format=pcm"))):
        seen = bench(box, port, "openai-speech", *asked, *more, requests=1)
        check(seen["ttft"]["count"] == 1 and seen["rtf"]["count"] == 1, (form, seen))
        first[form] = seen["ttft"]["min"]["value"] / seen["latency"]["min"]["value"]
    check(first["whole"] > 0.9 and first["wav"] < 0.8 and first["pcm"] < 0.8, first)
    spoken = box.run("bench", "-p", "openai-speech", "-u", f"http://127.0.0.1:{port}", "-n", "1", *asked[:4], "-o",
                     "voice=nobody", code=6)
    check("HTTP status 400" in spoken.err, spoken.err)


@scenario(alone=True)
def a_transcript_in_pieces(box):
    """OpenAI's events, of a server that hears line by line: the words are those of the answer in one piece."""
    port = start_bootlegger(box)
    need("speech-real/jfk.wav")
    os.mkdir(box.path("clips"))
    with wave.open(demo("speech-real/jfk.wav")) as whole, wave.open(box.path("clips/start.wav"), "wb") as start:
        start.setparams(whole.getparams())
        start.writeframes(whole.readframes(49 * whole.getframerate() // 10))
    box.write("clips/manifest.jsonl", json.dumps({"audio_filepath": "start.wav", "duration": 4.9, "source": "jfk",
                                                  "text": "and so my fellow americans ask not"}) + "\n")
    for more in ((), ("-o", "stream=true")):
        seen = bench(box, port, "openai-transcriptions", "--corpus", box.path("clips"), "--records", "r.jsonl", *more,
                     requests=1)
        check(seen["wer"]["value"] < 0.3 and seen["rtf"]["count"] == 1, (more, seen))
        with open(box.path("r.jsonl"), encoding="utf-8") as file:
            times = json.loads(file.read())["metrics"]
        check(bool(more) == ("time_to_first_token" in times), times)
        check(not more or times["time_to_first_token"]["value"] < times["request_latency"]["value"], times)


ADDER = """import sys
sys.path.insert(0, "{site}")
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        return [pb.InferenceResponse([pb.Tensor("SUM", sum(one.as_numpy() for one in request.inputs()))])
                for request in requests]
"""

ADDER_CONFIG = """backend: "python"
input [{name: "A" data_type: TYPE_FP32 dims: [-1]}, {name: "B" data_type: TYPE_FP32 dims: [-1]}]
output [{name: "SUM" data_type: TYPE_FP32 dims: [-1]}]
instance_group [{kind: KIND_CPU}]
"""


@scenario(alone=True)
def a_kserve_server(box):
    """Triton with a model that adds two tensors, asked in JSON and in bytes; what it refuses is said as it said it."""
    need("bin/tritonserver")
    home = os.path.dirname(os.path.dirname(os.path.realpath(demo("bin/tritonserver"))))
    port, = free_ports(1)
    box.write("models/adder/config.pbtxt", ADDER_CONFIG)
    box.write("models/adder/1/model.py", ADDER.format(site=os.path.join(home, "../../site")))
    asked = {"inputs": [{"name": name, "shape": [4], "datatype": "FP32", "data": [0.5, 1.5, 2.5, 3.5]} for name in "AB"]}
    box.write("tensors.jsonl", json.dumps(asked) + "\n")
    start_server(box, port, "/v2/models/adder/ready", demo("bin/tritonserver"), "--model-repository", box.path("models"),
                 "--backend-directory", os.path.join(home, "backends"), "--http-address", "127.0.0.1", "--http-port",
                 port, "--allow-grpc", "false", "--allow-metrics", "false", "--disable-auto-complete-config")
    words = ["-m", "adder", "--prompts", "tensors.jsonl"]
    for binary in ("false", "true"):
        seen = bench(box, port, "kserve", *words, "-o", f"binary={binary}")
        check(seen["latency"]["count"] == 3, (binary, seen))
    # That this server answers in bytes where it is asked so, as spica asks.
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v2/models/adder/infer", json.dumps(
        dict(asked, parameters={"binary_data_output": True})).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        head = int(answer.headers["Inference-Header-Content-Length"])
        check(struct.unpack("<4f", answer.read()[head:]) == (1, 3, 5, 7), "no sums in bytes")
    box.write("tensors.jsonl", json.dumps({"inputs": asked["inputs"][:1]}) + "\n")
    for binary in ("false", "true"):
        refused = box.run("bench", "-p", "kserve", "-u", f"http://127.0.0.1:{port}", "-n", "1", *words, "-o",
                          f"binary={binary}", code=6)
        check("HTTP status 400" in refused.err and "expected 2 inputs but got 1" in refused.err, refused.err)


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
