"""What guard does to the machine: units restarted with back-off and limits, commands told, a promotion
rolled back, and what becomes of it all when guard is killed in the middle. On a real `systemd --user`.

usage: see harness.py
"""
import json
import os
import shutil
import signal
import subprocess
import time

from harness import FAKE, ROOT, SPICA, check, main, scenario
from production import NEW, OLD, Production, free_ports, write_study
from systemd_box import Systemd, wait_until
from traffic import fetch

SOON = "TimeoutStopSec=5"


class Guarded:
    """A unit of the fake service, and guard over it. `guard` are keys of the study's `guard:`."""

    def __init__(self, box, extra=SOON, study=None, program=FAKE, **guard):
        self.box, self.extra, self.program = box, extra, program
        self.systemd = Systemd(box)
        self.port, self.http = free_ports(2)
        parts = dict(study or {})
        knobs = parts.pop("knobs", {})
        options = ["--latency", "{wait}"] if knobs else []
        study = box.study(file=False, llm=box.fake("llm", *options, knobs=knobs), **parts)
        study["guard"] = dict({
            "every": "200ms", "probe": 0, "listen": f"127.0.0.1:{self.http}",
            "watch": {"llm": {"unit": "llm.service", "user": True, "port": self.port}},
            "rules": [{"name": "llm is down", "when": "llm.up == 0", "for": "400ms",
                       "cool_down": "0s", "do": ["restart"]}],
            "act": {"restart": {"per_hour": 2, "back_off": "6s"}},
        }, **guard)
        self.study = study
        write_study(box, study)

    def __enter__(self):
        self.systemd.__enter__()
        self.starts = self.box.write("starts", "")
        self.systemd.service(
            "llm", f"{self.program} --kind llm --port {self.port} --life 900s",
            extra=f"ExecStartPre=/bin/sh -c 'echo x >>{self.starts}'\nRestart=no\n{self.extra}")
        self.systemd.start("llm")
        self.running = None
        return self

    def __exit__(self, kind, value, trace):
        if self.running and self.running.poll() is None:
            self.running.signal(signal.SIGKILL)
            self.running.popen.wait()
        if kind is not None:
            print(self.story())
        self.systemd.__exit__(kind, value, trace)

    def begin(self, *args, **more):
        self.running = self.box.start("guard", self.box.file, "--json", *args, **more)
        self.see(lambda: self.status() is not None)
        self.see(lambda: self.value("llm.up") is not None)
        return self.running

    def kill(self):
        self.running.signal(signal.SIGKILL)
        self.running.popen.wait()

    def story(self):
        texts = [f"{self.lines()}" if self.running else ""]
        if self.running:
            with open(self.running._err, encoding="utf-8", errors="replace") as file:
                texts.append(file.read()[-3000:])
        return "\n".join(texts + [self.systemd.story()])

    def see(self, what, within=60):
        def holds():
            check(self.running is None or self.running.poll() is None, self.story())
            return what()
        wait_until(holds, self.story, within)

    # -- what guard says --

    def lines(self):
        text = self.running.output()
        return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]

    def said(self, part):
        """A decision or an event whose text has this in it."""
        return any(part in line.get("text", "") for line in self.lines())

    def said_in_status(self, part):
        return any(part in event["text"] for event in self.status()["events"])

    def get(self, path):
        return fetch(f"http://127.0.0.1:{self.http}{path}")

    def status(self):
        text = self.get("/status")
        return json.loads(text) if text else None

    def value(self, name):
        status = self.status()
        return status["values"][name]["value"] if status else None

    # -- the unit --

    def crash(self):
        pid = self.systemd.pid("llm")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.systemd.state("llm") == "failed" or
                   self.systemd.pid("llm") not in (0, pid), self.systemd.story)

    def start_count(self):
        with open(self.starts, encoding="utf-8") as file:
            return len(file.read().split())

    def over(self, times):
        """The rule's alarm has been over so often."""
        self.see(lambda: sum(line.get("rule") == "llm is down" and line.get("to") == "fine"
                             for line in self.lines()) >= times)

    def restarted(self, times):
        """Up again after so many restarts, and guard knows it."""
        self.see(lambda: self.start_count() == 1 + times and self.systemd.active("llm"))
        self.see(lambda: self.value("llm.up") == 1)


@scenario(quick=True)
def a_crash_is_mended_with_back_off_and_a_limit(box):
    with Guarded(box) as guarded:
        guarded.begin()
        guarded.crash()
        guarded.restarted(1)
        guarded.see(lambda: guarded.said("restart: llm.service restarted in"))
        guarded.over(1)
        guarded.crash()  # within its back-off: not at once
        guarded.see(lambda: guarded.said("withheld: backs off"))
        guarded.restarted(2)
        guarded.over(2)
        guarded.crash()  # that was its limit
        guarded.see(lambda: guarded.said("withheld: 2 of 2"))
        guarded.kill()  # a guard that knows nothing of it: the book on disk does
        guarded.begin()
        guarded.see(lambda: guarded.said("restart of llm not done: 2 in the last hour, at most 2"))
        check(guarded.start_count() == 3 and guarded.systemd.state("llm") == "failed",
              guarded.story())


@scenario()
def a_unit_that_somebody_stopped_stays_stopped(box):
    with Guarded(box) as guarded:
        guarded.begin()
        guarded.systemd.stop("llm")
        guarded.see(lambda: guarded.said("it is stopped, as by somebody's hand, and stays so"))
        check(guarded.start_count() == 1, guarded.story())


@scenario()
def nothing_is_done_that_is_not_named(box):
    with Guarded(box, act={}) as guarded:
        guarded.begin()
        guarded.crash()
        guarded.see(lambda: guarded.said("under act"))
        check(guarded.start_count() == 1, guarded.story())


@scenario()
def a_dry_run_says_what_it_would_do(box):
    with Guarded(box) as guarded:
        guarded.begin("--dry-run")
        guarded.crash()
        guarded.see(lambda: guarded.said("restart: would restart it: llm.service (--dry-run)"))
        check(guarded.start_count() == 1, guarded.story())
        check(guarded.status()["dry_run"] is True, guarded.status())


@scenario()
def a_restart_under_way_is_not_begun_twice(box):
    """guard is killed while the unit takes its time to stop, and the next one leaves systemd to it."""
    slow = "TimeoutStopSec=30\nExecStop=/bin/sh -c 'touch stopping; sleep 4'\nWorkingDirectory="
    rules = [{"name": "always", "when": "llm.up == 1", "do": ["restart"], "cool_down": "1h"}]
    with Guarded(box, extra=slow + box.folder, rules=rules,
                 act={"restart": {"per_hour": 9, "back_off": "1s"}}) as guarded:
        guarded.begin()
        guarded.see(lambda: os.path.exists(box.path("stopping")))
        guarded.kill()
        guarded.running = box.start("guard", box.file, "--json")
        guarded.see(lambda: guarded.said("was begun at"))
        check(guarded.said("it counts and is not begun again"), guarded.story())
        guarded.kill()
        wait_until(lambda: guarded.start_count() == 2 and guarded.systemd.active("llm"),
                   guarded.story)
        check(guarded.start_count() == 2, guarded.story())


@scenario()
def a_command_that_hangs_holds_up_nobody(box):
    note = box.write("note.sh", "#!/bin/sh\nprintf '%s|%s|%s\\n' \"$@\" >>told\nsleep 300\n")
    os.chmod(note, 0o755)
    act = {"notify": {"command": [note, "{rule}", "{state}", "{text}"], "per_hour": 100},
           "restart": {"per_hour": 9, "back_off": "1s"}}
    rules = [{"name": "llm is down", "when": "llm.up == 0", "for": "400ms",
              "do": ["notify", "restart"]}]
    with Guarded(box, act=act, rules=rules) as guarded:
        guarded.begin()
        guarded.crash()
        guarded.restarted(1)
        with open(box.path("told"), encoding="utf-8") as file:
            told = file.read()
        check("llm is down|alarm|" in told and "llm.up" in told, told)
        before = guarded.status()["ticks"]
        guarded.see(lambda: guarded.status()["ticks"] > before + 5)
        guarded.running.signal(signal.SIGTERM)
        check(guarded.running.wait(30).code == 0, guarded.story())
        guarded.running = None
        # It has its time and ends by itself, its program with it.
        wait_until(lambda: "sleep 300" not in subprocess.run(
            ["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout,
            "the command goes on", 60)


def shipped_unit(box, systemd):
    """The shipped unit with our binary, study and a shorter leash, started. Its lock folder is the
    default one, as far as the unit lets it."""
    os.makedirs("/run/lock", exist_ok=True)  # a machine has one; the box's /run is its own
    with open(os.path.join(ROOT, "share/systemd/spica-guard.service.in"), encoding="utf-8") as file:
        text = file.read()
    for old, new in (
            ("@bindir@/spica", SPICA), ("WatchdogSec=30", "WatchdogSec=2"),
            ("RestartSec=3", "RestartSec=1"), ("PrivateTmp=yes", "PrivateTmp=no"),
            ("ProtectKernelTunables=yes\n", ""),  # /proc of the box can't be mounted over
            ("ProtectControlGroups=yes\n", ""),  # with two mounts on one place it leaves /run open
            ("WorkingDirectory=/var/lib/spica", f"WorkingDirectory={box.folder}"),
            ("EnvironmentFile=-/etc/spica/guard.env",
             f"Environment=SPICA_STUDY={box.file}\nUnsetEnvironment=SPICA_LOCK_DIR\n"
             f"ReadWritePaths={box.folder}\nStandardError=append:{box.path('guard.log')}")):
        check(old in text, old)
        text = text.replace(old, new)
    systemd.write("spica-guard.service", text)
    systemd.ctl("start", "spica-guard")
    check(systemd.active("spica-guard"),
          systemd.ctl("show", "-p", "Result,ExecMainStatus,StatusText", "spica-guard"))


def as_a_unit(guarded):
    shipped_unit(guarded.box, guarded.systemd)
    wait_until(lambda: guarded.value("llm.up") == 1, guarded.story)


@scenario()
def a_promotion_is_rolled_back(box):
    """By the shipped unit, which may write little."""
    with Production(box) as production:
        production.promote(0)
        production.expect(NEW)
        http, = free_ports(1)
        production.study["guard"] = {
            "every": "200ms", "probe": 0, "listen": f"127.0.0.1:{http}",
            "rules": [{"name": "worse than before", "when": "llm.up == 1", "for": "1s",
                       "do": ["rollback"], "cool_down": "1h"}],
            "act": {"rollback": {"per_hour": 1}}}
        production.write_study()
        # Touched by somebody: nobody is there to accept it.
        unit = os.path.join(production.systemd.units, "llm.service")
        os.utime(unit)
        shipped_unit(box, production.systemd)

        def acted():
            text = fetch(f"http://127.0.0.1:{http}/status")
            return [event["text"] for event in json.loads(text)["events"]
                    if event["event"] == "acted"] if text else []
        wait_until(lambda: any("rollback" in text or "rolled back" in text for text in acted()),
                   production.systemd.story, 120)
        check(any("the last promotion is rolled back and was seen to work" in text
                  for text in acted()), acted())
        production.systemd.stop("spica-guard")
        check(production.systemd.ctl("show", "-P", "Result", "spica-guard") == "success",
              production.systemd.story())
        production.expect(OLD)
        last = production.records()[-1]
        check(last["outcome"] == "rolled back" and "worse than before" in json.dumps(last), last)
        check("taken as it is: " + unit in json.dumps(last), last)


class Named(Production):
    """The server of each setting has a name of its own, and knows no other."""

    def __init__(self, box):
        knobs = {"wait": [OLD["llm"], NEW["llm"]]}
        super().__init__(box, load={"llm": {"model": "m-{wait}"}},
                         llm=box.fake("llm", "--latency", "{wait}", "--only-model", "--model",
                                      "m-{wait}", knobs=knobs, protocol="ollama-chat"))

    def units(self):
        super().units()
        self.systemd.service(
            "llm", f"{FAKE} --kind llm --port {self.llm_port} --life 900s --latency ${{WAIT}} "
                   "--only-model --model m-${WAIT}", extra=f"Environment=WAIT={OLD['llm']}\n{SOON}")
        self.systemd.ctl("daemon-reload")
        self.systemd.ctl("restart", "llm")
        wait_until(lambda: self.answers(self.llm_port), self.systemd.story)


@scenario()
def what_production_runs_is_followed(box):
    """A rollback and a promotion under a running guard: it asks as the new setting wants to be asked."""
    with Named(box) as production:
        http, = free_ports(1)
        production.promote(0)
        production.study["guard"] = {"every": "200ms", "probe": {"llm": "2/s", "rag": 0},
                                     "listen": f"127.0.0.1:{http}"}
        production.write_study()
        running = box.start("guard", box.file, "--json")

        def probes():
            """How many were answered in the window, how many of all were refused."""
            text = fetch(f"http://127.0.0.1:{http}/status")
            if text is None:
                return 0, None
            values = json.loads(text)["values"]
            return (values["llm.probe.latency.p50"].get("count") or 0,
                    values["llm.probe.errors"]["value"])

        def lines():
            text = running.output()
            return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]

        def follows(words, setting, before):
            def said():
                return [i for i, line in enumerate(lines()) if i >= before and
                        "production runs another setting" in line.get("text", "")]
            wait_until(lambda: said() or running.poll() is not None, running.output)
            at = said()[-1]
            check(words in lines()[at]["text"] and f"llm.wait={setting}" in lines()[at]["text"],
                  lines()[at])
            wait_until(lambda: probes()[0] > 8, running.output)
            check(probes()[1] == 0, probes())
            check(not any(line.get("kind") == "fails" or line.get("rule") == "fails"
                          and line.get("to") == "firing" for line in lines()[at:]), lines()[at:])

        wait_until(lambda: probes()[0] > 3, running.output)
        check(probes()[1] == 0, running.output())
        before = len(lines())
        production.rollback()
        production.expect(OLD)
        follows("the study's baseline", OLD["llm"], before)
        before = len(lines())
        production.promote(0, "--accept", "study")
        production.expect(NEW)
        follows("what was promoted", NEW["llm"], before)
        running.signal(signal.SIGTERM)
        result = running.wait(30)
        check(result.code == 0, str(result))
        for setting in (OLD, NEW):
            check(f"taken to run from here on: llm.wait={setting['llm']} " in result.err, result.err)


@scenario()
def the_shipped_unit_runs(box):
    """Type=notify, its watchdog, and the hardening."""
    with Guarded(box) as guarded:
        as_a_unit(guarded)
        check("watching 1 service" in guarded.systemd.ctl("show", "-P", "StatusText", "spica-guard"),
              guarded.story())
        guarded.crash()
        guarded.restarted(1)
        first = guarded.systemd.pid("spica-guard")
        os.kill(first, signal.SIGSTOP)
        wait_until(lambda: guarded.systemd.pid("spica-guard") not in (0, first) and
                   guarded.systemd.active("spica-guard"), guarded.story)
        wait_until(lambda: guarded.value("llm.up") == 1, guarded.story)
        guarded.systemd.stop("spica-guard")
        check(guarded.systemd.active("llm"), guarded.story())


def request(box):
    try:
        with open(box.path("sc.spica.restudy.json"), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def soon_over():
    """A window that is open now and closes within two minutes, not at once."""
    now = time.localtime()
    shifts = (-1, 1 if now.tm_sec < 40 else 2)
    minutes = [(now.tm_hour * 60 + now.tm_min + shift) % 1440 for shift in shifts]
    return "-".join(f"{m // 60:02d}:{m % 60:02d}" for m in minutes)


def updated(box):
    """Another build of the program that was measured, under the same name."""
    program = box.path("updated", os.path.basename(FAKE))
    os.makedirs(os.path.dirname(program))
    shutil.copy(FAKE, program)
    with open(program, "ab") as file:
        file.write(b"another build")
    return program


LONG = {"measure": {"window": "5s", "alone": "0s"},
        "knobs": {"wait": [f"{ms}ms" for ms in range(1, 41)]}}


def restudied(guarded, **restudy):
    """The study is measured, then production runs another version, then guard comes: the unit that
    measures again."""
    guarded.box.run("run", guarded.box.file, "--quiet", "--trials", 1, code=0)
    guarded.study["guard"]["act"] = {"restudy": {
        key: value() if callable(value) else value for key, value in restudy.items()}}
    write_study(guarded.box, guarded.study)
    as_a_unit(guarded)

    def units():
        return [word for word in guarded.systemd.ctl("list-units", "--plain").split()
                if word.startswith("spica-restudy-")]
    wait_until(units, guarded.story)
    return units()[0]


@scenario()
def a_new_study_runs_as_a_unit_and_stops_with_its_window(box):
    """For another version, as a rule of the file says. It does not fit into its window, and waits for
    the next one."""
    rules = [{"name": "another version", "when": "guard.changed.versions == 1", "do": ["restudy"],
              "cool_down": "1h"}]
    with Guarded(box, rules=rules, study=LONG, program=updated(box)) as guarded:
        unit = restudied(guarded, between=soon_over)
        check(guarded.said_in_status("llm: the study measured sha256 "), guarded.story())
        check(request(box)["rule"] == "another version", request(box))
        check(guarded.systemd.ctl("show", "-P", "MemoryMax", unit) == "infinity", guarded.story())
        wait_until(lambda: request(box)["state"] == "queued", lambda: str(request(box)), 150)
        check("resumes; goes on later" in request(box)["result"], request(box))
        wait_until(lambda: guarded.said_in_status("goes on later"), guarded.story)
        check(guarded.systemd.ctl("list-units", "--plain").count("spica-restudy-") == 0,
              guarded.story())


@scenario()
def a_new_study_whose_minder_was_killed_ends_with_its_window(box):
    """Asked for by the built-in alarm. Before: it ran on, into the day."""
    with Guarded(box, rules=[], study=LONG, program=updated(box)) as guarded:
        unit = restudied(guarded, between=soon_over)
        check(request(box)["rule"] == "versions changed", request(box))
        check("study measured sha256 " in request(box)["why"], request(box))
        os.kill(request(box)["minder"]["pid"], signal.SIGKILL)
        study = guarded.systemd.pid(unit)
        check(study > 0, guarded.story())
        wait_until(lambda: guarded.systemd.pid(unit) != study, guarded.story, 240)
        check(guarded.systemd.ctl("show", "-P", "Result", unit) in ("timeout", "success"),
              guarded.systemd.ctl("show", "-p", "Result,ExecMainStatus", unit))


@scenario()
def a_new_study_pauses_the_units_that_the_file_names(box):
    """They are down meanwhile, and up again at its end."""
    with Guarded(box, rules=[], study={"measure": {"window": "3s"}},
                 program=updated(box)) as guarded:
        restudied(guarded, pause=["llm.service"], user=True)
        wait_until(lambda: guarded.systemd.state("llm") == "inactive", guarded.story)
        wait_until(lambda: request(box)["state"] == "done", lambda: str(request(box)), 150)
        check("awaits approval" in request(box)["result"], request(box))
        check(guarded.systemd.active("llm"), guarded.story())
        # Nobody is called for it.
        status = guarded.status()
        check(not [one for one in status["decisions"] if one["rule"] == "down"], status["decisions"])
        check(not [one for one in status["events"] if one["event"] == "down"], status["events"])
        check(guarded.start_count() == 2, guarded.story())


if __name__ == "__main__":
    main(__name__)
