"""What guard's probes say beside everybody else's requests: a full server is slow and does not hang, a
frozen one hangs, a dead one that answers errors fails; and whose figure the best one is.

The servers are watched by pid, behind a real HAProxy where requests of others are to be seen."""

import http.client
import json
import os
import signal
import threading

from harness import FAKE, check, main, scenario, skip_unless
from production import free_ports
from systemd_box import wait_until
from test_guard_watch import accepts
from tiers import haproxy


class Guarded:
    """One fake LLM, and guard."""

    def __init__(self, box, *options, front=None, once=False, **guard):
        self.box = box
        self.port, self.front = free_ports(2)
        self.fake = box.helper(FAKE, "--kind", "llm", "--port", self.port, "--life", "300s", *options)
        wait_until(lambda: accepts(self.port), str)
        guard = dict({"every": "250ms", "window": "10s", "probe": "1/s", "probe_within": "2s",
                      "watch": {"llm": {"pid": self.fake.pid, "port": self.port,
                                       "metrics": "/metrics"}}}, **guard)
        if front is not None:
            guard["fronts"] = {"llm": dict({"port": self.front, "tiers": {"all": {
                "port": self.port, "resident": True}}}, **front)}
        box.study(file=True, llm=box.fake("llm"), guard=guard)
        self.over = threading.Event()
        self.threads = []
        if not once:
            self.guard = box.start("guard", box.file, "--json")
            wait_until(lambda: self.ticks() or self.guard.poll() is not None, self.story)

    def load(self, clients):
        """So many clients, one request after the other, through HAProxy."""
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}],
                           "max_tokens": 2})

        def ask():
            while not self.over.is_set():
                connection = http.client.HTTPConnection("127.0.0.1", self.front, timeout=60)
                try:
                    connection.request("POST", "/v1/chat/completions", body,
                                       {"Content-Type": "application/json"})
                    connection.getresponse().read()
                except OSError:
                    self.over.wait(0.2)
                finally:
                    connection.close()
        for _ in range(clients):
            self.threads.append(threading.Thread(target=ask, daemon=True))
            self.threads[-1].start()

    def ticks(self):
        path = self.box.path("sc.spica.guard.jsonl")
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.endswith("\n")]
        return [line for line in lines if "v" in line]

    def last(self, name):
        """[value, count, source] or what there is of it."""
        ticks = self.ticks()
        found = ticks[-1]["v"].get(name) if ticks else None
        return found if isinstance(found, list) else [found]

    def value(self, name):
        return self.last(name)[0] or 0

    def events(self, kind):
        lines = [json.loads(line) for line in self.guard.output().splitlines()]
        return [line for line in lines if line["is"] == "event" and line["kind"] == kind]

    def expect(self, kind):
        wait_until(lambda: self.events(kind), self.story, 40)
        return self.events(kind)[0]["text"]

    def story(self):
        return f"{self.guard.output()}\n{open(self.guard._err, encoding='utf-8').read()}"

    def end(self):
        self.over.set()
        self.guard.signal(signal.SIGTERM)
        result = self.guard.wait(30)
        check(result.code == 0, str(result))
        if self.fake.poll() is None:
            os.kill(self.fake.pid, signal.SIGCONT)
        self.box.run("proxy", self.box.file, "stop", lines=-1)


@scenario(quick=True)
def a_full_server_is_slow_and_one_that_froze_hangs(box):
    skip_unless(haproxy(), "haproxy is not installed")
    g = Guarded(box, "--latency", "600ms", "--slots", "1", front={})
    g.load(10)
    text = g.expect("overloaded")
    check("others were answered meanwhile" in text, text)
    wait_until(lambda: len(g.events("overloaded")) > 2, g.story)
    check(not g.events("hangs") and not g.events("fails"), g.story())
    check(not g.value("llm.probe.errors"), g.last("llm.probe.errors"))
    # HAProxy has no queue without at_once; the server has one, and tells it.
    wait_until(lambda: g.value("llm.waiting") > 1, g.story)
    check(g.last("llm.waiting")[-1] == "engine", g.last("llm.waiting"))
    check(g.last("llm.requests.queue.p50")[0] is None, g.last("llm.requests.queue.p50"))
    os.kill(g.fake.pid, signal.SIGSTOP)
    text = g.expect("hangs")
    check("none to others was seen meanwhile" in text, text)
    g.end()


@scenario(quick=True)
def a_queue_in_haproxy_is_the_larger(box):
    skip_unless(haproxy(), "haproxy is not installed")
    g = Guarded(box, "--latency", "200ms", "--slots", "1", front={"at_once": 1}, probe=0)
    g.load(6)
    wait_until(lambda: g.value("llm.queue.p50") > 0.5, g.story)
    check(g.last("llm.queue.p50")[-1] == "requests", g.last("llm.queue.p50"))
    wait_until(lambda: g.value("llm.waiting") > 2, g.story)
    check(g.last("llm.waiting")[-1] == "requests", g.last("llm.waiting"))
    g.end()


@scenario(quick=True)
def an_engine_that_is_dead_behind_its_front_fails(box):
    """A ratio would need ten values in a window, which so few probes never give."""
    g = Guarded(box, "--from", "4:http:500:EngineCore is dead", probe="0.6/s")
    text = g.expect("fails")
    check("3 probes in a row" in text and "500" in text, text)
    wait_until(lambda: "\"fails\"" in g.guard.output(), g.story)
    check(not g.events("hangs"), g.story())
    g.end()


@scenario(quick=True)
def the_buckets_of_an_engine_are_said(box):
    g = Guarded(box, "--metrics-style", "odd", once=True, probe="2/s")
    look = box.run("guard", box.file, "--once", lines=-1)
    check("the engine's times are known to a bucket of its histogram: p50 within 2.00 ms" in
          " ".join(look.out.split()), str(look))
    values = json.loads(box.run("guard", box.file, "--once", "--json", lines=-1).out)["values"]
    check(values["llm.engine.latency.p50"]["bucket_s"] == 0.002, values)
    check(g.fake.poll() is None, "it ended")


if __name__ == "__main__":
    main(__name__)
