#!/usr/bin/env python3
"""Services that speak TLS, from the look for "ready" to the winner; and who is not trusted is not asked."""

import os
import shlex
import stat
import sys

from harness import FAKE, check, main, scenario
from production import free_ports
from systemd_box import wait_until
from test_guard_watch import accepts
from tls_front import Front, certificate, secured

ABOUT_IT = "ca names a file with it"


def counts(box, path):
    """Requests for work that reached a fake."""
    if not os.path.exists(box.path(path)):
        return 0
    with open(box.path(path), encoding="utf-8") as file:
        return sum(line.split()[3] != "0" for line in file)


@scenario(quick=True)
def a_study_over_tls(box):
    """A name that no look-up would find; two candidates, of which the faster one wins."""
    pem, key = certificate(box, "DNS:llm.internal")
    fake = box.fake("llm", "--latency", "{wait}ms", knobs={"wait": [120, 5]})
    box.study(llm=secured(fake, pem, key, ca="front.pem", name="llm.internal"), load={"llm": {"concurrency": 2}})
    box.run("run", box.file, code=0)
    check(set(box.verdicts()) == {"ok"}, box.verdicts())
    winner = box.json("winner.json")
    check(winner["best_params"] == {"llm.wait": 5}, winner)
    rows = box.requests(1, "llm")
    check(len(rows) > 3 and not any(row["error"] for row in rows), rows[:3])


@scenario(quick=True)
def metrics_of_an_engine_over_tls(box):
    """Its own page of metrics is read the same way, and the list of models."""
    pem, key = certificate(box)
    service = box.disguised("llama-server", "--latency 5ms", tls={"ca": pem})
    program = os.path.join(box.bin, "secured", "llama-server")
    box.write(program, "#!/bin/sh\nexec " + shlex.join(
        [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "tls_front.py"), pem, key, "--",
         service["program"]]) + ' "$@"\n')
    os.chmod(program, stat.S_IRWXU)
    service["program"] = program
    box.study(llm=service)
    box.run("run", box.file, code=0)
    names = {row["body"] for row in box.rows("SELECT n.body FROM reading r JOIN text n ON n.id = r.name "
                                             "JOIN text s ON s.id = r.source WHERE s.body = 'engine'")}
    check("generated tokens" in names, names)


@scenario(quick=True)
def nobody_is_asked_who_is_not_trusted(box):
    pem, key = certificate(box)
    other, _ = certificate(box, stem="other")
    cases = {
        "another authority": ({"ca": other}, "self-signed.*" + ABOUT_IT),
        "the system's": ({}, "self-signed.*" + ABOUT_IT),
        "another name": ({"ca": pem, "name": "llm.internal"}, "for another host name"),
    }
    for n, (what, (tls, says)) in enumerate(cases.items()):
        fake = box.fake("llm", "--arrivals", box.path(f"arrivals-{n}"), knobs={"m": [1, 2]}, ready={"within": "60s"},
                        environment={"M": "{m}"})
        box.study(study=f"case{n}", llm=secured(fake, pem, key, **tls))
        run = box.run("run", box.file, code=3)
        for number in range(1, len(box.verdicts()) + 1):
            box.expect(number, "env_fault", service="llm", says=r"no secure connection on port \d+: .*" + says)
        check({t["candidate"] for t in box.trials()} == {"llm.m=1", "llm.m=2"}, f"{what}\n{run}")
        check(says.split(".*")[0] in run.text, f"{what}\n{run}")
        check(counts(box, f"arrivals-{n}") == 0, f"{what}: it was asked")
        box.close_db()
    # Where no setting could be another one's fault, the study stops and says what to mend.
    box.study(study="plain", llm=secured(box.fake("llm"), pem, key))
    run = box.run("run", box.file, code=5)
    check("surroundings are broken" in run.err and "self-signed" in run.err, run)


@scenario(quick=True)
def authorities_that_are_not_there(box):
    """Said before anything is started."""
    pem, key = certificate(box)
    for ca, says in (("none.pem", "none.pem"), ("prompts.jsonl", "no certificate in PEM form")):
        box.study(llm=secured(box.fake("llm"), pem, key, ca=ca))
        for command in ("run", "prepare"):
            run = box.run(command, box.file, lines=-1)
            check(run.code not in (0, 3), run)
            check("service llm: tls.ca: " in run.text and says in run.text, run)
        check(not os.path.exists(os.path.join(box.results, "study.db")) or not box.trials(), box.story())


@scenario(quick=True)
def guard_looks_over_tls(box):
    """Its probes and the engine's page; and a certificate that is nobody's is a failed probe."""
    port, = free_ports(1)
    fake = box.helper(FAKE, "--kind", "llm", "--port", port, "--life", "300s")
    wait_until(lambda: accepts(port), str)
    with Front(box, port) as front:
        for tls, works in (({"ca": front.ca}, True), (True, False)):
            box.study(llm=dict(box.fake("llm"), tls=tls),
                      guard={"probe": "1/s", "probe_within": "5s", "every": "250ms", "window": "10s",
                             "watch": {"llm": {"pid": fake.pid, "port": front.port, "metrics": "/metrics"}}})
            run = box.run("guard", box.file, "--once", "--json", lines=-1)
            check((run.code == 0) == works, run)
            if not works:
                check("self-signed" in run.text or "tls" in run.text, run)


if __name__ == "__main__":
    main(__name__)
