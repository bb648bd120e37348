"""Faults that bench/guard_faults.py times, in short: a flood of HAProxy's log, nobody who asks, a clock
that is set, a service in a container, another setting in the middle of an alarm, a disk that is full
below HAProxy and its requests. What needs no HAProxy is in test_guard_watch.py, an HAProxy that dies in
test_proxy.py.

Every scenario waits for what must come; deadlines are for what never does."""

import json
import os
import re
import signal
import socket
import threading
import time

import test_guard_watch as scene
from clock import Clock
from fronted import Fronted, Told, haproxy
from harness import check, main, scenario
from production import Production, free_ports
from systemd_box import mount, skip_unless, wait_until
from test_container import Podman
from traffic import Traffic

HOUR_S = 3600


def fronted(box, systemd, guard, **services):
    skip_unless(haproxy(), "haproxy is not installed")
    watched = Fronted(box, systemd, guard, **services)
    watched.up()
    return watched


# ---- a flood of the log ----

class Flood:
    """Lines as HAProxy writes them, straight to the port that guard reads. The times of the answers are
    0.1 to 0.199 s, each as often as any other."""

    def __init__(self, box):
        with open(os.path.join(box.path("sc.spica.proxy"), "state.json"), encoding="utf-8") as file:
            state = json.load(file)
        with open(os.path.join(box.path("sc.spica.proxy"), "haproxy.cfg"), encoding="utf-8") as file:
            form = re.search(r"log-format '(.*)'", file.read()).group(1)
        fields = {"%Ts": str(int(time.time())), "%ms": "007", "%f": "spica.stt", "%b": "spica.stt.base",
                  "%s": "base", "%ST": "200", "%tsc": "----", "%TR": "0", "%Tw": "0", "%Tc": "0", "%U": "900", "%B": "300",
                  "%Td": "0", "%[var(txn.spica_pin)]": "-"}
        for name in sorted(fields, key=len, reverse=True):
            form = form.replace(name, fields[name])
        self.lines = [form.replace("%Tr", str(ms)).replace("%Ta", str(ms)).encode()
                      for ms in range(100, 200)]
        self.to = ("127.0.0.1", state["log_port"])
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sent = 0

    def send(self, hundreds):
        for _ in range(hundreds):
            for line in self.lines:
                self.socket.sendto(line, self.to)
            self.sent += len(self.lines)

    def on_and_on(self, over):
        while not over.is_set():
            self.send(10)
            time.sleep(0.01)


@scenario(quick=True)
def a_flood_of_the_log(box):
    """More than the socket holds while guard stands still: each line is in the figures or said to be
    lost. And while it goes on, a server that dies and one that freezes are found."""
    with scene.Manager(box) as systemd:
        w = fronted(box, systemd, {"window": "10m", "probe": {"stt": 0, "llm": "2/s"}})
        w.begin()
        flood = Flood(box)

        def lost():
            texts = [re.match(r"HAProxy's log: (\d+) lines came faster", event["text"])
                     for event in w.events("log-flood")]
            return sum(int(found.group(1)) for found in texts if found)

        def counted():
            found = w.ticks()[-1]["v"].get("stt.requests.latency.p50")
            return found[1] if isinstance(found, list) else 0

        w.guard.signal(signal.SIGSTOP)
        flood.send(1200)
        w.guard.signal(signal.SIGCONT)

        def told():  # the kernel says with a line how many it had dropped before that one
            flood.send(1)
            time.sleep(0.2)
            return lost()
        wait_until(told, w.story)
        wait_until(lambda: counted() + lost() == flood.sent,
                   lambda: f"{counted()} + {lost()} of {flood.sent} lines; {w.story()}")
        check(lost() > 0 and counted() > 1000, f"{lost()} lost, {counted()} counted")
        for name, exact in (("p50", 0.149), ("p95", 0.194), ("p99", 0.198)):
            seen = w.value(f"stt.requests.latency.{name}")
            check(abs(seen - exact) < 0.01 * exact + 0.001, f"{name} is {seen}, not {exact}")
        check(w.value("stt.requests.errors") == 0, w.ticks()[-1])

        over = threading.Event()
        thread = threading.Thread(target=flood.on_and_on, args=(over,), daemon=True)
        thread.start()
        try:
            os.kill(systemd.pid("stt"), signal.SIGKILL)
            w.expect("restarted", "stt", 120)
            pid = systemd.pid("llm")
            os.kill(pid, signal.SIGSTOP)
            w.expect("hangs", "llm", 120)
            os.kill(pid, signal.SIGCONT)
        finally:
            over.set()
            thread.join()
        wait_until(lambda: w.alarms("log flood"), w.story)
        w.end()


# ---- nobody who asks ----

@scenario(quick=True)
def nobody_asks_any_more(box):
    """"no data" after one window and not before; neither 0 nor fine; and over with the next answer."""
    with scene.Manager(box) as systemd:
        w = fronted(box, systemd, {"window": "10s", "probe": 0, "rules": [
            {"name": "slow speech", "when": "stt.latency.p50 > 10s", "at_least": 1, "do": ["notify"]}]})
        w.begin()
        w.gentle(w.traffic.stream, w.llm_front)  # this one is asked all along
        speech = Traffic(w.traffic.wav)
        w.gentle(speech.upload, w.front)

        def is_heard(name):
            states = [line["to"] for line in w.decisions("no data", name)]
            return w.value(f"{name}.latency.p50") is not None and states[-1:] in ([], ["fine"])
        # What was said before HAProxy was there, a window and more on a busy machine, is over.
        wait_until(lambda: is_heard("stt") and is_heard("llm"), w.story)
        before = len(w.decisions())

        def told(to, *rules):
            return [line for line in w.decisions()[before:] if line["to"] == to and line["rule"] in rules]
        speech.stop()
        wait_until(lambda: told("alarm", "no data"), w.story)
        began = told("alarm", "no data")[0]["t"]
        check(began - speech.sent > 10 - 10 / 12, f"{began - speech.sent} s after the last request was sent")
        wait_until(lambda: w.ticks()[-1]["t"] > began, w.story)
        at = [tick for tick in w.ticks() if tick["t"] > began - 0.001][0]["v"]
        check("stt.latency.p50" not in at and "stt.errors" not in at, at)
        check(w.value("stt.latency.p50") is None and w.value("stt.errors") is None, w.ticks()[-1])
        check(not told("fine", "no data", "slow speech"), w.decisions())
        check([line["service"] for line in told("alarm", "no data")] == ["stt"], w.decisions())
        again = Traffic(w.traffic.wav)
        w.gentle(again.upload, w.front)
        wait_until(lambda: told("fine", "no data"), w.story)
        again.stop()
        w.end()
        check(not (w.traffic.failures + speech.failures + again.failures), w.traffic.failures)


# ---- a clock that is set ----

@scenario(quick=True)
def a_clock_that_is_set(box):
    """An hour forward, two back: said each time, and no figure, window or other alarm is touched."""
    clock = Clock(box)
    with scene.Manager(box) as systemd:
        w = fronted(box, systemd, {"window": "5s"})
        with clock:
            w.begin()
        w.gentle(w.traffic.upload, w.front)
        w.gentle(w.traffic.stream, w.llm_front, 5)
        wait_until(lambda: w.value("stt.requests.latency.p50") is not None, w.story)
        for number, seconds in enumerate((HOUR_S, -HOUR_S), 1):
            before = w.ticks()[-1]
            clock.set(seconds)
            wait_until(lambda n=number: len(w.events("clock-step")) == n, w.story)
            word = "forward" if seconds > 0 else "back"
            check(f"went {word} by" in w.events("clock-step")[-1]["text"], w.story())

            def since(begun=before):
                return [tick for tick in w.ticks() if tick["m"] > begun["m"]]
            wait_until(lambda s=since: len(s()) > 30, w.story)  # more than the window
            for tick in since():
                p50 = tick["v"].get("stt.requests.latency.p50", [None, 0])
                check(p50[0] is not None and 0 < p50[0] < 60 and p50[1] < 60, tick)
                rate = tick["v"].get("stt.requests.rate")
                check(rate is None or 0 < (rate[0] if isinstance(rate, list) else rate) < 20, tick)
            check(abs(since()[-1]["t"] - before["t"]) > HOUR_S - 600, "its wall clock was not set")
        check(len(w.events("clock-step")) == len(w.events()), w.story())
        check({line["rule"] for line in w.alarms()} <= {"clock stepped"}, w.alarms())
        w.end()
        check(not w.traffic.failures, w.traffic.failures)


# ---- a container ----

class Contained(Told):
    """A container of podman's with a journal that podman's monitor writes to, and guard over it."""

    name = "production-llm"

    def __init__(self, box):
        skip_unless(os.path.exists(scene.JOURNALD), "no systemd-journald")
        skip_unless(os.getpid() < 100, "no mounts of our own")
        self.box, self.guard = box, None
        mount(b"tmpfs", "/run", b"tmpfs")
        os.makedirs("/run/systemd/journal")
        box.helper(scene.JOURNALD)
        wait_until(lambda: os.path.exists("/run/systemd/journal/stdout"), "journald does not start")
        self.podman = Podman(box)
        self.port, self.other = free_ports(2)
        box.study(file=True, device="cpu", llm=box.fake("llm"), guard=dict(
            scene.EVERY, watch={"llm": {"container": self.name, "port": self.port}}))
        words = [*self.server(self.port), "--rss", "48M", "--print-file",
                 box.write("words", "CUDA error: out of memory\n")]
        self.limited = self.begin_it("--memory", "256m", *words)
        check(self.limited or self.begin_it(*words), "podman starts it neither with a limit nor without")
        wait_until(lambda: scene.accepts(self.port), "it does not listen")

    def server(self, port):
        return [self.podman.image, self.podman.program, "--kind", "llm", "--port", str(port), "--life",
                scene.LIFE]

    def begin_it(self, *words):
        self.podman.call("rm", "-f", self.name)
        run = self.podman.line[len(self.podman.options) + 1:]
        return self.podman.call(*run, "-d", "--name", self.name, "--network=host", "--log-driver", "journald",
                                "-v", f"{self.box.folder}:{self.box.folder}", *words).returncode == 0

    def call(self, *words):
        done = self.podman.call(*words)
        check(done.returncode == 0, done.stderr)
        return done.stdout.strip()


@scenario(quick=True)
def a_container_is_watched(box):
    """By its name alone: process, memory, a kill for memory inside (a real one where its control group
    can be limited), a restart, a line of its log, and its end."""
    kernel = box.path("kmsg")
    os.mkfifo(kernel)
    box.env["SPICA_KERNEL_LOG"] = kernel
    w = Contained(box)
    w.begin()
    wait_until(lambda: w.value("llm.up") == 1 and w.value("llm.probe.latency.p50"), w.story)
    wait_until(lambda: (w.value("llm.memory") or 0) > 48 << 20, w.story)
    check(not w.events(), w.story())
    if w.limited:  # the kernel takes the larger of the two
        w.call("exec", "-d", w.name, *w.server(w.other)[1:], "--rss-ramp", "400M:1s")
    else:
        pid = w.call("inspect", "-f", "{{.State.Pid}}", w.name)
        with open(kernel, "w", encoding="utf-8") as file:
            file.write(f"3,1,1,-;Out of memory: Killed process {pid} (fake-service) total-vm:1240kB\n")
    w.expect("oom-kernel", "llm")
    wait_until(lambda: w.value("llm.oom") == 1 and w.value("llm.up") == 1, w.story)
    w.call("restart", "-t", "2", w.name)
    w.expect("restarted", "llm")
    event = w.expect("oom-device", "llm")  # it says so at each start
    check("CUDA error: out of memory" in event["text"], event)
    wait_until(lambda: w.value("llm.up") == 1 and w.value("llm.restarts") == 1, w.story)
    known = len(w.events("down", "llm"))
    w.call("kill", w.name)
    wait_until(lambda: len(w.events("down", "llm")) > known, w.story)
    check(w.value("llm.up") == 0, w.ticks()[-1])
    w.end()


# ---- another setting in the middle of an alarm ----

@scenario()
def an_alarm_across_another_setting(box):
    """`rag` hangs and `llm` is slow by a rule when the last promotion of `llm` is rolled back: each alarm
    began once, stands while guard begins to watch the other setting, and ends once with its reason."""
    with Production(box, services={"rag": None}) as production:
        production.promote(0)
        watch = {name: {"unit": f"{name}.service", "user": True, "port": port}
                 for name, port in (("llm", production.llm_port), ("rag", production.rag_port))}
        production.study["guard"] = dict(scene.EVERY, watch=watch, rules=[
            {"name": "slow answers", "when": "llm.probe.latency.p50 > 1ms", "until":
             "llm.probe.latency.p50 < 0.1ms", "at_least": 1, "do": ["notify"]}])
        production.write_study()
        w = Told.__new__(Told)
        w.box = box
        w.begin()

        wait_until(lambda: w.alarms("slow answers"), w.story)
        os.kill(production.systemd.pid("rag"), signal.SIGSTOP)
        wait_until(lambda: w.alarms("hangs", "rag"), w.story)
        production.rollback()
        w.expect("setting")
        followed = w.ticks()[-1]["m"]
        wait_until(lambda: len([tick for tick in w.ticks() if tick["m"] > followed]) > 20, w.story)
        for rule in ("hangs", "slow answers"):
            check([line["to"] for line in w.decisions(rule)] == ["alarm"], w.decisions())
        check(not w.decisions("no data", "llm"), w.decisions())  # its new window was not yet over
        production.systemd.ctl("restart", "rag", ok=True)
        wait_until(lambda: len(w.decisions("hangs", "rag")) > 1, w.story)
        check([line["to"] for line in w.decisions("hangs", "rag")] == ["alarm", "fine"], w.decisions())
        w.end()


# ---- a disk that is full ----

@scenario()
def a_full_disk_harms_no_request(box):
    """What guard and HAProxy keep is on a disk that is full: said once, and every request is served."""
    small = box.path("small")
    os.mkdir(small)
    with scene.Manager(box) as systemd:
        mount(b"tmpfs", small, b"tmpfs", b"size=2m")
        w = fronted(box, systemd, {"proxy": {"folder": os.path.join(small, "ha")}})
        w.folder = os.path.join(small, "ha")
        record = os.path.join(small, "sc.spica")
        w.record = lambda: record + ".guard.jsonl"
        w.begin("-o", record)
        w.gentle(w.traffic.upload, w.front)
        w.gentle(w.traffic.stream, w.llm_front, 20)
        wait_until(lambda: w.traffic.answers() > 4, w.story)
        filler = os.path.join(small, "filler")
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass  # it is full
        w.expect("disk-full")
        served = w.traffic.answers()
        wait_until(lambda: w.traffic.answers() > served + 8, w.story)
        check(len(w.events("disk-full")) == 1, w.story())
        os.unlink(filler)
        w.expect("disk-writes")
        w.end()
        check(not w.traffic.failures, w.traffic.failures)


if __name__ == "__main__":
    main(__name__)
