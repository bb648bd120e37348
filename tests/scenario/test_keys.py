#!/usr/bin/env python3
"""A key goes to the server and nowhere else, though the server quotes it in good answers, in errors and in
streams; and the same over TLS.

Every output is searched, for the key whole and for its first half, which a cut text might end with.
"""

import json
import os

from harness import check, main, scenario
from test_bench import ALONE, serve
from tls_front import Front

KEY = "sk-scenario-0f9d8c7b6a5e4d3c2b1a0f9d8c7b6a5e"
ENV = {"SPICA_TEST_KEY": KEY}
QUOTED = "you sent Bearer *"


def keyless(what, text):
    text = text if isinstance(text, bytes) else text.encode()
    for secret in (KEY, KEY[:len(KEY) // 2]):
        check(secret.encode() not in text, f"the key stands in {what}")


def keyless_run(box, *args, **more):
    run = box.run(*args, env=ENV, lines=-1, **more)
    keyless(f"stdout of {args}", run.out)
    keyless(f"stderr of {args}", run.err)
    return run


QUOTES = ("--every", "4:echo-key", "--every", "9:http:401", "--every", "9:echo-key")
STREAM_QUOTES = (*QUOTES, "--every", "7:sse:err-field", "--every", "7:echo-key")


@scenario(quick=True)
def a_study_of_servers_that_quote_the_key(box):
    key = {"api_key_env": "SPICA_TEST_KEY"}
    box.study(stt=box.fake("stt", *QUOTES), llm=box.fake("llm", *STREAM_QUOTES), load={"stt": key, "llm": key})
    keyless_run(box, "run", box.file)
    kept = [r["answer"] for name in ("stt", "llm") for r in box.requests(1, name) if r["answer"]]
    check(any(QUOTED in text for text in kept), f"nobody quoted it: {kept[:5]}")
    errors = {r["error"] for r in box.requests(1, "llm") if r["error"]}
    check({"http_status", "server_error"} <= errors, errors)
    for args in (("report", box.file), ("show", box.file), ("show", box.file, "--json"),
                 ("show", box.file, "--trial", "1"), ("show", box.file, "--trial", "1", "--log", "llm")):
        keyless_run(box, *args)
    found = 0
    for folder, _, names in os.walk(box.results):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                content = file.read()
            keyless(name, content)
            found += QUOTED.encode() in content
    check(found, "no file quotes the server")


@scenario(quick=True)
def a_study_of_servers_that_print_their_environment(box):
    """A service that a study starts has not the key of its requests, unless its `environment:` hands it on."""
    def printing(**more):
        service = box.fake("llm", **more)
        service["command"] = ["sh", "-c", 'env; exec "$@"', "sh", *service["command"]]
        return service

    key = {"api_key_env": "SPICA_TEST_KEY"}
    box.study(llm=printing(), other=printing(), load={"llm": key})
    keyless_run(box, "run", box.file)
    for name in ("llm", "other"):
        log = keyless_run(box, "show", box.file, "--trial", "1", "--log", name).out
        check("SPICA_SERVICE=" in log and "PATH=" in log and "SPICA_TEST_KEY" not in log, log)
    for folder, _, names in os.walk(box.results):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                keyless(name, file.read())
    box.study(study="handed-on", load={"llm": key},
              llm=printing(environment={"SPICA_TEST_KEY": "{SPICA_TEST_KEY}"}))
    box.run("run", box.file, env=ENV, lines=-1)
    log = box.run("show", box.file, "--trial", "1", "--log", "llm", env=ENV, lines=-1).out
    check("SPICA_TEST_KEY=" in log, log)


@scenario(quick=True)
def a_bench_of_servers_that_quote_the_key(box):
    for kind, protocol, more in (("llm", "openai-chat", ()), ("stt", "openai-transcriptions", ("--corpus", "speech"))):
        url = serve(box, kind, *(STREAM_QUOTES if kind == "llm" else QUOTES))
        command = (*ALONE, "-p", protocol, "-u", url, "-c", "1", "-n", "30", "--api-key-env", "SPICA_TEST_KEY", *more)
        records = f"{kind}.jsonl"
        run = keyless_run(box, *command, "--json", "--records", records)
        check(QUOTED in run.out, run.out)
        with open(box.path(records), "rb") as file:
            content = file.read()
        keyless(records, content)
        check(QUOTED.encode() in content, content[:400])
        box.write(f"{kind}.json", run.out)
        table = keyless_run(box, *command, "--compare", f"{kind}.json").out
        check(QUOTED in " ".join(table.split()), table)
        # One that answers nothing else: the probe's own failure.
        url = serve(box, kind, "--from", "1:http:401", "--from", "1:echo-key")
        failed = keyless_run(box, *ALONE, "-p", protocol, "-u", url, "-n", "3", "--api-key-env", "SPICA_TEST_KEY", *more)
        check(QUOTED in failed.err + failed.out, failed.err)


@scenario(quick=True)
def a_bench_over_tls(box):
    """The same load over https: verified, with the key; refused where the certificate is nobody's."""
    url = serve(box, "llm", "--latency", "5ms", "--every", "4:echo-key", "--every", "9:http:401", "--every", "9:echo-key")
    with Front(box, int(url.rsplit(":", 1)[1])) as front:
        command = (*ALONE, "-p", "openai-chat", "-u", front.url, "-c", "2", "-n", "20", "--api-key-env",
                   "SPICA_TEST_KEY")
        run = keyless_run(box, *command, "--ca", front.ca, "--json", "--records", "r.jsonl", code=0)
        result = json.loads(run.out)
        check(result["answered"] > 10 and set(result["errors"]) == {"http_status"}, result["errors"])
        check(QUOTED in result["errors"]["http_status"]["example"], result["errors"])
        with open(box.path("r.jsonl"), "rb") as file:
            keyless("r.jsonl", file.read())
        refused = keyless_run(box, *command)
        check(refused.code not in (0, None) and "certificate" in refused.err, refused.err)


if __name__ == "__main__":
    main(__name__)
