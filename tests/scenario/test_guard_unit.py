"""Guard as it is installed: the unit that meson made, on a real `systemd --system`, with an HAProxy that guard
runs itself in the same control group. Whatever ends guard, clients notice nothing. And guard without root:
the shipped rule of polkit, by its own engine and by the real polkitd.

usage: see harness.py"""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import threading

from harness import FAKE, ROOT, SPICA, check, main, scenario
from own_system import DEPLOY, DEPLOY_ID, RULES, SystemUnits, boot, inside, scene
from production import free_ports
from systemd_box import skip_unless, wait_until
from traffic import Traffic, accepts, multipart

MADE = os.path.join(os.path.dirname(SPICA), "../../share")  # by meson
STATE = "/var/lib/spica"                                    # the shipped unit's StateDirectory
PROGRAM = "/var/lib/spica-bin/spica"
STUDY = f"{STATE}/study.yaml"
WAV = b"RIFF" + bytes(4096)
AS_DEPLOY = ("setpriv", f"--reuid={DEPLOY_ID}", f"--regid={DEPLOY_ID}", "--clear-groups", "--")


def haproxy():
    return shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")


class Stream:
    """One long answer, read as it comes."""

    def __init__(self, port, tokens):
        self.port, self.tokens = port, tokens
        self.lines, self.why = 0, None  # "" whole
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        wait_until(lambda: self.lines > 2 or self.why is not None, "no first token")

    def _read(self):
        last = b""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            body = {"model": "fake-model", "stream": True, "max_tokens": self.tokens,
                    "messages": [{"role": "user", "content": "Say something long."}]}
            connection.request("POST", "/v1/chat/completions", json.dumps(body),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            check(answer.status == 200, f"status {answer.status}")
            for line in answer:
                self.lines += 1
                last = line if line.strip() else last
            self.why = "" if b"[DONE]" in last else f"cut after {self.lines} lines: {last!r}"
        except (OSError, http.client.HTTPException, AssertionError) as error:
            self.why = f"{type(error).__name__} {error} after {self.lines} lines"

    def whole(self):
        self.thread.join(60)
        check(self.why == "", self.why)


class Upload:
    """A recording of which the first half is sent: the other when we say so."""

    def __init__(self, port):
        body, head = multipart(WAV, 200000)
        self.rest = body[len(body) // 2:]
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.connection.putrequest("POST", "/v1/audio/transcriptions")
        for name, value in dict(head, **{"Content-Length": str(len(body))}).items():
            self.connection.putheader(name, value)
        self.connection.endheaders(body[:len(body) // 2])

    def whole(self):
        self.connection.send(self.rest)
        answer = self.connection.getresponse()
        text = answer.read()
        check(answer.status == 200 and "text" in json.loads(text), f"{answer.status} {text[:100]!r}")
        self.connection.close()


class Installed:
    """The shipped unit, a study in its state folder, two servers as units, HAProxy in front of them."""

    def __init__(self, box, systemd, drop_in="", proxy=None, **guard):
        self.box, self.systemd = box, systemd
        self.port, self.http, base, tiny = free_ports(4)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var/lib"], check=True)
        for folder in (STATE, os.path.dirname(PROGRAM)):
            os.mkdir(folder)
        shutil.copy(SPICA, PROGRAM)  # where no line of the unit hides it
        study = box.study(file=False, llm=box.fake("llm"))
        self.study = dict(study, guard=dict({
            "every": "200ms", "probe": 0, "listen": f"127.0.0.1:{self.http}",
            "watch": {"llm": {"unit": "base.service", "port": base}},
            "proxy": proxy or {"folder": f"{STATE}/haproxy"},
            "fronts": {"llm": {"port": self.port,
                               "tiers": {"base": {"port": base}, "tiny": {"port": tiny}}}}}, **guard))
        self.write()
        for name, port in (("base", base), ("tiny", tiny)):
            systemd.service(name, f"{FAKE} --kind both --port {port} --life 900s --latency 20ms "
                                  "--latency-per-token 15ms", extra=f"TimeoutStopSec=5\n{drop_in}")
            systemd.start(name)
            wait_until(lambda port=port: accepts(port), systemd.story)

    def write(self):
        with open(STUDY, "w", encoding="utf-8") as file:
            json.dump(self.study, file)

    def install(self, *lines):
        """Byte for byte as it is shipped; what differs here stands in a drop-in, as `systemctl edit` makes it:
        the program's place, a shorter leash, its words in a file. (A sanitizer looks for leaks by tracing, which
        the unit's filter of system calls does not let it.)"""
        folder = "/etc/systemd/system/spica-guard.service.d"
        os.mkdir(folder)
        with open(f"{folder}/override.conf", "w", encoding="utf-8") as file:
            file.write("\n".join(("[Service]", "ExecStart=", f"ExecStart={PROGRAM} guard ${{SPICA_STUDY}}",
                                  "WatchdogSec=2", "RestartSec=500ms", "Environment=ASAN_OPTIONS=detect_leaks=0",
                                  f"StandardOutput=append:{STATE}/said",
                                  f"StandardError=append:{STATE}/said", *lines, "")))
        with open(f"{MADE}/spica-guard.system.service", encoding="utf-8") as file:
            self.systemd.write("spica-guard.service", file.read())

    def start(self):
        self.systemd.ctl("start", "spica-guard")
        check(self.systemd.active("spica-guard"), self.story())

    def story(self):
        facts = self.systemd.ctl("show", "-p", "Result,ExecMainStatus,StatusText,NRestarts", "spica-guard")
        said = ""
        if os.path.exists(f"{STATE}/said"):
            with open(f"{STATE}/said", encoding="utf-8", errors="replace") as file:
                said = file.read()[-4000:]
        return f"{facts}\n{said}\n{self.systemd.story()}"

    def status(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=10)
            connection.request("GET", "/status")
            return json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):  # it ends in the middle of an answer
            return None

    def said(self, *parts):
        """An event or a decision has all of these in its text."""
        status = self.status() or {"events": [], "decisions": []}
        return [line["text"] for line in status["events"] + status["decisions"]
                if all(part in line["text"] for part in parts)]

    def spica(self, *args, prefix=(), code=0):
        done = subprocess.run([*prefix, PROGRAM, *args], env=dict(self.box.env, HOME="/nonexistent"), text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
        check(done.returncode == code, f"{args}: {done.returncode} {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def alarm(self, rule):
        status = self.status() or {"rules": []}
        return [one["state"] for one in status["rules"] if one["rule"] == rule] == ["alarm"]

    def haproxies(self):
        """Master and worker."""
        with open(f"{STATE}/haproxy/haproxy.pid", encoding="utf-8") as file:
            master = int(file.read())
        return master, int(self.spica("proxy", STUDY, "look").split("process ")[1].split(")")[0])

    def tier(self):
        return [line.split()[1].rstrip(":") for line in self.spica("proxy", STUDY, "look").splitlines()
                if "takes new requests" in line]


def group_of(pid):
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        return file.read().strip().rsplit("/", 1)[-1]


# ---- inside: the data plane ----

@scene
def whatever_ends_guard(box):
    skip_unless(haproxy(), "haproxy is not installed")
    with SystemUnits(box) as systemd:
        installed = Installed(box, systemd)
        installed.install()
        installed.start()
        wait_until(lambda: accepts(installed.port), installed.story)
        installed.spica("proxy", STUDY, "tier", "llm", "tiny")
        processes = installed.haproxies()
        # The case at hand: HAProxy is in the control group that systemd ends.
        check(group_of(processes[1]) == "spica-guard.service", group_of(processes[1]))
        traffic = Traffic(WAV)
        traffic.add(2, traffic.upload, installed.port)
        traffic.add(2, traffic.stream, installed.port)

        def kill(number):
            def do():
                first = systemd.pid("spica-guard")
                os.kill(first, number)
                wait_until(lambda: systemd.pid("spica-guard") not in (0, first), installed.story)
            return do

        def down():
            systemd.stop("spica-guard")
            check(systemd.state("spica-guard") == "inactive" and installed.status() is None,
                  installed.story())
            answers = traffic.answers()
            wait_until(lambda: traffic.answers() > answers + 5, "no answers without guard")

        def survives(what, do, tokens, up=True):
            stream, upload = Stream(installed.port, tokens), Upload(installed.port)
            answers = traffic.answers()
            do()
            if up:
                wait_until(lambda: systemd.active("spica-guard") and installed.status(), installed.story)
            upload.whole()
            stream.whole()
            wait_until(lambda: traffic.answers() > answers, "no answers")
            check(not traffic.failures, f"{what}: {traffic.failures[:5]}")
            check(installed.haproxies() == processes, f"{what}: HAProxy is another: {installed.story()}")
            check(installed.tier() == ["tiny"], f"{what}: {installed.tier()}")
            print("unharmed:", what)

        survives("kill -9", kill(signal.SIGKILL), 120)
        survives("the watchdog", kill(signal.SIGSTOP), 250)  # nobody else ends one that is stopped
        survives("systemctl restart", lambda: systemd.ctl("restart", "spica-guard", ok=True), 80)
        survives("systemctl stop", down, 80, up=False)
        survives("systemctl start", installed.start, 80)
        # An HAProxy that was killed comes back as guard's own, within the same fences.
        traffic.stop()
        os.kill(processes[0], signal.SIGKILL)
        wait_until(lambda: not accepts(installed.port), "its worker goes on")
        wait_until(lambda: accepts(installed.port) and installed.tier() == ["tiny"], installed.story)
        check(not traffic.failures, traffic.failures[:5])
        # And a deliberate end of the data plane is a word of its own.
        systemd.stop("spica-guard")
        installed.spica("proxy", STUDY, "stop", "--within", "10s")
        check(not accepts(installed.port), "HAProxy goes on")


# ---- the rule of polkit ----

def edited(user, reload=False, **units):
    """The shipped rule with its lists filled in, as one does by hand: services, tiers, resident, proxy."""
    with open(os.path.join(ROOT, "share/polkit/50-spica-guard.rules"), encoding="utf-8") as file:
        text = file.read()
    check(text.count("{units: [") == 4 and "var reload = false;" in text, text)
    lists = iter([units.get(kind, []) for kind in ("services", "tiers", "resident", "proxy")])
    text = re.sub(r"units: \[[^]]*\]", lambda _: "units: " + json.dumps(next(lists)), text)
    return (text.replace('user = "spica"', f'user = "{user}"')
            .replace("reload = false", f"reload = {json.dumps(reload)}"))


UNITS = {"services": ["llm.service"], "tiers": ["base.service"], "resident": ["tiny.service"],
         "proxy": ["spica-haproxy.service"]}
# What guard asks of each, and no more.
ALLOWED = {("llm.service", "restart"), ("llm.service", "reset-failed"),
           ("base.service", "start"), ("base.service", "stop"), ("base.service", "reset-failed"),
           ("tiny.service", "start"), ("tiny.service", "reset-failed"),
           ("spica-haproxy.service", "start"), ("spica-haproxy.service", "reload")}
METHODS = {"start": "StartUnit", "stop": "StopUnit", "restart": "RestartUnit", "reload": "ReloadUnit",
           "reset-failed": "ResetFailedUnit", "kill": "KillUnit"}
NAMES = [name for names in UNITS.values() for name in names] + ["other.service"]

ENGINE = """
const rules = [];
const polkit = {Result: {YES: "yes", NO: "no", NOT_HANDLED: "not handled"}, addRule: rule => rules.push(rule)};
const fs = require("fs"), vm = require("vm");
vm.runInNewContext(fs.readFileSync(process.argv[1], "utf8"), {polkit});
const asked = JSON.parse(fs.readFileSync(0, "utf8"));
console.log(JSON.stringify(asked.map(([id, unit, verb, user]) => {
    const details = {unit, verb};
    const action = {id, lookup: key => details[key] === null ? undefined : details[key]};
    return rules.map(rule => rule(action, {user})).find(said => said !== "not handled") || "not handled";
})));
"""
MANAGE, RELOAD = "org.freedesktop.systemd1.manage-units", "org.freedesktop.systemd1.reload-daemon"


@scenario(quick=True)
def the_rule_says_what_it_should(box):
    """By a JavaScript engine alone: units x verbs x users."""
    skip_unless(shutil.which("node"), "no node: the rule is not run here (the real polkitd runs a part of it)")

    def answers(rule, asked):
        done = subprocess.run(["node", "-e", ENGINE, box.write("rule.js", rule)], input=json.dumps(asked),
                              capture_output=True, text=True, timeout=60, check=False)
        check(done.returncode == 0, done.stderr)
        return json.loads(done.stdout)

    names = NAMES + ["", "llm", "llm.service ", "LLM.service", "constructor", None]
    asked = [(id_, unit, verb, user) for id_ in (MANAGE, RELOAD, "org.freedesktop.systemd1.manage-unit-files")
             for unit in names for verb in (*METHODS, "", "constructor", None) for user in ("spica", "root2", "")]
    for reload in (False, True):
        for one, answer in zip(asked, answers(edited("spica", reload, **UNITS), asked)):
            id_, unit, verb, user = one
            wanted = user == "spica" and (id_ == MANAGE and (unit, verb) in ALLOWED or id_ == RELOAD and reload)
            check(answer == ("yes" if wanted else "not handled"), f"{one}: {answer}")
    # As it is shipped nobody may stop anything.
    with open(os.path.join(ROOT, "share/polkit/50-spica-guard.rules"), encoding="utf-8") as file:
        shipped = answers(file.read(), asked)
    check(set(shipped) == {"not handled"}, "these units are not in it")


@scenario(quick=True)
def the_rule_knows_each_verb(box):
    """What host/manager.c can ask of a unit, in systemd's words for it."""
    with open(os.path.join(ROOT, "src/host/manager.c"), encoding="utf-8") as file:
        methods = set(re.findall(r'"(\w+Unit)"', file.read()))
    methods.discard("StartTransientUnit")  # a program of one's choice, as root: no rule gives that
    check(methods == {METHODS[verb] for _, verb in ALLOWED}, methods)
    with open(os.path.join(ROOT, "share/polkit/50-spica-guard.rules"), encoding="utf-8") as file:
        verbs = {verb for line in re.findall(r"verbs: \[([^]]*)\]", file.read()) for verb in json.loads(f"[{line}]")}
    check(verbs == {verb for _, verb in ALLOWED}, verbs)


def give_rule(systemd, text):
    path = os.path.join(RULES, "50-spica-guard.rules")
    if text:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    elif os.path.exists(path):
        os.remove(path)
    systemd.ctl("restart", "polkit.service", ok=True)


def may(box, unit, verb):
    """Does systemd let him? Asked in a mode that no such job has, so that nothing is done."""
    more = {"reset-failed": ["s", unit], "kill": ["ssi", unit, "main", "28"]}.get(verb, ["ss", unit, "isolate"])
    done = subprocess.run([*AS_DEPLOY, "busctl", "--system", "call", "org.freedesktop.systemd1",
                           "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", METHODS[verb], *more],
                          env=box.env, capture_output=True, text=True, timeout=60, check=False)
    return not re.search("denied|authentication", done.stderr)


@scene
def without_root(box):
    """Guard as a user, by the shipped unit and `User=`: what the rule gives, and what is said without it."""
    skip_unless(haproxy(), "haproxy is not installed")
    with SystemUnits(box) as systemd:
        rules = [{"name": "llm is down", "when": "llm.up == 0", "for": "200ms", "cool_down": "0s",
                  "do": ["restart"]}]
        installed = Installed(box, systemd, rules=rules, act={"restart": {"per_hour": 1}},
                              proxy={"unit": "spica-haproxy.service", "folder": f"{STATE}/haproxy"})
        with open(f"{MADE}/spica-haproxy.system.service", encoding="utf-8") as file:
            systemd.write("spica-haproxy.service", file.read().replace("[Service]", f"[Service]\nUser={DEPLOY}"))
        for name in ("llm", "other", "front"):  # of one that is not loaded not all can be asked
            systemd.service(name)
            systemd.start(name)
        systemd.service("along", unit="PartOf=base.service")  # in no rule below
        systemd.start("along")
        along = systemd.pid("along")
        installed.install(f"User={DEPLOY}")
        # The real polkitd, before anything runs by it: each verb of each unit.
        give_rule(systemd, edited(DEPLOY, **dict(UNITS, proxy=["front.service"])))
        for name in NAMES:
            unit = name.replace("spica-haproxy", "front")
            for verb in METHODS:
                check(may(box, unit, verb) == ((name, verb) in ALLOWED), f"{unit} {verb}: {may(box, unit, verb)}")
        # Without it each refusal is a line and an alarm: HAProxy's unit, a restart.
        give_rule(systemd, None)
        installed.start()
        wait_until(lambda: installed.said("starting spica-haproxy.service: not allowed", "polkit rule"),
                   installed.story)
        wait_until(lambda: installed.alarm("HAProxy down"), installed.story)
        os.kill(systemd.pid("base"), signal.SIGKILL)
        refused = "not restarted: restarting base.service: not allowed"
        wait_until(lambda: installed.said(refused, "polkit rule"), installed.story)
        check(installed.alarm("llm is down") and systemd.state("base") == "failed", installed.story())
        print(installed.said("not allowed"))
        systemd.stop("spica-guard")
        # With it both are done; what was refused is not counted.
        give_rule(systemd, edited(DEPLOY, services=["base.service"], proxy=["spica-haproxy.service"]))
        installed.start()
        wait_until(lambda: accepts(installed.port), installed.story)
        wait_until(lambda: installed.said("base.service restarted"), installed.story)
        check(installed.said("restart (1 of 1 this hour)"), installed.story())
        # What hangs on the unit systemd restarts itself: it needs no right.
        check(installed.said("base.service restarted", "and with it along.service"), installed.said("restarted"))
        wait_until(lambda: systemd.active("along") and systemd.pid("along") not in (0, along), systemd.story)
        # HAProxy is reloaded by it as well, and lives on in a unit of its own.
        first = systemd.pid("spica-haproxy")
        installed.study["guard"]["fronts"]["llm"]["timeout"] = "11m"
        installed.write()
        check("runs with this" in installed.spica("proxy", STUDY, "apply", prefix=AS_DEPLOY), "not reloaded")
        systemd.stop("spica-guard")
        check(systemd.pid("spica-haproxy") == first and accepts(installed.port), installed.story())


# ---- outside ----

@scenario()
def guard_without_root(box):
    boot(box, __file__, "without_root")


@scenario()
def whatever_ends_guard_ends_nothing_else(box):
    boot(box, __file__, "whatever_ends_guard")


if __name__ == "__main__":
    import sys
    if not inside(sys.argv[1:]):
        main(__name__)
