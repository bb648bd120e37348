"""The tools that instrument.py is shown beside: where they are kept, how they are had, how they are run.

They live outside the repository, in ${SPICA_CACHE:-${XDG_CACHE_HOME:-~/.cache}/spica}/referees, at pinned
versions, and come through the package registries' ordinary clients. One that can't be had is named.
"""

import json
import os
import re
import shutil
import subprocess
import sys

from instrument_lib import Broken, Missing, quantile, run, say

CACHE = os.environ.get("SPICA_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "spica")
HOME = os.path.join(CACHE, "referees")
AIPERF, VEGETA = "0.13.0", "v12.13.0"
STATISTICS = ("scipy==1.17.1", "numpy==2.4.6", "jiwer==4.0.0", "rapidfuzz==3.14.6", "whisper-normalizer==0.1.15")


def place(name):
    return os.path.join(HOME, name)


# ---- having them ----

def make_venv(name, packages):
    """A virtual environment that is marked when it is whole."""
    folder = place(name)
    if os.path.exists(os.path.join(folder, "whole")):
        return
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([os.path.join(folder, "bin/pip"), "install", "-q", *packages], check=True)
    with open(os.path.join(folder, "whole"), "w", encoding="utf-8") as file:
        file.write("\n".join(packages) + "\n")


def make_aiperf():
    make_venv(f"aiperf-{AIPERF}", [f"aiperf=={AIPERF}"])


def make_statistics():
    make_venv("statistics-1", STATISTICS)


def make_vegeta():
    if os.access(place(f"vegeta-{VEGETA}/vegeta"), os.X_OK):
        return
    if not shutil.which("go"):
        raise Missing("there is no go to build it with")
    subprocess.run(["go", "install", f"github.com/tsenart/vegeta/v12@{VEGETA}"], check=True,
                   env=dict(os.environ, GOBIN=place(f"vegeta-{VEGETA}")))


def make_packaged(name):
    if shutil.which(name):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Missing(f"not installed, and only root may: apt-get install {name}")
    subprocess.run(["apt-get", "install", "-y", "-q", name], check=True, stdout=sys.stderr)


ALL = {"wrk": lambda: make_packaged("wrk"), "hey": lambda: make_packaged("hey"), "vegeta": make_vegeta,
       "statistics": make_statistics, "aiperf": make_aiperf}


def set_up():
    """Gets what is not there yet; what can't be had is named and stays missing."""
    os.makedirs(HOME, exist_ok=True)
    for name, make in ALL.items():
        try:
            make()
            say(f"referees: {name}: there")
        except (Missing, OSError, subprocess.CalledProcessError) as why:
            say(f"referees: {name}: MISSING: {why}")


def statistics_python():
    if not os.path.exists(place("statistics-1/whole")):
        raise Missing("jiwer and whisper-normalizer (bench/instrument.py --setup)")
    return place("statistics-1/bin/python")


# ---- wrk ----

TO_MS = {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}


def wrk(row, name, url, body, connections, seconds):
    """{p50_ms, p99_ms, max_ms, requests, cpu_s}"""
    program = shutil.which("wrk")
    if not program:
        raise Missing("wrk (apt-get install wrk)")
    script = row.path(f"{name}.lua")
    with open(script, "w", encoding="utf-8") as file:
        file.write('wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
                   f"wrk.body = [==[{json.dumps(body)}]==]\n")
    out, cpu_s, _ = run([program, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s",
                         script, url + "/v1/chat/completions"], cwd=row.folder)

    def time_of(pattern):
        found = re.search(pattern + r"\s+([\d.]+)(us|ms|s|m)", out)
        if not found:
            raise Broken(f"wrk: {out[-400:]}")
        return float(found.group(1)) * TO_MS[found.group(2)]
    errors = re.search(r"Non-2xx.*|Socket errors.*", out)
    if errors:
        say(f"wrk: {errors.group(0)}")
    return {"p50_ms": time_of(r"50%"), "p99_ms": time_of(r"99%"),
            "max_ms": time_of(r"Latency\s+[\d.]+\w+\s+[\d.]+\w+"), "cpu_s": cpu_s,
            "requests": int(re.search(r"(\d+) requests in", out).group(1))}


# ---- hey ----

def hey(row, name, url, body, clients, seconds):
    program = shutil.which("hey")
    if not program:
        raise Missing("hey (apt-get install hey)")
    with open(row.path(f"{name}.body"), "w", encoding="utf-8") as file:
        json.dump(body, file)
    out, cpu_s, _ = run([program, "-z", f"{seconds}s", "-c", str(clients), "-t", "30", "-m", "POST", "-T",
                         "application/json", "-D", row.path(f"{name}.body"), "-o", "csv",
                         url + "/v1/chat/completions"], cwd=row.folder)
    times = sorted(float(line.split(",")[0]) * 1e3 for line in out.splitlines()[1:] if line)
    return {"p99_ms": quantile(times, 0.99), "max_ms": times[-1], "requests": len(times), "cpu_s": cpu_s}


# ---- vegeta ----

def vegeta(row, name, url, body, rate, seconds):
    program = place(f"vegeta-{VEGETA}/vegeta")
    if not os.access(program, os.X_OK):
        raise Missing(f"vegeta {VEGETA} (bench/instrument.py --setup, needs go)")
    with open(row.path(f"{name}.body"), "w", encoding="utf-8") as file:
        json.dump(body, file)
    with open(row.path(f"{name}.targets"), "w", encoding="utf-8") as file:
        file.write(f"POST {url}/v1/chat/completions\nContent-Type: application/json\n@{row.path(name + '.body')}\n")
    results = row.path(f"{name}.bin")
    _, cpu_s, _ = run([program, "attack", f"-duration={seconds}s", f"-rate={rate}/s", "-targets",
                       row.path(f"{name}.targets"), "-output", results], cwd=row.folder)
    report = json.loads(run([program, "report", "-type=json", results], cwd=row.folder)[0])
    if report["success"] < 1:
        say(f"vegeta: {report['status_codes']} {report['errors']}")
    return {"p50_ms": report["latencies"]["50th"] / 1e6, "p99_ms": report["latencies"]["99th"] / 1e6,
            "max_ms": report["latencies"]["max"] / 1e6, "requests": report["requests"], "cpu_s": cpu_s}


# ---- AIPerf ----

class AiperfRun:
    def __init__(self, folder, cpu_s):
        self.cpu_s, self.folder = cpu_s, folder
        path = os.path.join(folder, "profile_export.jsonl")
        self.records = [json.loads(line) for line in open(path, encoding="utf-8")]
        summary = os.path.join(folder, "profile_export_aiperf.json")
        self.summary = json.load(open(summary, encoding="utf-8")) if os.path.exists(summary) else {}

    def good(self):
        return [r for r in self.records if not r.get("error") and
                r["metadata"].get("benchmark_phase", "profiling") == "profiling"]

    def values(self, metric):
        return [r["metrics"][metric]["value"] for r in self.good() if metric in r["metrics"]]

    def span_s(self):
        meta = [r["metadata"] for r in self.good()]
        return (max(m["request_end_ns"] for m in meta) - min(m["request_start_ns"] for m in meta)) / 1e9


class Aiperf:
    """AIPerf without the net: a tokenizer of its own making, prompts from a file."""

    def __init__(self, row, prompts=("Say something.",)):
        self.row = row
        self.program = place(f"aiperf-{AIPERF}/bin/aiperf")
        if not os.path.exists(place(f"aiperf-{AIPERF}/whole")):
            raise Missing(f"AIPerf {AIPERF} (bench/instrument.py --setup, 2 minutes, 1.2 GB)")
        self.tokenizer = row.path("tokenizer")
        write_tokenizer(self.tokenizer)
        self.prompts = row.path("aiperf-prompts.jsonl")
        with open(self.prompts, "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": prompt}) + "\n" for prompt in prompts)

    def command(self, url, folder, args, model="fake-model"):
        return [self.program, "profile", "-m", model, "--url", url, "--endpoint-type", "chat", "--tokenizer",
                self.tokenizer, "--input-file", self.prompts, "--custom-dataset-type", "single_turn", "--ui",
                "none", "--no-gpu-telemetry", "--no-server-metrics", "--random-seed", "1",
                "--output-artifact-dir", folder, *map(str, args)]

    def raw(self, name, url, *args, timeout_s=900, model="fake-model"):
        """(folder of its artefacts, CPU seconds, wall seconds)"""
        folder = self.row.path(f"aiperf-{name}")
        shutil.rmtree(folder, ignore_errors=True)
        env = {key: value for key, value in os.environ.items()
               if key not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
        try:
            _, cpu_s, wall_s = run(self.command(url, folder, args, model), cwd=self.row.folder, env=env,
                                   timeout_s=timeout_s)
        except subprocess.TimeoutExpired:
            raise Missing(f"AIPerf was not over in {timeout_s} s") from None
        return folder, cpu_s, wall_s

    def run(self, name, url, *args, **keys):
        folder, cpu_s, _ = self.raw(name, url, *args, **keys)
        return AiperfRun(folder, cpu_s)


def write_tokenizer(folder):
    """One token a word: nothing here depends on the client's count of tokens."""
    os.makedirs(folder, exist_ok=True)
    unknown = {"id": 0, "content": "[UNK]", "single_word": False, "lstrip": False, "rstrip": False,
               "normalized": False, "special": True}
    vocabulary = {"[UNK]": 0, **{f"w{i}": i + 1 for i in range(200)}}
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as file:
        json.dump({"version": "1.0", "truncation": None, "padding": None, "added_tokens": [unknown],
                   "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None,
                   "decoder": None,
                   "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}}, file)
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as file:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "pad_token": "[UNK]"}, file)
