"""`spica promote`, `rollback` and `history` as a person and a pipeline use them, with production as a
`command` of its own: a script that ends the old server and starts the new one."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time

from gpu import cards, options, world
from harness import FAKE, SPICA, answer, check, main, scenario
from production import write_study

APPLY = """#!/usr/bin/env python3
# apply.py WAIT: the old server goes, one with that latency comes.
import os, signal, socket, subprocess, sys, time
here, wait, port = os.path.dirname(os.path.abspath(__file__)), sys.argv[1], int(sys.argv[2])
def state(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "gone"
def is_open():
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0
if os.path.exists(os.path.join(here, "slow")):
    open(os.path.join(here, "begun"), "w").close()
    time.sleep(60)
path = os.path.join(here, "server.pid")
if os.path.exists(path):
    pid = int(open(path).read())
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    while state(pid) not in ("gone", "Z"):
        time.sleep(0.02)
more = open(os.path.join(here, "broken")).read().split() if wait == "5ms" and os.path.exists(
    os.path.join(here, "broken")) else []
# Its output is ours: what it writes after our end must not kill it.
server = subprocess.Popen([FAKE, "--kind", "llm", "--port", str(port), "--life", "300s", "--latency",
                           wait] + more, start_new_session=True)
open(path, "w").write(str(server.pid))
while not is_open() and server.poll() is None:
    time.sleep(0.02)
open(os.path.join(here, "runs"), "a").write(wait + "\\n")
""".replace("FAKE", repr(FAKE))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(moment, text, within=60):
    end = time.monotonic() + within
    while not moment():
        check(time.monotonic() < end, f"not {text} in time")
        time.sleep(0.02)


class Production:
    """A measured study and the old server in production."""

    def __init__(self, box, **verify):
        self.box, self.port = box, free_port()
        script = box.write("apply.py", APPLY)
        os.chmod(script, 0o755)
        words = [script, "{wait}", str(self.port)]
        box.study(llm=box.fake("llm", "--latency", "{wait}", knobs={"wait": ["60ms", "5ms"]}),
                  baseline={"llm.wait": "60ms"},
                  goal={"optimise": {"llm.latency.p50": {"good": "1ms", "bad": "1s"}},
                        "require": ["llm.latency.p50 < 800ms", "llm.errors == 0"]},
                  production={"llm": {"command": {"apply": words, "verify": ["true"],
                                                  "rollback": [script, "60ms", str(self.port)]},
                                      "port": self.port, "within": "20s"},
                              "verify": dict({"window": "2s", "rate": "10/s"}, **verify)})
        box.run("run", box.file, "--quiet", code=0)
        os.spawnve(os.P_WAIT, script, [script, "60ms", str(self.port)], box.env)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            with open(self.box.path("server.pid"), encoding="utf-8") as file:
                os.kill(int(file.read()), signal.SIGKILL)
        except (OSError, ValueError):
            pass

    def runs(self):
        """The settings that production was started with, in order."""
        with open(self.box.path("runs"), encoding="utf-8") as file:
            return file.read().split()

    def plan(self):
        result = self.box.run("promote", self.box.file, "--plan-only", "--json", code=0)
        return json.loads(result.out)["plan"]["id"]


def records(box):
    return json.loads(box.run("history", box.file, "--json", code=0).out)["promotions"]


MANAGER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/h100/services.py")


@scenario(quick=True)
def a_command_that_hides_the_card_is_undone(box):
    """Without systemd, by the service manager of the examples: production has a process and a port. The new
    server is healthy, and computes on the CPU."""
    cards(box)
    fast, port = [str(o) for o in options(box)], free_port()
    manager = shutil.copy(MANAGER, box.path("services.py"))
    box.write("services.json", json.dumps({"llm": {
        "port": port, "today": {"wait": "60ms", "CUDA_VISIBLE_DEVICES": "0"},
        "environment": {"FAKE_NVML_WORLD": world(box)},
        "command": [FAKE, "--kind", "llm", "--port", "{port}", "--life", "300s", *fast, "--latency",
                    "{wait}"]}}))

    def study(visible):
        production = {"before": [["./services.py", "keep"]], "llm": {"port": port, "within": "20s", "command": {
            "apply": ["./services.py", "set", "llm", "wait={wait}", f"CUDA_VISIBLE_DEVICES={visible}"],
            "verify": ["./services.py", "runs", "llm", "wait={wait}"],
            "rollback": ["./services.py", "back", "llm"]}},
            "verify": {"window": "1s", "rate": "10/s"}}
        write_study(box, box.study(
            file=False, device="gpu0", baseline={"llm.wait": "60ms"},
            llm=box.fake("llm", *fast, "--latency", "{wait}", on="gpu", knobs={"wait": ["60ms", "5ms"]}),
            goal={"optimise": {"llm.latency.p50": {"good": "1ms", "bad": "1s"}},
                  "require": ["llm.latency.p50 < 800ms", "llm.errors == 0"]}), production)

    def run(*words, code=0):
        done = subprocess.run([manager, *words], env=box.env, capture_output=True, text=True, check=False)
        check(done.returncode == code, done)
        return done.stdout

    def promote(code):
        plan = json.loads(box.run("promote", box.file, "--plan-only", "--json", code=0).out)["plan"]["id"]
        result = json.loads(box.run("promote", box.file, "--approve", plan, "--json", code=code, lines=-1).out)
        placed = [c["answer"] for c in result["checks"] if c["check"] == "placement"]
        return result, placed

    study("0")
    box.run("run", box.file, "--quiet", code=0)
    run("start")
    try:
        result, placed = promote(0)
        check(placed == ["passed"] and any(s["what"].endswith("services.py (llm)") for s in result["steps"]), result)
        check("wait=5ms CUDA_VISIBLE_DEVICES=0" in run("state"), run("state"))
        box.run("rollback", box.file, code=0)
        check("wait=60ms" in run("state"), run("state"))
        study("")
        result, placed = promote(7)
        check(placed == ["failed", "passed"], result["checks"])
        check("llm: cpu_fallback, asked for gpu0" in result["why"] and "not listed on gpu0" in result["why"], result)
        ready = [c["answer"] for c in result["checks"] if c["check"] == "ready"]
        check(ready == ["passed", "passed"], "it was said to be unhealthy")
        check("wait=60ms CUDA_VISIBLE_DEVICES=0" in run("state"), run("state"))
        # Undone twice, and without an apply: nothing else comes of it.
        run("back", "llm")
        run("runs", "llm", "wait=60ms")
        run("runs", "llm", "wait=5ms", code=1)
        check([r["outcome"] for r in records(box)] == ["promoted", "rolled back", "rolled back"], records(box))
    finally:
        run("stop")
    check("process None" in run("state"), run("state"))


@scenario(quick=True)
def a_pipeline_promotes_and_rolls_back(box):
    with Production(box) as production:
        shown = box.run("promote", box.file, "--dry-run", code=0)
        check("wait=5ms" in shown.out and "Plan " in shown.out, shown)
        plan = production.plan()
        refused = box.run("promote", box.file, code=9)
        check(f"--approve {plan}" in refused.err, refused)
        refused = box.run("promote", box.file, "--approve", "0123456789abcdef", code=9)
        check(plan in refused.err and "has changed" in refused.err, refused)
        refused = box.run("promote", box.file, "--json", code=9)
        check(json.loads(refused.out)["outcome"] == "not approved", refused)
        check(production.runs() == ["60ms"], "something was touched without approval")

        done = box.run("promote", box.file, "--approve", plan, "--json", code=0, lines=-1)
        result = json.loads(done.out)
        check(result["outcome"] == "promoted" and result["plan"]["id"] == plan, done)
        checks = {(c["check"], c["answer"]) for c in result["checks"]}
        for kind in ("active", "ready", "probe", "placement", "load"):
            check((kind, "passed") in checks, (kind, result["checks"]))
        check(os.path.isfile(result["record"]), result["record"])
        check(production.runs() == ["60ms", "5ms"], production.runs())

        looked = box.run("rollback", box.file, "--dry-run", code=0)
        check("is in production" in looked.out and production.runs()[-1] == "5ms", looked)
        back = box.run("rollback", box.file, code=0)
        check("Rolled back" in back.out and production.runs()[-1] == "60ms", back)
        check(f"ready on port {production.port}" in back.out, back)
        again = box.run("rollback", box.file, code=2)
        check("no promotion to undo" in again.err, again)
        check([r["outcome"] for r in records(box)] == ["promoted", "rolled back"], records(box))
        check("by --approve" in records(box)[0]["user"], records(box)[0])
        listed = box.run("history", box.file, code=0)
        check(plan in listed.out and "rolled back" in listed.out, listed)


@scenario(quick=True)
def what_disappoints_is_undone(box):
    with Production(box) as production:
        box.write("broken", "--from 4:http:500")
        done = box.run("promote", box.file, "--approve", production.plan(), "--json", code=7, lines=-1)
        result = json.loads(done.out)
        check(result["outcome"] == "rolled back" and "errors" in result["why"], done)
        check(any(c["answer"] == "failed" and c["check"] == "load" for c in result["checks"]), done)
        check(result["rollback_after_s"] is not None, result)
        check(production.runs() == ["60ms", "5ms", "60ms"], production.runs())
        check([r["outcome"] for r in records(box)] == ["rolled back"], records(box))


@scenario()
def what_does_not_start_is_undone(box):
    with Production(box) as production:
        for broken, says in (("--never-ready", "not ready"), ("--exit-at-start 1", "listens"),
                             ("--latency 1s", "llm.latency.p50"), ("--ready-then-die 1s", "llm")):
            box.write("broken", broken)
            done = box.run("promote", box.file, "--approve", production.plan(), code=7, lines=0)
            check("Rolled back" in done.out and says in done.out, done)
            check(production.runs()[-1] == "60ms", production.runs())


@scenario(quick=True)
def somebody_signs_it_off(box):
    with Production(box) as production:
        plan = production.plan()
        path = box.write("ok.json", json.dumps({"plan": plan, "name": "Anna \x1b[31m", "date": "2026"}))
        refused = box.run("promote", box.file, "--approved-file", path, code=2)
        check("\"date\"" in refused.err, refused)
        box.write("ok.json", json.dumps({"plan": "f" * 16, "name": "Anna", "date": "2026-11-26"}))
        refused = box.run("promote", box.file, "--approved-file", path, code=9)
        check("the file is for plan" in refused.err, refused)
        # The same plan under another PATH is another one: its digest is shown there and here.
        shown = json.loads(box.run("promote", box.file, "--plan-only", "--json", code=0).out)
        digest = next(e for e in shown["plan"]["environment"] if e.startswith("PATH "))
        check(digest in refused.err, refused)
        refused = box.run("promote", box.file, "--approve", plan, code=9,
                          env={"PATH": box.env["PATH"] + ":/usr/games"})
        check("PATH " in refused.err and digest not in refused.err, refused)
        box.write("ok.json", json.dumps({"plan": plan, "name": "Anna", "date": "2026-11-26", "ticket": 7}))
        # Who may write it may approve: only its owner may, and who owns the folders.
        folder, elsewhere = box.path("signed"), box.path("signed/ok.json")
        os.mkdir(folder)
        shutil.copy(path, elsewhere)
        for mode, place, owner, says in ((0o666, path, 0, "ok.json may be written by others"),
                                         (0o664, path, 12345, "ok.json may be written by others"),
                                         (0o777, folder, 0, "signed may be written by others"),
                                         (0o1777, folder, 12345, "ok.json belongs to another user")):
            before = os.stat(place).st_mode & 0o777
            os.chmod(place, mode)
            if place == path:
                os.chown(path, 0, owner)
            else:
                os.chown(elsewhere, owner, 0)
            refused = box.run("promote", box.file, "--approved-file",
                              path if place == path else elsewhere, code=2)
            check(says in refused.err, refused)
            os.chmod(place, before)
        check(production.runs() == ["60ms"], "promoted by a file of others")
        # A group that is its owner's alone is no other, as with a umask of 0002.
        os.chown(elsewhere, 0, 0)
        os.chmod(elsewhere, 0o664)
        os.chmod(folder, 0o775)
        box.run("promote", box.file, "--approved-file", elsewhere, code=0)
        check("by Anna on 2026-11-26 (file)" in records(box)[0]["user"], records(box)[0])


@scenario()
def a_person_is_asked(box):
    with Production(box) as production:
        code, text = answer(box, b"n\n", "promote")
        check(code == 9 and "declined; nothing was changed" in text, text)
        check("Apply plan" in text and production.runs() == ["60ms"], text)
        code, text = answer(box, b"n\n", "promote", ahead=b"y\n")
        check(code == 9 and production.runs() == ["60ms"], "typed before the question: " + text)
        code, text = answer(box, b"y\n", "promote")
        check(code == 0 and "Promoted: " in text and "spica rollback" in text, text)
        check("by prompt" in records(box)[0]["user"], records(box)[0])


@scenario()
def reader_gone(box):
    """Who read stdout has gone away: what was done to production is what the exit status says."""
    def spica(code, *words):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as out:
            done = subprocess.run([SPICA, *words], env=box.env, stdout=out, stderr=subprocess.PIPE, check=False)
        err = done.stderr.decode()
        check(done.returncode == code and "standard output: write error" in err, f"{words}: {done}")

    with Production(box) as production:
        for more in ([], ["--json"]):
            spica(1, "promote", box.file, "--dry-run", *more)  # nothing was done: no plan was told
            spica(0, "promote", box.file, "--approve", production.plan(), *more)
            check(production.runs()[-1] == "5ms", production.runs())
            spica(0, "rollback", box.file, *more)
            check(production.runs()[-1] == "60ms", production.runs())
            box.write("broken", "--from 4:http:500")
            spica(7, "promote", box.file, "--approve", production.plan(), *more)
            check(production.runs()[-1] == "60ms", production.runs())
            os.remove(box.path("broken"))
        outcomes = [r["outcome"] for r in records(box)]
        check(outcomes == ["promoted", "rolled back", "rolled back"] * 2, outcomes)


@scenario()
def programs_are_whose_they_were(box):
    with Production(box) as production:
        script = box.path("apply.py")
        os.chown(script, 12345, 0)
        refused = box.run("promote", box.file, "--dry-run", code=2)
        check("apply.py belongs to another user" in refused.err, refused)
        os.chown(script, 0, 0)
        box.run("promote", box.file, "--approve", production.plan(), code=0)
        with open(script, "a", encoding="utf-8") as file:
            file.write("# edited\n")
        refused = box.run("rollback", box.file, code=9)
        check("has changed since the plan was approved" in refused.err, refused)
        check("--accept program" in refused.err and production.runs()[-1] == "5ms", refused)
        box.run("rollback", box.file, "--accept", "program", code=0)
        check(production.runs()[-1] == "60ms", production.runs())


@scenario(quick=True)
def killed_in_the_middle(box):
    with Production(box) as production:
        plan = production.plan()
        box.write("slow", "")
        running = box.start("promote", box.file, "--approve", plan)
        wait_until(lambda: os.path.exists(box.path("begun")) or running.poll() is not None, "begun")
        running.signal(signal.SIGKILL)
        running.wait()
        os.remove(box.path("slow"))
        check(production.runs() == ["60ms"], production.runs())
        refused = box.run("promote", box.file, "--approve", plan, code=9)
        check("was interrupted" in refused.err and "spica rollback" in refused.err, refused)
        # Who had approved it is told before and after.
        listed = json.loads(box.run("history", box.file, "--json", code=0).out)["pending"]
        check(listed["plan"] == plan and "by --approve" in listed["approved"], listed)
        check("Not ended: plan " + plan in box.run("history", box.file, code=0).out, "history")
        refused = box.run("rollback", box.file, "--accept", "", code=2)
        check("and no \"\"" in refused.err, refused)
        # Somebody has broken the study file since; the journal is all that it takes.
        with open(box.file, encoding="utf-8") as file:
            study = file.read()
        box.write(box.file, "study: [sc\n")
        refused = box.run("rollback", box.file, code=2, lines=-1)
        check("NAME.spica" in refused.err and "study.yaml:" in refused.err, refused)
        box.run("rollback", box.results, "--dry-run", code=0, lines=-1)
        box.write(box.file, study)
        looked = json.loads(box.run("rollback", box.file, "--dry-run", "--json", code=0, lines=1).out)
        check(looked["outcome"] == "planned" and looked["found"] == "applying" and
              [s["doing"] for s in looked["steps"]] == ["run"], looked)
        back = box.run("rollback", box.file, code=0)
        check("was interrupted while it was applied, in step" in back.out, back)
        check("by --approve" in records(box)[-1]["approved"], records(box)[-1])
        check(production.runs()[-1] == "60ms", production.runs())
        box.run("promote", box.file, "--approve", production.plan(), code=0)
        check(production.runs()[-1] == "5ms", production.runs())


if __name__ == "__main__":
    main(__name__)
