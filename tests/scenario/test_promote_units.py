"""What verification sees of units, with a real systemd: a crash within the window, a quiet restart, a
unit that fails late, somebody else on the port. Each is undone, and the old service serves again."""

import json
import socket

from harness import FAKE, check, main, scenario
from systemd_box import Systemd


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def measured(box, port, window="3s", **production):
    """A study whose winner is the fast one, and a unit that takes its setting from the environment."""
    box.study(llm=box.fake("llm", "--latency", "{wait}", knobs={"wait": ["60ms", "5ms"]}),
              baseline={"llm.wait": "60ms"},
              goal={"optimise": {"llm.latency.p50": {"good": "1ms", "bad": "1s"}},
                    "require": ["llm.latency.p50 < 800ms", "llm.errors == 0"]},
              production={"llm": dict({"unit": "llm.service", "user": True, "port": port,
                                       "environment": {"WAIT": "{wait}"}, "within": "20s"},
                                      **production),
                          "verify": {"window": window, "rate": "10/s"}})
    box.run("run", box.file, "--quiet", code=0)


def unit(systemd, box, port, fast=(), extra=""):
    """The old setting serves well; `fast` are the options that come with the new one."""
    script = box.write("serve.sh", "#!/bin/sh\n"
                       f"more=; [ \"$WAIT\" = 5ms ] && more='{' '.join(fast)}'\n"
                       f"exec {FAKE} --kind llm --port {port} --life 300s --latency $WAIT $more\n")
    systemd.service("llm", f"/bin/sh {script}", extra="Environment=WAIT=60ms\n" + extra)
    systemd.start("llm")


# The unit's program is a script around the one that was measured, which is a difference.
ACCEPT = ("--accept", "version.llm")


def promote(box, code):
    shown = box.run("promote", box.file, *ACCEPT, "--plan-only", "--json", code=0)
    plan = json.loads(shown.out)["plan"]["id"]
    done = box.run("promote", box.file, *ACCEPT, "--approve", plan, "--json", code=code, lines=-1)
    return json.loads(done.out)


def environment(systemd, name):
    with open(f"/proc/{systemd.pid(name)}/environ", "rb") as file:
        return dict(e.split(b"=", 1) for e in file.read().split(b"\0") if b"=" in e)


@scenario(quick=True)
def a_unit_is_promoted_and_rolled_back(box):
    port = free_port()
    measured(box, port)
    with Systemd(box) as systemd:
        unit(systemd, box, port)
        refused = box.run("promote", box.file, code=9)
        check("--accept version.llm" in refused.err, refused)
        result = promote(box, 0)
        seen = {c["check"]: c for c in result["checks"] if c["answer"] == "passed"}
        check({"active", "ready", "probe", "placement", "load"} <= set(seen), result["checks"])
        check(f"process {systemd.pid('llm')}" in seen["active"]["text"], seen["active"])
        check("1 process holds" in seen["placement"]["text"], seen["placement"])
        check(environment(systemd, "llm")[b"WAIT"] == b"5ms", environment(systemd, "llm"))
        box.run("rollback", box.file, code=0)
        check(environment(systemd, "llm")[b"WAIT"] == b"60ms", environment(systemd, "llm"))


def undone(box, systemd, *says):
    result = promote(box, 7)
    check(all(word in result["why"] for word in says), (says, result["why"], result["checks"]))
    check(systemd.active("llm") and environment(systemd, "llm")[b"WAIT"] == b"60ms",
          (systemd.story(), result))


@scenario(quick=True)
def a_crash_within_the_window(box):
    port = free_port()
    measured(box, port)
    with Systemd(box) as systemd:
        unit(systemd, box, port, ("--at", "9:die:3"))
        undone(box, systemd, "llm.service is failed", "exit-code")


@scenario()
def a_quiet_restart(box):
    port = free_port()
    measured(box, port)
    with Systemd(box) as systemd:
        unit(systemd, box, port, ("--at", "9:die:3"), "Restart=always\nRestartSec=0")
        undone(box, systemd, "llm.service")


@scenario()
def one_that_fails_late(box):
    port = free_port()
    measured(box, port, window="28s")
    with Systemd(box) as systemd:
        unit(systemd, box, port, ("--ready-then-die", "20s"))
        undone(box, systemd, "llm.service is ")


@scenario()
def somebody_else_on_the_port(box):
    port = free_port()
    measured(box, port)
    with Systemd(box) as systemd:
        systemd.service("other", f"{FAKE} --kind llm --port {port} --life 300s")
        systemd.service("llm", "/bin/sh -c 'exec sleep 1000'", extra="Environment=WAIT=60ms\n")
        systemd.start("other", "llm")
        # The old state does not work either: that is told, and not hidden.
        result = promote(box, 8)
        check("not by llm.service" in result["why"] and "of other.service" in result["why"], result)


if __name__ == "__main__":
    main(__name__)
