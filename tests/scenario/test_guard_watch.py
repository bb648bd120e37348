"""What guard sees of production: units of a real systemd that die, fall to the CPU, hang, leak and run
out of memory; a full disk; one look.

Every scenario waits for an event by its kind; deadlines are for what never comes."""

import json
import os
import signal
import socket
import subprocess
import time

import gpu
from harness import FAKE, check, main, scenario, skip_unless
from production import free_ports
from systemd_box import MANAGER, Systemd, wait_until
from tiers import haproxy

JOURNALD = "/lib/systemd/systemd-journald"
LIFE = "300s"  # of the services; a bench may need them for longer
EVERY = {"every": "250ms", "window": "10s", "probe": "2/s", "probe_within": "2s"}


class Manager(Systemd):
    """A user's manager in the control group that a user's manager has, by which journald tells its units'
    lines."""

    def _start(self, log, *argv, **env):
        if argv[0] == MANAGER:
            group = "/sys/fs/cgroup/user.slice/user-0.slice/user@0.service"
            os.makedirs(group, exist_ok=True)
            argv = ("/bin/sh", "-c", f"echo $$ > {group}/cgroup.procs; exec \"$@\"", "sh", *argv)
        return super()._start(log, *argv, **env)


class Watched:
    """Two units of the fake service, a study that watches them, and guard."""

    def __init__(self, box, systemd, on="cpu", guard=None, ports=None, **services):
        self.box, self.systemd = box, systemd
        self.stt, self.llm = ports or free_ports(2)
        self.guard = None
        box.corpus()
        gpu_keys = {"on": on}
        box.study(file=True, device="gpu0" if on == "gpu" else "cpu",
                  stt=box.fake("stt", **gpu_keys), llm=box.fake("llm", **gpu_keys),
                  guard=dict(EVERY, watch={"stt": {"unit": "stt.service", "user": True, "port": self.stt},
                                           "llm": {"unit": "llm.service", "user": True, "port": self.llm}},
                             **(guard or {})))
        for kind, port in (("stt", self.stt), ("llm", self.llm)):
            self.flags(kind, *services.get(kind, ()))
            words = [FAKE, "--kind", kind, "--port", str(port), "--life", LIFE, "--latency", "10ms"]
            if kind == "stt":
                words += ["--transcripts", box.path("speech/manifest.jsonl")]
            systemd.service(kind, f"/bin/sh -c 'exec {' '.join(words)} $(cat {box.path(kind + '.flags')})'",
                            extra="Restart=always\nRestartSec=200ms\n" + self.environment())

    def environment(self):
        names = ("FAKE_NVML_WORLD", "SPICA_NVML_LIBRARY")
        return "".join(f"Environment={n}={self.box.env[n]}\n" for n in names if n in self.box.env)

    def flags(self, kind, *words):
        self.box.write(kind + ".flags", " ".join(str(w) for w in words))

    def up(self):
        self.systemd.start("stt", "llm")
        for port in (self.stt, self.llm):
            wait_until(lambda: accepts(port), self.systemd.story)

    def begin(self, *options):
        self.guard = self.box.start("guard", self.box.file, "--json", *options)
        self.until_looked()

    def until_looked(self):
        def looked():
            check(self.guard.poll() is None, self.story())
            return os.path.exists(self.record()) and len(self.ticks()) > 6
        wait_until(looked, self.story)

    def record(self):
        return self.box.path("sc.spica.guard.jsonl")

    def ticks(self):
        with open(self.record(), encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.endswith("\n")]
        return [line for line in lines if "v" in line]

    def events(self, kind=None, service=None):
        lines = [json.loads(line) for line in self.guard.output().splitlines()]
        return [line for line in lines if line["is"] == "event" and kind in (None, line["kind"])
                and service in (None, line["service"])]

    def expect(self, kind, service=None, within=30):
        wait_until(lambda: self.events(kind, service), self.story, within)
        return self.events(kind, service)[0]

    def value(self, name):
        found = self.ticks()[-1]["v"].get(name)
        return found[0] if isinstance(found, list) else found

    def story(self):
        return f"events: {self.events()}\n{open(self.guard._err, encoding='utf-8').read()}"

    def end(self):
        self.guard.signal(signal.SIGTERM)
        result = self.guard.wait(30)
        check(result.code == 0, str(result))
        return result


def accepts(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def start_journald(box, systemd):
    skip_unless(os.path.exists(JOURNALD), "no systemd-journald")
    os.makedirs("/run/systemd/journal", exist_ok=True)
    systemd._start("journald.log", JOURNALD, SYSTEMD_LOG_TARGET="console")
    wait_until(lambda: os.path.exists("/run/systemd/journal/stdout"), "journald does not start")


def write_as(uid, **fields):
    """A line of the journal with these fields, by a process of that user."""
    text = "".join(f"{name}={value}\n" for name, value in fields.items())
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresuid(uid, uid, uid)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            sent = s.sendto(text.encode(), "/run/systemd/journal/socket")
        time.sleep(0.3)  # journald reads who it was
        os._exit(sent != len(text))
    check(os.waitpid(child, 0)[1] == 0, "nothing was written")


@scenario(quick=True)
def a_unit_that_comes_back_on_the_cpu(box):
    gpu.cards(box)
    on_card = gpu.options(box)
    with Manager(box) as systemd:
        w = Watched(box, systemd, on="gpu", stt=on_card, llm=on_card)
        w.up()
        once = box.run("guard", box.file, "--once", code=0)
        check("Nothing is wrong." in once.out or
              "Nothing wrong was seen; not known: what can't be seen from here." in once.out, str(once))
        check("gpu0" in once.out, str(once))
        w.begin()
        wait_until(lambda: w.value("stt.placement") == "gpu", w.story)
        check(not w.events(), w.story())
        w.flags("stt")
        os.kill(systemd.pid("stt"), signal.SIGKILL)
        check("stt" in w.expect("restarted", "stt")["service"], w.story())
        w.expect("on-cpu", "stt")
        check(w.value("stt.placement") == "cpu" and w.value("llm.placement") == "gpu", w.story())
        check(w.value("stt.restarts") == 1, w.ticks()[-1])
        result = box.run("guard", box.file, "--once", code=6, lines=-1)
        check("stt computes on the CPU" in result.out, str(result))
        w.flags("stt", *on_card)
        systemd.ctl("restart", "stt", ok=True)
        w.expect("placed", "stt")
        w.end()


@scenario(quick=True)
def a_server_that_unloads_by_itself(box):
    gpu.cards(box)
    on_card = gpu.options(box)
    with Manager(box) as systemd:
        w = Watched(box, systemd, on="gpu", guard={"probe": 0}, stt=on_card, llm=on_card)
        w.up()
        w.begin()
        wait_until(lambda: w.value("stt.memory"), w.story)
        held = gpu.world(box, f"{systemd.pid('stt')}.gpu")
        os.rename(held, box.path("unloaded"))
        began = time.time()
        wait_until(lambda: time.time() - began > 8 or w.events("on-cpu"), w.story)
        check(not w.events(), w.story())
        check(w.value("stt.placement") == "unproven" and not w.value("stt.memory"), w.ticks()[-1])
        os.rename(box.path("unloaded"), held)
        wait_until(lambda: w.value("stt.memory"), w.story)
        check(not w.events(), w.story())
        w.flags("stt", "--spin", 1)  # nobody asks it: seen by its CPU time
        systemd.ctl("restart", "stt", ok=True)
        w.expect("on-cpu", "stt")
        w.end()


@scenario(quick=True)
def a_unit_that_ends_and_one_that_is_not_there(box):
    with Manager(box) as systemd:
        w = Watched(box, systemd)
        systemd.start("stt")
        w.begin()
        w.expect("down", "llm")
        systemd.start("llm")
        w.expect("up", "llm")
        systemd.stop("stt")
        w.expect("down", "stt")
        check(w.value("stt.up") == 0 and w.value("llm.up") == 1, w.ticks()[-1])
        second = box.run("guard", box.file, code=4)
        check(f"guarded already, by process {w.guard.pid}: stop that one first" in second.err, str(second))
        w.end()


@scenario(quick=True)
def a_server_whose_port_another_has(box):
    """It runs, the other one answers its probes: it was up, and nothing was said."""
    with Manager(box) as systemd:
        w = Watched(box, systemd)
        spare = free_ports(1)[0]
        systemd.service("thief", f"{FAKE} --kind llm --port {w.llm} --life {LIFE}")
        systemd.start("stt", "thief")
        for port in (w.stt, w.llm):
            wait_until(lambda: accepts(port), systemd.story)
        w.flags("llm", "--port", spare)
        systemd.start("llm")
        w.begin()
        event = w.expect("down", "llm")
        thief = f"port {w.llm} is served by process {systemd.pid('thief')} ("
        check(thief in event["text"] and "thief.service), not by llm.service" in event["text"], event)
        check(w.value("llm.up") == 0 and w.value("stt.up") == 1, w.ticks()[-1])
        once = box.run("guard", box.file, "--once", code=6, lines=-1)
        check(thief in once.out, once)
        systemd.stop("thief")
        w.flags("llm")
        systemd.ctl("restart", "llm", ok=True)
        w.expect("up", "llm")
        w.end()


@scenario(quick=True)
def a_frozen_server_is_named_and_delays_nothing(box):
    with Manager(box) as systemd:
        w = Watched(box, systemd)
        w.up()
        w.begin()
        pid = systemd.pid("llm")
        os.kill(pid, signal.SIGSTOP)
        w.expect("hangs", "llm")
        before = len(w.ticks())
        wait_until(lambda: len(w.ticks()) >= before + 8, w.story)
        check(w.value("stt.errors") == 0 and w.value("llm.errors") > 0, w.ticks()[-1])
        check(not w.events(service="stt"), w.story())
        os.kill(pid, signal.SIGCONT)
        w.end()


@scenario(quick=True)
def out_of_memory_in_the_journal_and_in_the_kernel(box):
    with Manager(box) as systemd:
        start_journald(box, systemd)
        kernel = box.path("kmsg")
        os.mkfifo(kernel)
        box.env["SPICA_KERNEL_LOG"] = kernel
        words = box.write("words", "CUDA error: out of memory\n")
        w = Watched(box, systemd, llm=["--print-file", words])
        w.up()
        w.begin()
        check(not w.events("oom-device"), "what was written before is not told")
        for name in ("USER_UNIT", "_SYSTEMD_USER_UNIT", "UNIT", "OBJECT_SYSTEMD_USER_UNIT"):
            write_as(65534, MESSAGE="CUDA error: out of memory", **{name: "stt.service"})
        systemd.ctl("restart", "llm", ok=True)
        event = w.expect("oom-device", "llm")
        check("CUDA error: out of memory" in event["text"], str(event))
        heard = subprocess.run(["journalctl", "--no-pager", "-q", "_UID=65534"], capture_output=True, text=True,
                               check=False)
        check(heard.stdout.count("CUDA error") == 4, heard.stdout)
        check(not w.events("oom-device", "stt"), "nobody was to believe another user's lines")
        with open(kernel, "w", encoding="utf-8") as file:
            file.write(f"3,813,9161300,-;Out of memory: Killed process {systemd.pid('stt')} (fake-service) "
                       "total-vm:1240kB, anon-rss:1000kB\n3,814,9161301,-;something else\n"
                       "3,815,9161302,-;NVRM: Xid (PCI:0000:44:00): 79, GPU has fallen off the bus.\n")
        w.expect("oom-kernel", "stt")
        check("Xid 79" in w.expect("xid")["text"], w.story())
        wait_until(lambda: w.value("stt.oom") == 1 and w.value("llm.oom") == 1, w.story)
        w.end()


@scenario(quick=True)
def the_first_lines_that_a_unit_ever_writes(box):
    """The journal had none when guard began: of a burst only the last line was read, or none."""
    with Manager(box) as systemd:
        start_journald(box, systemd)
        box.env["SPICA_KERNEL_LOG"] = box.path("kmsg")
        os.mkfifo(box.path("kmsg"))
        words = box.write("words", "CUDA error: out of memory\n" + 200 * "a line\n")
        w = Watched(box, systemd, llm=["--print-file", words])
        w.begin()
        systemd.start("llm")
        w.expect("oom-device", "llm")
        w.end()


@scenario(quick=True)
def one_look_at_a_front_that_nobody_serves(box):
    """HAProxy is up and every request gets a 503: it was "Nothing is wrong", exit status 0."""
    skip_unless(haproxy(), "haproxy is not installed")
    port, dead = free_ports(2)
    with Manager(box) as systemd:
        w = Watched(box, systemd, guard={"fronts": {"stt": {"port": port, "tiers": {
            "only": {"port": dead, "resident": True}}}},
            "rules": [{"name": "it runs", "when": "llm.up == 1", "for": "1h", "do": ["notify"]},
                      {"name": "slow speech", "when": "stt.latency.p95 > 300ms", "for": "1m", "do": ["notify"]}]})
        w.up()
        w.begin()
        w.expect("unserved", "stt")
        look = box.run("guard", box.file, "--once", code=6, lines=-1)
        check("stt: none of HAProxy's 1 servers is usable" in look.out, str(look))
        check('rule "it runs" holds' in look.out and 'rule "slow speech" (' in look.out, str(look))
        check(" first " in look.out and "queue" not in look.out, str(look))
        check(all(len(line) <= 80 for line in look.out.splitlines()), str(look))
        w.end()
        box.start("proxy", box.file, "stop", "--within", "1s").wait()


@scenario(quick=True)
def another_tier_that_runs_out_of_memory(box):
    """Only its service's `watch:` was listened to. It is no end of the watched server's: that one's count
    stays."""
    port, stt, llm, tiny = free_ports(4)
    with Manager(box) as systemd:
        start_journald(box, systemd)
        kernel = box.path("kmsg")
        os.mkfifo(kernel)
        box.env["SPICA_KERNEL_LOG"] = kernel
        w = Watched(box, systemd, ports=(stt, llm), guard={"fronts": {"stt": {"port": port, "tiers": {
            "base": {"unit": "stt.service", "user": True, "port": stt}, "tiny": {
                "unit": "tiny.service", "user": True, "port": tiny, "resident": True}}}}})
        systemd.service("tiny", "/bin/sh -c 'sleep 1; echo CUDA error: out of memory; exec sleep 1000'")
        w.up()
        w.begin("--dry-run")
        systemd.start("tiny")
        event = w.expect("oom-device", "stt")
        check("stt's tier tiny: " in event["text"], str(event))
        time.sleep(2.5)  # its process is looked up every two seconds
        with open(kernel, "w", encoding="utf-8") as file:
            file.write(f"3,813,9161300,-;Out of memory: Killed process {systemd.pid('tiny')} (sleep) "
                       "total-vm:1240kB, anon-rss:1000kB\n")
        event = w.expect("oom-kernel", "stt")
        check("stt's tier tiny: the kernel killed process" in event["text"], str(event))
        check(w.value("stt.oom") == 0, w.ticks()[-1])
        w.end()


@scenario()
def a_slow_leak_is_told_with_its_time_to_full(box):
    gpu.cards(box)
    with Manager(box) as systemd:
        w = Watched(box, systemd, on="gpu", stt=gpu.options(box),
                    llm=[*gpu.options(box), "--gpu-grow", "40M"])
        w.up()
        w.begin()
        wait_until(lambda: w.value("gpu0.memory.full_in") is not None, w.story, 150)
        rate = w.value("llm.growth")
        check(20e6 < rate < 200e6, f"{rate / 1e6} MB/s; two requests a second take 84")
        check(abs(w.value("stt.growth") or 0) < 1e6, "the other one does not grow")
        left = w.value("gpu0.memory.free") / rate
        check(0.3 * left < w.value("gpu0.memory.full_in") < 3 * left, w.ticks()[-1])
        w.end()


@scenario()
def a_full_disk_is_said_once(box):
    with Manager(box) as systemd:
        w = Watched(box, systemd)
        small = box.path("small")
        os.mkdir(small)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], check=False)
        skip_unless(done.returncode == 0, "no tmpfs")
        w.up()
        w.guard = box.start("guard", box.file, "--json", "-o", os.path.join(small, "sc.spica"))
        w.expect("disk-full")
        filled = os.path.join(small, "sc.spica.guard.jsonl")
        with open(filled, encoding="utf-8") as file:
            for line in file.read().splitlines():
                json.loads(line)
        os.kill(systemd.pid("stt"), signal.SIGKILL)
        w.expect("restarted", "stt")
        check(len(w.events("disk-full")) == 1, w.story())
        os.truncate(filled, 0)
        w.expect("disk-writes")
        w.end()
        subprocess.run(["umount", small], check=False)


if __name__ == "__main__":
    main(__name__)
