"""HAProxy, which guard runs, before what test_guard_watch.py watches: shared by test_guard_faults.py and
bench/guard_fronted.py.

The speech service has two tiers, the other one. Traffic.py's clients notice every answer that is not whole."""

import json
import os
import shutil
import signal
import time

import gpu
import test_guard_watch as scene
from harness import FAKE, descendants, processes
from production import free_ports
from systemd_box import wait_until
from traffic import Traffic


def haproxy():
    return shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")


class Told(scene.Watched):
    def decisions(self, rule=None, service=None):
        text = self.guard.output()
        lines = [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]
        return [line for line in lines if line["is"] == "decision" and rule in (None, line["rule"])
                and service in (None, line["service"])]

    def alarms(self, rule=None, service=None):
        """Decisions that began an alarm."""
        return [line for line in self.decisions(rule, service)
                if line["to"] == "alarm" and line["from"] != "alarm"]


class Fronted(Told):
    """What is watched, with fronts. `guard`: further keys of `guard:`."""

    def __init__(self, box, systemd, guard=None, on="cpu", **services):
        super().__init__(box, systemd, on=on, **services)
        self.tiny, self.front, self.llm_front = free_ports(3)
        words = [FAKE, "--kind", "stt", "--port", str(self.tiny), "--life", scene.LIFE, "--latency", "5ms",
                 "--transcripts", box.path("speech/manifest.jsonl"),
                 *map(str, gpu.options(box) if on == "gpu" else ())]
        systemd.service("tiny", " ".join(words), extra=self.environment())
        tiers = {name: {"unit": f"{unit}.service", "user": True, "port": port, "resident": True}
                 for name, unit, port in (("base", "stt", self.stt), ("tiny", "tiny", self.tiny))}
        with open(box.file, encoding="utf-8") as file:
            study = json.load(file)
        study["guard"].update({"fronts": {
            "stt": {"port": self.front, "tiers": tiers},
            "llm": {"port": self.llm_front, "tiers": {"only": {"port": self.llm}}}}, **(guard or {})})
        box.write("study.yaml", json.dumps(study))
        box.env["PATH"] += ":/usr/sbin"
        with open(box.path("speech/clip0.wav"), "rb") as file:
            self.traffic = Traffic(file.read())
        self.folder = box.path("sc.spica.proxy")

    def up(self):
        super().up()
        self.systemd.start("tiny")
        wait_until(lambda: scene.accepts(self.tiny), self.systemd.story)

    def begin(self, *options):
        super().begin(*options)
        wait_until(lambda: self.value("proxy.up") == 1, self.story)
        for port in (self.front, self.llm_front):
            wait_until(lambda p=port: scene.accepts(p), self.story)

    def gentle(self, upload, *args):
        """A sender that sends twice a second, in the traffic that `upload` is of, whose `sent` is when it last did."""
        traffic = upload.__self__

        def gently(connection, *more):
            time.sleep(0.5)
            traffic.sent = time.time()
            return upload(connection, *more)
        gently.__name__ = upload.__name__
        traffic.add(1, gently, *args)

    def master(self):
        with open(os.path.join(self.folder, "haproxy.pid"), encoding="utf-8") as file:
            return int(file.read().split()[0])

    def kill_proxy(self):
        pid = self.master()
        for member in {pid} | descendants(pid, processes()):
            os.kill(member, signal.SIGKILL)

    def end(self):
        self.traffic.stop()
        result = super().end()
        self.box.run("proxy", self.box.file, "stop", "--within", "2s")
        return result
