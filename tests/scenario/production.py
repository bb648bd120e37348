"""Production in a box: two units of the fake service on a real `systemd --user`, and a study that has a
better setting for both. Shared by test_promote.py and bench/promote.py.

    with Production(box) as production:      # measured, units up with the old setting
        production.promote(0)                # plan, approve, apply
        production.expect(NEW)

`llm` gets its setting as variables, `rag` as a whole command, both by drop-ins. What the new setting runs
into is in the file `faults`: options of the fake service that only the new drop-in makes it read.
"""

import atexit
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import tempfile
import time

from harness import FAKE, check
from systemd_box import Systemd, wait_until
from traffic import fetch

OLD = {"llm": "60ms", "rag": "40ms"}
NEW = {"llm": "5ms", "rag": "8ms"}
JOURNAL = "sc.spica.promotion.json"
DROP_IN = "10-spica.conf"


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for s in held:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


# Studies that were measured already, by their text: where a path is not in it, a copy is as good.
MEASURED = tempfile.mkdtemp(prefix="spica-sc-measured-")
atexit.register(shutil.rmtree, MEASURED, True)  # a scenario's own process does not run it


def write_study(box, study, production=None):
    """Its sections in block style, so that production's is none of the text that is measured."""
    parts = dict(study, **({"production": production} if production else {}))
    return box.write("study.yaml", "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n"
                                           for key, value in parts.items()))


def measure(box, **parts):
    """Measures the study whose winner is NEW and whose baseline is OLD; `parts` as of box.study()."""
    parts = dict({
        "llm": box.fake("llm", "--latency", "{wait}", knobs={"wait": [OLD["llm"], NEW["llm"]]}),
        "rag": box.fake("llm", "--latency", NEW["rag"]),
        "baseline": {"llm.wait": OLD["llm"]},
        "goal": {"optimise": {"llm.latency.p50": {"good": "1ms", "bad": "1s"}},
                 "require": ["llm.latency.p50 < 300ms", "llm.errors == 0", "rag.errors == 0"]},
    }, **parts)
    study = box.study(file=False, **parts)
    write_study(box, study)
    key = hashlib.sha256(json.dumps(study).encode()).hexdigest()
    kept = os.path.join(MEASURED, key)
    with open(kept + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(kept):
            shutil.copytree(kept, box.results)
        else:
            box.run("run", box.file, "--quiet", code=0)
            shutil.copytree(box.results, kept)
    return study


def tree(folder):
    """path -> what lstat and the bytes say, of all below the folder. Two equal trees: nothing was
    touched, not even written anew."""
    found = {}
    for top, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(top, name)
            s = os.lstat(path)
            text = b""
            if stat.S_ISREG(s.st_mode):
                with open(path, "rb") as file:
                    text = file.read()
            found[path] = (s.st_mode, s.st_ino, s.st_uid, s.st_mtime_ns if text else 0,
                           hashlib.sha256(text).hexdigest())
    return found


class Production:
    """`llm.service` and `rag.service` with OLD, and spica's commands on them. `services` replaces what
    production says of a service; `general` are further keys of `production`."""

    manager = Systemd

    def __init__(self, box, services=None, general=None, config="config", system=False, **parts):
        self.box = box
        self.study = measure(box, **parts)
        self.llm_port, self.rag_port = free_ports(2)
        self.systemd = self.manager(box, config, system)
        self.faults = box.write("faults", "")
        self.services = {
            "llm": {"unit": "llm.service", "user": not system, "port": self.llm_port, "within": "20s",
                    "environment": {"WAIT": "{wait}", "FAKE_SERVICE_SCRIPT": self.faults}},
            "rag": {"unit": "rag.service", "user": not system, "port": self.rag_port, "within": "20s",
                    "exec": [FAKE, "--kind", "llm", "--port", "{port}", "--life", "900s",
                             "--latency", NEW["rag"]]}}
        self.services.update(services or {})
        self.general = dict({"verify": {"window": "1s", "rate": "20/s"}}, **(general or {}))
        self.write_study()

    def write_study(self, **services):
        """The study file with production as it is now; a service that is None is left out."""
        self.services.update(services)
        told = {name: keys for name, keys in self.services.items() if keys}
        write_study(self.box, self.study, dict(told, **self.general))

    def __enter__(self):
        self.systemd.__enter__()
        try:
            self.units()
        except BaseException:
            self.systemd.__exit__(None, None, None)
            raise
        return self

    def units(self):
        """The units as somebody wrote them, up. One that is asked to end while it starts may not hear
        it; that is systemd's to end, soon."""
        systemd, soon = self.systemd, "TimeoutStopSec=5"
        systemd.service("llm", f"{FAKE} --kind llm --port {self.llm_port} --life 900s "
                               "--latency ${WAIT}", extra=f"Environment=WAIT={OLD['llm']}\n{soon}")
        systemd.service("rag", f"{FAKE} --kind llm --port {self.rag_port} --life 900s "
                               f"--latency {OLD['rag']}", extra=soon)
        self.start("llm", "rag")

    def start(self, *names):
        """Up, and answering."""
        self.systemd.start(*names)
        for port in (self.llm_port, self.rag_port):
            wait_until(lambda: not port or self.answers(port), self.systemd.story)

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print(self.box.story()[-6000:])
        self.systemd.__exit__(kind, value, trace)

    # -- commands --

    def spica(self, command, *args, code=None, **more):
        return self.box.run(command, self.box.file, *args, code=code, lines=-1, **more)

    def plan(self, *args):
        """The plan's id."""
        return json.loads(self.spica("promote", *args, "--plan-only", "--json", code=0).out)["plan"]["id"]

    def promote(self, code, *args, plan=None):
        """Approved as planned; what --json says."""
        plan = plan or self.plan(*args)
        done = self.spica("promote", *args, "--approve", plan, "--json", code=code)
        return json.loads(done.out) if done.out else done.err

    def begin(self, *args):
        """The same under way."""
        return self.box.start("promote", self.box.file, *args, "--approve", self.plan(*args))

    def rollback(self, code=0, *args):
        return self.spica("rollback", *args, code=code)

    def fault(self, *options):
        """What the new setting of llm will run into: an option and its value each."""
        self.box.write("faults", "".join(option + "\n" for option in options))

    # -- what there is --

    def journal(self):
        """The journal as a dict, None before the first promotion. It is replaced whole."""
        try:
            with open(self.box.path(JOURNAL), encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return None

    def records(self):
        return json.loads(self.spica("history", "--json", code=0).out)["promotions"]

    def drop_in(self, unit):
        return os.path.join(self.systemd.units, f"{unit}.service.d", DROP_IN)

    def pids(self, *names):
        return {name: self.systemd.pid(name) for name in names or ("llm", "rag")}

    def command_line(self, name):
        with open(f"/proc/{self.systemd.pid(name)}/cmdline", "rb") as file:
            return [word.decode() for word in file.read().split(b"\0")[:-1]]

    def environment(self, name):
        with open(f"/proc/{self.systemd.pid(name)}/environ", "rb") as file:
            pairs = [entry.split(b"=", 1) for entry in file.read().split(b"\0") if b"=" in entry]
        return {name.decode(): value.decode() for name, value in pairs}

    def answers(self, port):
        return fetch(f"http://127.0.0.1:{port}/health") is not None

    def running(self):
        """The setting that each unit runs with, by its process."""
        found = {}
        for name in ("llm", "rag"):
            line = self.command_line(name)
            found[name] = line[line.index("--latency") + 1]
        return found

    def expect(self, setting, files=None):
        """Both units are up, run with that and answer, and systemd has nothing to read again. `files`:
        the units' folder as it was with that setting."""
        for name in ("llm", "rag"):
            check(self.systemd.active(name), self.systemd.story())
        check(self.running() == setting, f"{self.running()}, not {setting}\n{self.systemd.story()}")
        check(self.answers(self.llm_port) and self.answers(self.rag_port), self.systemd.story())
        now = self.contents()
        check(files is None or now == files, f"files: {now}\nnot {files}")

    def contents(self):
        """path -> (mode, owner, bytes) of the units' folder: temporary files would be seen."""
        found = {}
        for path, facts in tree(self.systemd.units).items():
            data = b""
            if stat.S_ISREG(facts[0]):
                with open(path, "rb") as file:
                    data = file.read()
            found[path] = (facts[0], facts[2], data)
        return found

    # -- kills --

    def kill_at(self, running, moment):
        """Kills the command as soon as moment(journal) is true; False when it ended before."""
        before = self.journal_bytes()
        while running.poll() is None:
            now = self.journal_bytes()
            if now != before and now and moment(json.loads(now)):
                running.signal(signal.SIGKILL)
                break
            time.sleep(0.0003)
        running.popen.wait()
        return running.popen.returncode == -signal.SIGKILL

    def journal_bytes(self):
        try:
            with open(self.box.path(JOURNAL), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def forget(self):
        """As if nothing had ever been promoted."""
        for name in (JOURNAL, "sc.spica.promotions"):
            path = self.box.path(name)
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.remove(path)
