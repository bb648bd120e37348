"""HAProxy in front of fake services: real HAProxy, driven by `spica proxy`.

What matters is what a client sees: no request fails and no stream is cut by anything that spica does or
that dies beside it."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time

from harness import FAKE, check, main, scenario, skip_unless
from production import free_ports
from systemd_box import Systemd
from tls_front import behind, certificate
from traffic import Traffic, accepts


def haproxy():
    return shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")


class Proxy:
    """Two fronts over four fakes: stt with tiers base and tiny, llm split between now and next."""

    def __init__(self, box, *fake_options, **guard):
        skip_unless(haproxy(), "haproxy is not installed")
        self.box = box
        self.stt, self.llm, *ports = free_ports(6)
        self.ports = dict(zip(("base", "tiny", "now", "next"), ports))
        self.fakes = {}
        box.corpus()
        self.options = fake_options
        self.pair = None  # of files: certificate and key of servers that speak TLS
        self.more = {}    # further keys of both services
        for name in self.ports:
            self.start(name)
        self.fronts = {
            "stt": {"port": self.stt, "tiers": {n: {"port": self.ports[n]} for n in ("base", "tiny")}},
            "llm": {"port": self.llm,
                    "split": {"arms": {"now": {"port": self.ports["now"], "weight": 90},
                                       "next": {"port": self.ports["next"], "weight": 10}},
                              "stick": {"header": "X-Session"}}}}
        self.guard = dict({"fronts": self.fronts}, **guard)
        self.write()

    def start(self, name, *options):
        kind = "stt" if name in ("base", "tiny") else "llm"
        argv = [FAKE, "--kind", kind, "--port", self.ports[name], "--life", "300s", "--latency", "20ms",
                "--latency-per-token", "15ms", *self.options, *options]
        if kind == "stt":
            argv += ["--transcripts", self.box.path("speech/manifest.jsonl")]
        if self.pair:
            argv = behind(*self.pair, [str(word) for word in argv])
        self.fakes[name] = self.box.helper(*argv)
        self.until(lambda: accepts(self.ports[name]), f"{name} does not start")

    def kill(self, name):
        self.fakes[name].kill()
        self.fakes[name].wait()

    def write(self, **front):
        for name in front:
            self.fronts[name].update(front[name])
        self.box.study(stt=dict(self.box.fake("stt"), **self.more), llm=dict(self.box.fake("llm"), **self.more),
                       guard=self.guard)

    def spica(self, *args, code=0, **more):
        return self.box.run("proxy", self.box.file, *args, code=code, **more)

    def stop(self):
        self.box.start("proxy", self.box.file, "stop", "--within", "1s").wait()

    def look(self):
        """(front, server) -> the line that says how it is, without its counts."""
        lines = self.spica("look").out.splitlines()[1:]
        return {tuple(line.split(":")[0].split()): line.split(": ")[1].split(";")[0]
                for line in lines}

    def pids(self):
        with open(self.box.path("sc.spica.proxy/haproxy.pid"), encoding="utf-8") as file:
            master = int(file.read())
        return master, int(self.spica("look").out.split("process ")[1].split(")")[0])

    def until(self, condition, text, within=30):
        end = time.monotonic() + within
        while not condition():
            check(time.monotonic() < end, text() if callable(text) else text)
            time.sleep(0.05)

    def traffic(self):
        with open(self.box.path("speech/clip0.wav"), "rb") as file:
            return Traffic(file.read())

    def ask(self, port, headers=None):
        """(status, server) of one short stream or refusal."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/v1/chat/completions", json.dumps(
            {"model": "m", "max_tokens": 2, "messages": [{"role": "user", "content": "Hi"}]}),
            dict({"Content-Type": "application/json"}, **(headers or {})))
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.headers["X-Spica-Tier"]


def proxied(quick=False, options=()):
    """A scenario of (box, proxy). HAProxy outlives spica, so it is stopped at the end."""
    def register(function):
        def whole(box):
            proxy = Proxy(box, *options)
            function(box, proxy)
            proxy.stop()
        whole.__name__ = function.__name__
        return scenario(quick=quick)(whole)
    return register


def no_failures(traffic, least):
    check(not traffic.failures,
          f"{len(traffic.failures)} of {traffic.answers()} failed:\n" + "\n".join(traffic.failures[:10]))
    check(traffic.answers() >= least, f"only {traffic.answers()} answers")


@proxied(quick=True)
def switches(box, proxy):
    """Tiers, weights and reloads under load with streams: nothing fails, nothing is cut."""
    check("runs with this configuration" in proxy.spica("apply").out, "not applied")
    check("nothing was changed" in proxy.spica("apply").out, "applied again")
    traffic = proxy.traffic()
    traffic.add(3, traffic.upload, proxy.stt)
    traffic.add(2, traffic.slow_upload, proxy.stt)
    traffic.add(3, traffic.stream, proxy.llm)
    for i in range(20):
        proxy.spica("tier", "stt", "tiny" if i % 2 == 0 else "base")
        proxy.spica("weights", "llm", f"{10 * (i % 10)}/{100 - 10 * (i % 10)}")
        if i % 5 == 4:
            proxy.write(stt={"timeout": f"{10 + i}m"})
            check("runs with this" in proxy.spica("apply").out, "not reloaded")
            look = proxy.look()
            check("takes new requests" in look["stt", "base" if i % 2 else "tiny"], look)
            check(f"weight {10 * (i % 10)}" in look["llm", "now"], look)
    time.sleep(2)
    traffic.stop()
    no_failures(traffic, 100)
    check(set(traffic.served) == {"base", "tiny", "now", "next"}, traffic.served)


@proxied()
def long_switches(box, proxy):
    """The whole of it: 200 changes and 5 reloads."""
    proxy.spica("apply")
    traffic = proxy.traffic()
    traffic.add(4, traffic.upload, proxy.stt)
    traffic.add(3, traffic.slow_upload, proxy.stt)
    traffic.add(4, traffic.stream, proxy.llm, 120)
    for i in range(100):
        proxy.spica("tier", "stt", "tiny" if i % 2 == 0 else "base")
        proxy.spica("weights", "llm", f"{i % 100}/{100 - i % 100}")
        if i % 20 == 19:
            proxy.write(stt={"timeout": f"{10 + i}m"})
            proxy.spica("apply")
        time.sleep(0.05)
    time.sleep(3)
    traffic.stop()
    no_failures(traffic, 300)


@proxied(quick=True)
def servers_over_tls(box, proxy):
    """Switches, a reload and a server that dies, as in clear text; who is not trusted gets no request."""
    proxy.pair = certificate(box, "DNS:ai.internal")
    other, _ = certificate(box, "DNS:ai.internal", stem="other")
    for name in proxy.ports:
        proxy.kill(name)
        proxy.start(name, "--arrivals", box.path(f"arrivals-{name}"))
    proxy.more = {"tls": {"ca": "front.pem", "name": "ai.internal"}}
    proxy.write()
    proxy.spica("apply")
    proxy.until(lambda: not any("not usable" in how for how in proxy.look().values()), proxy.look)
    traffic = proxy.traffic()
    traffic.add(2, traffic.upload, proxy.stt)
    traffic.add(1, traffic.slow_upload, proxy.stt)
    traffic.add(2, traffic.stream, proxy.llm)
    for i in range(6):
        proxy.spica("tier", "stt", "tiny" if i % 2 == 0 else "base")
        proxy.spica("weights", "llm", f"{10 * i}/{100 - 10 * i}")
        if i == 3:
            proxy.write(stt={"timeout": "11m"})
            check("runs with this" in proxy.spica("apply").out, "not reloaded")
        time.sleep(0.3)
    traffic.stop()
    no_failures(traffic, 30)
    check(set(traffic.served) == {"base", "tiny", "now", "next"}, traffic.served)
    proxy.kill("base")  # and with it who speaks TLS for it
    proxy.until(lambda: "not usable" in proxy.look()["stt", "base"], proxy.look)
    check(proxy.ask(proxy.stt, {"X-Spica-Tier": "base"})[0] == 503, "a pin fell elsewhere")
    check("not usable" not in proxy.look()["stt", "tiny"], proxy.look())

    def arrived():
        with open(box.path("arrivals-now"), encoding="utf-8") as file:
            return sum(line.split()[3] != "0" for line in file)
    before = arrived()
    check(before > 0, "no request was written down")
    for tls in (True, {"ca": other, "name": "ai.internal"}, {"ca": "front.pem", "name": "other.internal"}):
        proxy.more = {"tls": tls}
        proxy.write()
        proxy.spica("apply")
        # Once its check has failed, and before that too.
        check(proxy.ask(proxy.llm, {"X-Spica-Tier": "now"})[0] == 503, tls)
        proxy.until(lambda: all("not usable" in how for how in proxy.look().values()), proxy.look)
    check(arrived() == before, "asked though it is not trusted")
    proxy.more = {"tls": {"ca": box.path("no.pem")}}
    proxy.write()
    check("no.pem" in proxy.spica("apply", code=2).err, "a CA that is not there")


@proxied(quick=True)
def server_dies(box, proxy):
    """A tier that is killed is stood in for; what it was answering is all that is lost."""
    proxy.spica("apply")
    traffic = proxy.traffic()
    traffic.add(4, traffic.upload, proxy.stt)
    time.sleep(1)
    proxy.kill("base")
    time.sleep(2)
    lost = len(traffic.failures)
    # Four were under way, and each client's next may have been accepted by the one that was dying.
    check(lost <= 8, f"{lost} failed:\n" + "\n".join(traffic.failures[:10]))
    check("not usable" in proxy.look()["stt", "base"], proxy.look())
    check(proxy.ask(proxy.llm, {"X-Spica-Tier": "now"}) == (200, "now"), "llm")
    # Whoever asked for base by name gets no other.
    check(proxy.ask(proxy.stt, {"X-Spica-Tier": "base"})[0] == 503, "a pin fell elsewhere")
    proxy.spica("tier", "stt", "base", code=9)  # it is down
    proxy.start("base")
    proxy.until(lambda: "not usable" not in proxy.look()["stt", "base"], "base does not come back")
    time.sleep(1)
    traffic.stop()
    check(len(traffic.failures) == lost, traffic.failures)
    check(traffic.served.get("tiny", 0) > 5 and traffic.served.get("base", 0) > 5, traffic.served)


@proxied(quick=True)
def restarted_alone(box, proxy):
    """Nobody stands in for it, so those who come while it is away wait for it."""
    del proxy.fronts["stt"]["tiers"]["tiny"]
    proxy.write()
    proxy.spica("apply")
    traffic = proxy.traffic()
    traffic.add(3, traffic.upload, proxy.stt)
    time.sleep(0.5)
    proxy.kill("base")
    time.sleep(0.5)
    proxy.start("base")
    time.sleep(2)
    traffic.stop()
    check(len(traffic.failures) <= 6, "\n".join(traffic.failures[:10]))
    check(traffic.answers() > 20, traffic.served)


@proxied(quick=True)
def haproxy_of_guard_dies(box, proxy):
    """Guard, which runs it, starts it again with what run time had set; one that was stopped by hand it
    leaves alone. A reload by others is no restart."""
    guard = box.start("guard", box.file, "--json")

    def events(kind):
        lines = [json.loads(line) for line in guard.output().splitlines()]
        return [line["text"] for line in lines if line["is"] == "event" and line["kind"] == kind]
    proxy.until(lambda: accepts(proxy.stt) and accepts(proxy.llm), "guard does not start HAProxy")
    proxy.spica("tier", "stt", "tiny")
    time.sleep(2)
    master, worker = proxy.pids()[:2]
    os.kill(master, signal.SIGUSR2)  # somebody reloads it
    proxy.until(lambda: worker not in proxy.pids(), "not reloaded")
    time.sleep(3)
    check(not events("proxy-restarted"), events("proxy-restarted"))
    for pid in proxy.pids():
        os.kill(pid, signal.SIGKILL)
    proxy.until(lambda: events("proxy-down"), "not seen")
    proxy.until(lambda: any("answers again" in text for text in events("proxy-restarted")),
                lambda: f"not started again: {guard.output()}")
    check(any("started again" in text for text in events("acted")), events("acted"))
    check("takes new requests" in proxy.look()["stt", "tiny"], proxy.look())
    proxy.spica("stop", "--within", "1s")
    proxy.until(lambda: len(events("proxy-down")) == 2, "its stop is not seen")
    time.sleep(8)
    check(not accepts(proxy.stt), "started again though it was stopped by hand")
    proxy.spica("apply")
    proxy.until(lambda: len(events("proxy-restarted")) == 2, "not seen")
    guard.signal(signal.SIGTERM)
    check(guard.wait(30).code == 0, "guard")


@proxied(quick=True)
def what_guard_cannot_apply(box, proxy):
    """HAProxy goes on with its old configuration: not down, and guard says what it is."""
    proxy.spica("apply")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        proxy.write(llm={"port": held.getsockname()[1]})
        guard = box.start("guard", box.file, "--json")
        proxy.until(lambda: "was not applied" in guard.output(), lambda: guard.output())
        time.sleep(4)
    lines = [json.loads(line) for line in guard.output().splitlines()]
    wrong = [line for line in lines if "down" in (line.get("kind"), line.get("rule", "").split(" ")[-1])
             or line.get("kind") == "proxy-down"]
    check(not [line for line in wrong if line.get("service") is None], wrong)
    check(proxy.ask(proxy.stt)[1] == "base", "the other front")
    guard.signal(signal.SIGTERM)
    check(guard.wait(30).code == 0, "guard")


@proxied(quick=True)
def haproxy_dies(box, proxy):
    """kill -9 of its worker and of its master: apply brings it back with what run time had set."""
    proxy.spica("apply")
    proxy.spica("tier", "stt", "tiny")
    proxy.spica("weights", "llm", "30/70")
    proxy.spica("drain", "llm", "now")
    for which in (1, 0):
        pids = proxy.pids()
        os.kill(pids[which], signal.SIGKILL)
        proxy.until(lambda: not accepts(proxy.stt), "it goes on")
        proxy.spica("look", code=6)
        proxy.spica("tier", "stt", "base", code=2)  # nobody is there to be told
        check("runs with this" in proxy.spica("apply").out, "not started again")
        check(proxy.pids() != pids, "the same")
        look = proxy.look()
        check("takes new requests" in look["stt", "tiny"], look)
        check("weight 70" in look["llm", "next"] and "drained" in look["llm", "now"], look)
        check(proxy.ask(proxy.llm) == (200, "next"), "now is drained")
        check(proxy.ask(proxy.llm, {"X-Spica-Tier": "now"}) == (200, "now"), "pinned")


@proxied(quick=True)
def frozen(box, proxy):
    """An HAProxy that answers nobody holds nobody, and no second one is started beside it."""
    proxy.spica("apply")
    master, worker = proxy.pids()
    os.kill(worker, signal.SIGSTOP)
    look = proxy.spica("look", code=6)
    check(f"HAProxy does not answer: `spica proxy {box.file} apply` starts it, or says why not" in look.err, look)
    result = proxy.spica("apply", code=4)
    check("does not answer" in result.err, result)
    os.kill(worker, signal.SIGCONT)
    check("nothing was changed" in proxy.spica("apply").out, "something was")
    check(proxy.pids() == (master, worker), "another one")


@proxied(quick=True)
def never_none(box, proxy):
    """What would leave a front without a usable server is refused, and nothing is changed."""
    proxy.spica("apply")
    proxy.spica("drain", "stt", "base")
    result = proxy.spica("drain", "stt", "tiny", code=9)
    check("last usable" in result.err, result)
    proxy.spica("tier", "stt", "base", code=9)
    check("drained" not in proxy.look()["stt", "tiny"], proxy.look())
    proxy.spica("weights", "llm", "100/0")
    proxy.spica("drain", "llm", "now", code=9)  # next has no weight
    proxy.kill("next")
    proxy.until(lambda: "not usable" in proxy.look()["llm", "next"], "next goes on")
    proxy.spica("weights", "llm", "0/100", code=9)
    proxy.spica("weights", "llm", "50/40", code=2)
    proxy.spica("ready", "stt", "base")
    check("drained" not in proxy.look()["stt", "base"], proxy.look())


@proxied(quick=True, options=("--latency", "0ms", "--latency-per-token", "0ms"))
def keys_stick(box, proxy):
    """A key stays at its arm over reloads and restarts; a larger share moves only who is new in it."""
    proxy.spica("apply")
    keys = [f"user-{i}" for i in range(150)]

    def arms():
        return {key: proxy.ask(proxy.llm, {"X-Session": key})[1] for key in keys}
    first = arms()
    few = sum(arm == "next" for arm in first.values())
    check(2 <= few <= 35, f"{few} of 150 at 10 %")
    proxy.write(stt={"timeout": "11m"})
    proxy.spica("apply")
    check(arms() == first, "a reload moved keys")
    proxy.spica("stop")
    proxy.spica("apply")
    check(arms() == first, "a restart moved keys")
    proxy.spica("weights", "llm", "50/50")
    second = arms()
    check(all(second[key] == "next" for key in keys if first[key] == "next"), "some went back")
    check(45 <= sum(arm == "next" for arm in second.values()) <= 105, "50 %")
    # A person's word in the file is newer than run time's.
    self = proxy.fronts["llm"]["split"]["arms"]
    self["now"]["weight"], self["next"]["weight"] = 100, 0
    proxy.write()
    proxy.spica("apply")
    check(set(arms().values()) == {"now"}, "weight 0 gets requests")


@proxied(quick=True)
def cookies_stick(box, proxy):
    proxy.fronts["llm"]["split"]["stick"] = {"cookie": "sid"}
    proxy.fronts["llm"]["split"]["arms"]["now"]["weight"] = 50
    proxy.fronts["llm"]["split"]["arms"]["next"]["weight"] = 50
    proxy.write()
    proxy.spica("apply")
    seen = set()
    for _ in range(12):
        connection = http.client.HTTPConnection("127.0.0.1", proxy.llm, timeout=30)
        connection.request("GET", "/v1/models")
        answer = connection.getresponse()
        answer.read()
        cookie, arm = answer.headers["Set-Cookie"].split(";")[0], answer.headers["X-Spica-Tier"]
        check(cookie.startswith("sid=") and len(cookie) > 20, cookie)
        for _ in range(3):
            connection.request("GET", "/v1/models", headers={"Cookie": "a=b; " + cookie})
            answer = connection.getresponse()
            answer.read()
            check(answer.headers["X-Spica-Tier"] == arm, "moved")
            check(answer.headers["Set-Cookie"] is None, "a second cookie")
        seen.add(arm)
    check(seen == {"now", "next"}, seen)


@proxied(quick=True)
def pins(box, proxy):
    proxy.spica("apply")
    for header, expected in (("now", (200, "now")), ("NEXT", (200, "next")), ("none", (400, None)),
                             ("", (400, None)), ("now, next", (400, None)), ("now/../x", (400, None))):
        for _ in range(4):
            is_ = proxy.ask(proxy.llm, {"X-Spica-Tier": header})
            check(is_ == expected, f"{header!r}: {is_}")


@proxied(quick=True)
def refused(box, proxy):
    """What can't be is said in one line, and what ran goes on."""
    proxy.spica("apply")
    pids = proxy.pids()
    other = socket.socket()
    other.bind(("127.0.0.1", 0))
    other.listen()
    # A port that another program holds: HAProxy's check does not look at that, its reload does.
    proxy.write(stt={"port": other.getsockname()[1]})
    result = proxy.spica("apply", code=1, deadline=90)
    check("old configuration" in result.err, result)
    check(proxy.pids()[1] == pids[1] and accepts(proxy.stt), "what ran is gone")
    other.close()
    check("runs with this" in proxy.spica("apply").out, "not taken over later")
    for bad in ({"shadow": True, "port": 1}, {"weight": 10, "port": proxy.llm}):
        proxy.fronts["llm"]["split"]["arms"]["next"] = bad
        proxy.write()
        proxy.spica("apply", code=2)
    box.run("proxy", box.file, "sing", code=2)
    proxy.fronts["llm"]["split"]["arms"]["next"] = {"port": proxy.ports["next"], "weight": 10}
    proxy.write()
    for words, says in ((("weights",), "as in: weights stt 90/10"), (("drain", "stt"), "as in: drain stt tiny"),
                        (("show", "stt"), "show takes nothing more"),
                        (("tier", "lm", "tiny"), 'has no "lm" (there are stt, llm)')):
        result = box.run("proxy", box.file, *words, code=2)
        check(says in result.err, result)


def wait_pid(path):
    end = time.monotonic() + 20
    while not os.path.exists(path):
        check(time.monotonic() < end, f"{path} does not come")
        time.sleep(0.05)


@proxied(quick=True)
def attached(box, proxy):
    """An HAProxy of somebody else: their frontend goes on, ours comes beside it."""
    theirs, = free_ports(1)
    sock, file, cfg = box.path("their.sock"), box.path("ours.cfg"), box.path("their.cfg")
    proxy.guard["proxy"] = {"attach": {"socket": sock, "file": file}}
    proxy.write()
    box.write("their.cfg", f"global\n    stats socket {sock} mode 600 level admin expose-fd listeners\n"
              f"defaults\n    mode http\n    timeout client 9s\n    timeout server 9s\n"
              f"    timeout connect 9s\nfrontend theirs\n    bind 127.0.0.1:{theirs}\n"
              f"    http-request return status 200\n")
    shutil.copy(cfg, box.path("their.good"))
    result = proxy.spica("apply", code=2)
    check("does not answer" in result.err, result)

    def run(*more):
        return subprocess.Popen([haproxy(), "-W", "-S", box.path("m.sock"), "-f", cfg, *more],
                                env=box.env, stderr=subprocess.DEVNULL)
    running = run()
    wait_pid(sock)
    result = proxy.spica("apply", code=9)
    check("was not started with it" in result.err and f"-f {file}" in result.err, result)
    running.terminate()
    running.wait()
    os.unlink(sock)
    running = run("-f", file)
    wait_pid(sock)
    proxy.until(lambda: accepts(theirs), "theirs does not come back")
    check("runs with this" in proxy.spica("apply").out, "no reload")
    proxy.write(stt={"timeout": "12m"})
    traffic = proxy.traffic()
    traffic.add(2, traffic.stream, proxy.llm)
    time.sleep(0.3)
    check("runs with this" in proxy.spica("apply").out, "no reload")
    proxy.spica("tier", "stt", "tiny")
    check("takes new requests" in proxy.look()["stt", "tiny"], proxy.look())
    time.sleep(1)
    traffic.stop()
    no_failures(traffic, 2)
    check(accepts(theirs), "theirs is gone")
    proxy.spica("stop", code=2)
    check("defaults" not in open(file, encoding="utf-8").read(), "defaults would become theirs")
    # Their own file is broken meanwhile: said, and nothing is written or reloaded.
    box.write("their.cfg", "nonsense\n")
    proxy.write(stt={"timeout": "13m"})
    before = open(file, encoding="utf-8").read()
    result = proxy.spica("apply", code=2)
    check("their.cfg" in result.err, result)
    check(open(file, encoding="utf-8").read() == before, "written all the same")
    # Without a master socket somebody has to reload it, and that is seen.
    shutil.copy(box.path("their.good"), box.path("their.cfg"))
    running.terminate()
    running.wait()
    os.unlink(sock)
    alone = [haproxy(), "-f", cfg, "-f", file]
    running = subprocess.Popen(alone, env=box.env, stderr=subprocess.DEVNULL)
    wait_pid(sock)
    result = proxy.spica("apply", code=9)
    check("by hand" in result.err, result)
    time.sleep(2.5)
    running.terminate()
    running.wait()
    os.unlink(sock)
    running = subprocess.Popen(alone, env=box.env, stderr=subprocess.DEVNULL)
    wait_pid(sock)
    check("nothing was changed" in proxy.spica("apply").out, "it was reloaded already")
    running.terminate()
    running.wait()


@scenario(quick=True)
def unit(box):
    """Run by systemd, by the unit that is shipped: started, reloaded and stopped through it."""
    with Systemd(box) as systemd:
        proxy = Proxy(box, proxy={"unit": "spica-haproxy.service", "user": True,
                                  "folder": box.path("ha")})
        systemd.haproxy(box)
        systemd.ctl("daemon-reload", ok=True)
        check("runs with this" in proxy.spica("apply").out, "not started")
        check(systemd.active("spica-haproxy"), systemd.story())
        master = systemd.pid("spica-haproxy")
        traffic = proxy.traffic()
        traffic.add(2, traffic.upload, proxy.stt)
        traffic.add(2, traffic.stream, proxy.llm)
        time.sleep(0.3)
        proxy.spica("tier", "stt", "tiny")
        for minutes in (11, 12):
            proxy.write(stt={"timeout": f"{minutes}m"})
            check("runs with this" in proxy.spica("apply").out, "not reloaded")
        time.sleep(0.7)
        traffic.stop()
        no_failures(traffic, 10)
        check(systemd.pid("spica-haproxy") == master, "restarted, not reloaded")
        # Killed: systemd brings it back, with what run time had set.
        os.kill(int(proxy.spica("look").out.split("process ")[1].split(")")[0]), signal.SIGKILL)
        proxy.until(lambda: systemd.pid("spica-haproxy") not in (master, 0) and accepts(proxy.stt),
                    "it does not come back")
        check("takes new requests" in proxy.look()["stt", "tiny"], proxy.look())
        check("has ended" in proxy.spica("stop", "--within", "20s").out, "not stopped")
        check(not systemd.active("spica-haproxy"), systemd.story())


if __name__ == "__main__":
    main(__name__)
