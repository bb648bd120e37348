#!/usr/bin/env python3
"""`spica doctor` and `spica init --found` over fake services in disguise, on fake cards (gpu.py)."""

import json
import os
import subprocess
import time

import gpu
from gpu import Card
from harness import FAKE, check, main, scenario

WITHIN_S = 30  # until a service has its port and its memory
EMPTY = {"CUDA_VISIBLE_DEVICES": ""}


def serve(box, engine, port, *options, argv=(), env=None, log=None):
    """A server that runs already, as production's do. Returns its process once its port answers."""
    program = os.path.join(box.bin, engine)
    if not os.path.lexists(program):
        os.symlink(FAKE, program)
    script = box.write(f"running-{port}", "\n".join(["--life 300s", *map(str, options)]) + "\n")
    out = open(box.path(log or f"log-{port}"), "wb")
    popen = subprocess.Popen([program, "--port", str(port), *argv], stdin=subprocess.DEVNULL,
                             stdout=out, stderr=out, cwd=box.folder, close_fds=True,
                             env=dict(box.env, FAKE_SERVICE_SCRIPT=script, **(env or {})))
    out.close()
    box.cleanups.append(lambda: (popen.kill(), popen.wait()))
    end = time.monotonic() + WITHIN_S
    while True:
        status = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                                 f"http://127.0.0.1:{port}/health"], capture_output=True,
                                check=False).stdout
        if status == b"200":
            return popen
        check(popen.poll() is None and time.monotonic() < end, f"{engine} did not start: {status}")
        time.sleep(0.05)


def stop(popen):
    popen.kill()
    popen.wait()


def on_card(box, memory="2G"):
    return [f"{a} {b}" for a, b in zip(*[iter(map(str, gpu.options(box, memory)))] * 2)]


def look(box, code):
    return json.loads(box.run("doctor", "--json", code=code, lines=0).out)


def only_problem(report):
    check(len(report["problems"]) == 1, f"problems: {report['problems']}")
    return report["problems"][0]


@scenario(quick=True)
def healthy_machine(box):
    """Nothing is reported where all compute where they should, and all is shown."""
    box.card()
    llm = serve(box, "llama-server", 18101, *on_card(box), argv=["-m", box.weights("llama-server"),
                                                                 "-ngl", "99"])
    stt = serve(box, "whisper-server", 18102, "--kind stt",
                argv=["-m", box.weights("whisper-server"), "--no-gpu"])
    report = look(box, 0)
    check(report["problems"] == [], report["problems"])
    found = {s["kind"]: s for s in report["services"]}
    check(found["llama-server"]["placement"] == "gpu" and found["llama-server"]["port"] == 18101,
          found)
    check(found["whisper-server"]["placement"] == "cpu"
          and found["whisper-server"]["asked_by"] == "--no-gpu", found)
    holders = report["devices"][0]["holders"]
    check([h["pid"] for h in holders] == [llm.pid], holders)
    check(holders[0]["memory_bytes"] == 2 << 30, holders)
    text = box.run("doctor", code=0).out
    check("gpu0  NVIDIA H100 80GB HBM3, 81,559 MiB" in text and "2,048 MiB" in text
          and "Nothing wrong found." in text, text)
    check(all(len(line) <= 80 for line in text.splitlines()), text)
    stop(llm)
    stop(stt)


@scenario(quick=True)
def planted_faults(box):
    """Three faults under healthy ports: each is named with its cause and its fix."""
    card = box.card()
    weights = box.weights("llama-server")
    cases = {
        "empty": ([], EMPTY, "CUDA_VISIBLE_DEVICES is set and empty",
                  f"CUDA_VISIBLE_DEVICES={card.uuid}"),
        "absent": ([], {"CUDA_VISIBLE_DEVICES": "3"},
                   "CUDA_VISIBLE_DEVICES=3 names a card that is not here", "unset it"),
        "build": (["--gpu-cpu-build"], {}, "a CPU build", "GGML_CUDA"),
        "library": (["--gpu-cpu-build", "--print \"RuntimeError: Library libcublas.so.12 is not "
                     "found or cannot be loaded\""], {}, "libcublas.so.12", "cuBLAS"),
    }
    for name, (options, env, cause, fix) in cases.items():
        popen = serve(box, "llama-server", 18110, *on_card(box), *options, argv=["-m", weights],
                      env=env)
        report = look(box, 6)
        problem = only_problem(report)
        check(report["services"][0]["placement"] == "cpu", f"{name}: {report['services']}")
        check(problem["what"] == "runs on the CPU" and cause in problem["cause"]
              and fix in problem["fix"], f"{name}: {problem}")
        text = box.run("doctor", code=6, lines=0).out
        check("✗ " in text and "1 problem." in text, text)
        stop(popen)


@scenario(quick=True)
def missing_library_of_a_lazy_server(box):
    """CTranslate2 says so at the first request only; before, an empty card is no fault."""
    box.card()
    popen = serve(box, "faster-whisper-server", 18120, "--kind stt")
    check(look(box, 0)["services"][0]["placement"] == "idle", "idle")
    with open(box.path("log-18120"), "a", encoding="utf-8") as log:
        log.write("Unable to load any of {libcudnn_ops.so.9.1.0, libcudnn_ops.so.9}\n")
    problem = only_problem(look(box, 6))
    check("libcudnn_ops" in problem["cause"] and "cuDNN" in problem["fix"], problem)
    stop(popen)


@scenario(quick=True)
def missing_library_on_the_card(box):
    """Memory on the card is not work on it: CTranslate2 holds some, and each request fails."""
    box.card()
    popen = serve(box, "faster-whisper-server", 18121, "--kind stt", *on_card(box))
    check(look(box, 0)["services"][0]["placement"] == "gpu", "on the card")
    with open(box.path("log-18121"), "a", encoding="utf-8") as log:
        log.write("RuntimeError: Library libcublas.so.12 is not found or cannot be loaded\n")
    problem = only_problem(look(box, 6))
    check("can't compute there" in problem["what"] and "libcublas.so.12" in problem["cause"], problem)
    # A library that is loaded now was missing in an earlier run.
    with open(box.path("log-18121"), "w", encoding="utf-8") as log:
        log.write("RuntimeError: Library libcuda.so.1 is not found or cannot be loaded\n")
    check(look(box, 0)["problems"] == [], "libcuda.so.1 is mapped")
    stop(popen)


@scenario(quick=True)
def no_gpu(box):
    """A machine without a driver: one line, and no problem unless somebody asks for the GPU."""
    box.env["SPICA_NVML_LIBRARY"] = box.path("no-such-library.so")
    text = box.run("doctor", code=0).out
    check(text.splitlines()[0] == "no GPU: no NVIDIA driver on this machine", text)
    weights = box.weights("llama-server")
    popen = serve(box, "llama-server", 18130, argv=["-m", weights])
    report = look(box, 0)
    check(report["services"][0]["placement"] == "cpu" and not report["problems"], report)
    stop(popen)
    popen = serve(box, "llama-server", 18130, argv=["-m", weights, "-ngl", "99"])
    check("-ngl 99" in only_problem(look(box, 6))["what"], "asked for the GPU")
    stop(popen)


@scenario(quick=True)
def broken_driver_and_stranger(box):
    box.card(Card(lines=["mode 2"]))
    gpu.stranger(box, "--gpu-hold", "5G")
    report = look(box, 6)
    check("Prohibited" in only_problem(report)["cause"], report["problems"])
    check(report["devices"][0]["holders"][0]["service"] is None, report["devices"])
    gpu.touch(box, "lost", "fail nvmlInit 18\n")
    report = look(box, 6)
    check("version mismatch" in only_problem(report)["cause"], report)
    check("reboot" in only_problem(report)["fix"], report)


@scenario(quick=True)
def wrong_options(box):
    box.run("doctor", "what", code=2)
    box.run("doctor", "--jsn", code=2)
    box.run("init", "llm", "--found", code=2)
    box.run("init", "--found", code=2)  # nothing runs here


@scenario(quick=True)
def study_of_what_runs(box):
    """init writes a file that check takes as it stands, for engines and for plain commands."""
    box.card()
    box.corpus()
    box.prompts()
    llm = serve(box, "llama-server", 18140, *on_card(box),
                argv=["-m", "models/llm.gguf" if box.weights("llama-server") else "", "-ngl", "99",
                      "-c", "8192", "-np", "3", "--jinja"])
    stt = serve(box, "whisper-server", 18141, "--kind stt", *on_card(box, "1G"),
                argv=["-m", box.weights("whisper-server"), "--language", "en"])
    text = box.run("init", "--found", code=0).out
    box.write("found.yaml", text)
    shown = box.run("check", "found.yaml", code=0).out
    for words in ("--ctx-size 8192", "--gpu-layers 99", "--parallel 3", "--jinja",
                  "--language en", box.path("models/llm.gguf")):
        check(words in shown, f"{words} is not in\n{shown}\n{text}")
    check("device: gpu0" in text and "llm.slots: 3" in text, text)
    check(box.run("init", "-o", box.path("again.yaml"), code=0), "to a file")
    check(open(box.path("again.yaml"), encoding="utf-8").read() == text, "the same text")
    stop(llm)
    stop(stt)


if __name__ == "__main__":
    main(__name__)
