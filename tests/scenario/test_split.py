"""Traffic splits on a real HAProxy over fake services, watched by `spica guard`: an arm that does harm is
stopped, one that does not goes on, and a killed guard changes nothing.

What is asserted is decided by far more evidence than is needed, or by none at all: arms differ threefold, or
not at all."""

import http.client
import json
import os
import re
import signal
import socket
import threading
import time

from harness import FAKE, check, main, scenario, skip_unless
from production import NEW, Production, free_ports
from test_promote import fill, mount
from test_proxy import haproxy
from traffic import accepts, multipart, shows

WITHIN_S = 90


class Split:
    """stt behind a front with arms now and next, HAProxy and guard."""

    def __init__(self, box, now=(), next_=(), weight=50, out=None, **split):
        skip_unless(haproxy(), "haproxy is not installed")
        self.box, self.out = box, ("--out", os.path.join(out, "sc.spica")) if out else ()
        self.front, self.now, self.next, self.web = free_ports(4)
        box.corpus(clips=6)
        for port, options in ((self.now, now), (self.next, next_)):
            box.helper(FAKE, "--kind", "stt", "--port", port, "--life", "300s", "--latency-jitter", "0.3",
                       "--transcripts", box.path("speech/manifest.jsonl"),
                       *(options if "--latency" in options else ("--latency", "10ms", *options)))
            self.until(lambda port=port: accepts(port), "a fake does not start")
        arms = {"now": {"port": self.now, "weight": 100 - weight}, "next": {"port": self.next, "weight": weight}}
        self.guard_part = {"every": "200ms", "window": "10s", "probe": "0.5/s",
                           "watch": {"stt": {"port": self.now}}, "listen": f"127.0.0.1:{self.web}",
                           "fronts": {"stt": {"port": self.front, "split": dict({"arms": arms}, **split)}}}
        if out:
            self.guard_part["proxy"] = {"folder": os.path.join(out, "proxy")}
        box.study(stt=box.fake("stt"), guard=self.guard_part)
        box.run("proxy", box.file, "apply", code=0)
        self.guard = None
        with open(box.path("speech/clip0.wav"), "rb") as file:
            self.body, self.head = multipart(file.read())
        self.failures, self.served, self.over = [], {}, threading.Event()
        self.lock, self.threads = threading.Lock(), []

    def until(self, condition, text, within=WITHIN_S):
        end = time.monotonic() + within
        while not condition():
            check(time.monotonic() < end, text if isinstance(text, str) else text())
            time.sleep(0.2)

    def begin(self):
        self.guard = self.box.start("guard", self.box.file, "--json", *self.out)
        self.until(lambda: os.path.exists(self.kept_path()), self.story)

    def kept_path(self):
        return f"{self.out[1]}.split-stt.json" if self.out else self.box.path("sc.spica.split-stt.json")

    def send(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.front, timeout=60)
        connection.request("POST", "/v1/audio/transcriptions", self.body, self.head)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        with self.lock:
            arm = answer.headers["X-Spica-Tier"]
            self.served[arm] = self.served.get(arm, 0) + 1
            if answer.status != 200:
                self.failures.append(answer.status)

    def traffic(self, clients=4):
        def run():
            while not self.over.is_set():
                try:
                    self.send()
                except (OSError, http.client.HTTPException) as error:
                    self.failures.append(repr(error))
        self.threads = [threading.Thread(target=run, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def quiet(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60)

    def status(self):
        out = self.box.run("split", self.box.file, "--json", *self.out, code=0).out
        return json.loads(out)["splits"][0]

    def shows(self, sample):
        return shows(self.web, sample)

    def counted(self):
        return [arm["requests"] for arm in self.status()["arms"]]

    def weights(self):
        return [arm["haproxy_weight"] for arm in self.status()["arms"]]

    def told(self):
        lines = [json.loads(line) for line in self.guard.output().splitlines()]
        return [line.get("text", "") for line in lines if "split" in line.get("text", "")]

    def story(self):
        with open(self.guard._err, encoding="utf-8") as file:
            return f"{self.box.run('split', self.box.file, *self.out).text}\n{self.guard.output()[-3000:]}\n{file.read()[-3000:]}"

    def end(self):
        self.quiet()
        if self.guard and self.guard.poll() is None:
            self.guard.signal(signal.SIGTERM)
            check(self.guard.wait(30).code == 0, self.story())
        self.box.start("proxy", self.box.file, "stop", "--within", "1s").wait()


@scenario(quick=True)
def harm_stops_by_itself(box):
    split = Split(box, next_=("--latency", "80ms"))
    split.begin()
    split.traffic()
    split.until(lambda: split.status()["state"] == "stopped", split.story)
    split.until(lambda: split.weights() == [100, 0], split.story)
    status = split.status()
    check(status["verdict"] == "harm" and not status["evidence"]["by_errors"], status)
    split.until(lambda: any("split stopped, all to now" in text for text in split.told()), split.story)
    before = split.served["next"]
    while split.served["now"] < 100:
        time.sleep(0.05)
    time.sleep(0.5)
    with split.lock:
        check(split.served["next"] <= before + 8, split.served)  # what was under way
    result = box.run("split", box.file, "advance", code=9)
    check("--anyway" in result.text, result)
    split.end()
    check(not split.failures, split.failures)


@scenario()
def errors_stop_too(box):
    split = Split(box, next_=("--some", "0.5:http:500"))
    split.begin()
    split.traffic()
    split.until(lambda: split.status()["state"] == "stopped", split.story)
    status = split.status()
    check(status["verdict"] == "harm" and status["evidence"]["by_errors"], status)
    check(status["arms"][1]["errors"] > 10 and status["arms"][0]["errors"] == 0, status)
    split.end()


@scenario(quick=True)
def equal_arms_go_on(box):
    """Nor does a guard that is killed: weights stay, counts stay, the next one goes on."""
    split = Split(box, harm="50%")
    split.begin()
    split.traffic()
    split.until(lambda: min(split.counted()) > 150, split.story)
    split.guard.signal(signal.SIGKILL)
    split.guard.wait()
    counted = split.counted()
    check(split.weights() == [50, 50], split.status())
    time.sleep(1)  # requests that nobody counts
    split.begin()
    split.until(lambda: min(split.counted()) > min(counted) + 150, split.story)
    status = split.status()
    check(status["state"] == "running" and status["verdict"] != "harm", status)
    check(split.weights() == [50, 50], status)
    check(status["arms"][0]["p50_s"]["low"] <= status["arms"][0]["p50_s"]["value"], status)
    split.end()
    check(not split.failures, split.failures)


@scenario()
def no_harm_goes_on_to_the_end(box):
    """Each step by its own verdict, to the end and back, under traffic: nobody takes a risk, and no request is
    lost."""
    split = Split(box, weight=25, harm="100%")
    split.begin()
    split.traffic()
    for share in (50, 100):
        # What was certain at the weights before is not at these.
        result = box.run("split", box.file, "advance", code=9)
        check("it is not certain yet that next does no harm" in result.text, result)
        split.until(lambda: split.status()["verdict"] == "no-harm", split.story)
        box.run("split", box.file, "advance", code=0)
        split.until(lambda share=share: split.weights() == [100 - share, share], split.story)
    split.until(lambda: split.status()["state"] == "full", split.story)
    with split.lock:
        now, total = split.served["now"], sum(split.served.values())
    split.until(lambda: sum(split.served.values()) > total + 200, split.story)
    with split.lock:
        check(split.served["now"] <= now + 8, split.served)  # what was under way
    box.run("split", box.file, "abort", code=0)
    split.until(lambda: split.weights() == [100, 0], split.story)
    with split.lock:
        total = split.served["now"]
    split.until(lambda: split.served["now"] > total + 100, split.story)
    split.end()
    check(not split.failures, split.failures)


@scenario(quick=True)
def a_dead_arm_is_harm(box):
    """The first arm stands in for it and no client notices: guard does."""
    split = Split(box, next_=("--at", "40:die"))
    split.begin()
    split.until(lambda: split.shows('spica_service_up{service="stt",arm="next"} 1') and
                split.shows('spica_service_memory_bytes{service="stt",arm="next"} '), split.story)
    check(not split.shows('spica_service_up{service="stt",arm="now"'), "the watched one is shown twice")
    split.traffic()
    split.until(lambda: split.status()["state"] == "stopped", split.story)
    status = split.status()
    check(status["verdict"] == "harm" and status["evidence"]["by_errors"], status)
    check(status["arms"][1]["errors"] > 10 and status["arms"][0]["errors"] == 0, status)
    split.until(lambda: split.weights() == [100, 0], split.story)
    # It is down, and gets nothing any more: nobody is called.
    split.until(lambda: split.shows('spica_service_out_of_memory_total{service="stt",arm="next"} 0') and
                not split.shows('spica_service_up{service="stt",arm="next"}'), split.story)
    split.end()
    check(len(split.failures) < 10, split.failures)  # what it was answering when it died


@scenario(quick=True)
def a_damaged_file_is_set_aside(box):
    """Expected: the second arm gets what HAProxy had set last, and where nobody knows, nothing. Before:
    the study file's weights, also where it had been stopped."""
    split = Split(box)
    for weights, known in (([100, 0], False), ([80, 20], True)):
        with open(split.kept_path(), "w", encoding="utf-8") as file:
            file.write('{"format":"spica split"')
        if known:
            box.run("proxy", box.file, "weights", "stt", "80/20", code=0)
        split.begin()
        split.until(lambda: any("split not judged: " in text for text in split.told()), split.story)
        check(os.path.exists(split.kept_path() + ".bad"), "not set aside")
        split.until(lambda: os.path.exists(split.kept_path()), split.story)
        split.until(lambda weights=weights: split.weights() == weights, split.story)
        check(split.status()["state"] == "not judged", split.status())
        split.guard.signal(signal.SIGTERM)
        check(split.guard.wait(30).code == 0, split.story())
    split.end()


@scenario()
def a_split_that_can_not_be_opened_is_tried_again(box):
    """What is in the place of its file can't be read, and HAProxy comes later than guard."""
    split = Split(box)
    os.mkdir(split.kept_path())
    split.guard = box.start("guard", box.file, "--json")
    split.until(lambda: any("split: not open" in text for text in split.told()), split.story)
    os.rmdir(split.kept_path())
    split.traffic(2)
    split.until(lambda: any("split: it is open now" in text for text in split.told()), split.story)
    split.until(lambda: os.path.exists(split.kept_path()) and min(split.counted()) > 20, split.story)
    split.end()
    check(not split.failures, split.failures)


@scenario()
def a_full_disk_keeps_no_arm(box):
    """Expected: an arm that does harm is stopped at HAProxy, and the file follows when the disk takes it.
    Before: the stop was put off for as long as the disk was full."""
    disk = box.path("disk")
    mount(box, disk, "size=4m")
    split = Split(box, next_=("--latency", "80ms"), out=disk)
    split.begin()
    split.until(lambda: split.weights() == [50, 50], split.story)
    full = fill(disk)
    split.traffic()
    split.until(lambda: split.weights() == [100, 0], split.story)
    split.until(lambda: any("not kept yet" in text for text in split.told()), split.story)
    before = split.served["next"]
    while split.served["now"] < 100:
        time.sleep(0.05)
    time.sleep(0.5)
    with split.lock:
        check(split.served["next"] <= before + 8, split.served)
    check(split.status()["state"] == "running", "the disk took it")
    os.unlink(full)
    split.until(lambda: split.status()["state"] == "stopped", split.story)
    split.until(lambda: any("is kept now" in text for text in split.told()), split.story)
    split.end()
    check(not split.failures, split.failures)


@scenario()
def at_its_end_it_is_promoted(box):
    """A split of a service in production goes to 100 %; what `next` says then is run as it stands, and the
    first arm runs the winner, with all the traffic and without a request lost."""
    skip_unless(haproxy(), "haproxy is not installed")
    front, other = free_ports(2)
    with Production(box) as production:
        box.helper(FAKE, "--kind", "llm", "--port", other, "--life", "300s", "--latency", NEW["llm"])
        arms = {"now": {"port": production.llm_port, "weight": 90}, "next": {"port": other, "weight": 10}}
        production.study["guard"] = {"watch": {"llm": {"port": production.llm_port}},
                                     "fronts": {"llm": {"port": front, "split": {"arms": arms}}}}
        production.write_study()
        box.run("proxy", box.file, "apply", code=0)

        def split(*args):
            out = box.run("split", box.file, *args, "--json", code=0).out
            return json.loads(out)["splits"][0]

        def served():
            connection = http.client.HTTPConnection("127.0.0.1", front, timeout=60)
            connection.request("GET", "/health")
            answer = connection.getresponse()
            answer.read()
            connection.close()
            check(answer.status == 200, answer.status)
            return answer.headers["X-Spica-Tier"]
        while split()["state"] != "full":
            status = split("advance", "--anyway")
        check("not tested: next gets everything" in status["text"], status)
        check(served() == "next", "not all goes to next")
        over, lost, went = threading.Event(), [], []

        def ask():
            while not over.is_set():
                try:
                    went.append(served())
                except (OSError, http.client.HTTPException, AssertionError) as error:
                    lost.append(repr(error))
        clients = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
        for client in clients:
            client.start()
        commands = re.findall(r"spica (promote|split) (\S+)( abort)?", status["next"])
        check([(verb, abort) for verb, _, abort in commands] == [("promote", ""), ("split", " abort")], status)
        check(all(os.path.samefile(file, box.path("study.yaml")) for _, file, _ in commands), status)
        plan = json.loads(box.run(*commands[0][:2], "--plan-only", "--json", code=0).out)["plan"]["id"]
        box.run(*commands[0][:2], "--approve", plan, code=0)
        production.expect(NEW)
        check(served() == "next", "promoting changes no weights")
        box.run(commands[1][0], commands[1][1], commands[1][2].strip(), code=0)
        check(served() == "now", "not all goes to now")
        over.set()
        for client in clients:
            client.join(60)
        check(not lost and set(went) == {"next", "now"} and len(went) > 100, (lost[:5], len(went)))
        check([arm["haproxy_weight"] for arm in split()["arms"]] == [100, 0], split())
        box.start("proxy", box.file, "stop", "--within", "1s").wait()


@scenario()
def haproxy_comes_after_guard(box):
    """Its port is held by another at first; guard ticks on, and takes it once it is free."""
    split = Split(box)
    box.run("proxy", box.file, "stop", "--within", "1s", code=0)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        split.until(lambda: not accepts(split.front), "HAProxy does not end")
        other.bind(("127.0.0.1", split.front))
        other.listen()
        split.guard = box.start("guard", box.file, "--json")
        split.until(lambda: "tried again each minute" in split.guard.output(), split.guard.output)
    split.until(lambda: split.weights() == [50, 50], split.story, 150)
    split.traffic()
    split.until(lambda: min(split.counted()) > 20, split.story)
    split.end()
    check(not split.failures, split.failures)


@scenario()
def a_person_decides(box):
    """advance, abort; followed by a guard that runs, and done without one that does not."""
    split = Split(box, weight=10, harm="100%")
    split.begin()
    split.traffic(2)
    split.until(lambda: sum(split.counted()) > 50, split.story)
    check(box.run("split", box.file, "advance", code=9).text.count("not certain yet") == 1, "advanced")
    box.run("split", box.file, "advance", "--anyway", code=0)
    check(split.weights() == [75, 25], split.status())
    split.until(lambda: any("by another program" in text for text in split.told()), split.story)
    check(sum(split.counted()) < 5000, split.status())
    split.guard.signal(signal.SIGKILL)
    split.guard.wait()
    for weights in ([50, 50], [0, 100]):
        box.run("split", box.file, "advance", "--anyway", code=0)
        check(split.weights() == weights, split.status())
    status = split.status()
    check(status["state"] == "full" and "spica promote" in status["next"], status)
    box.run("split", box.file, "advance", "--anyway", code=9)
    box.run("split", box.file, "abort", code=0)
    check(split.weights() == [100, 0], split.status())
    box.run("split", box.file, "abort", code=9)
    split.begin()  # a new guard does not undo it
    time.sleep(1)
    check(split.weights() == [100, 0] and split.status()["state"] == "aborted", split.status())
    split.end()
    check(not split.failures, split.failures)


@scenario()
def the_last_usable_arm_stays(box):
    """Everything to an arm that is down is refused, and nothing is changed."""
    split = Split(box, next_=("--at", "1:die"), weight=50)
    split.begin()
    try:
        split.send()
        split.send()
    except (OSError, http.client.HTTPException):
        pass
    split.until(lambda: not accepts(split.next), "next lives")
    split.until(lambda: split.status()["arms"][1]["usable"] is False, split.story)
    before = split.weights()
    result = box.run("split", box.file, "advance", "--anyway")
    check(result.code == 9 and "nothing was changed" in result.text, result)
    check(split.weights() == before and split.status()["state"] == "running", split.status())
    split.end()


@scenario()
def word_errors_of_both_arms(box):
    """The same recordings go to both, and the difference is seen."""
    split = Split(box, next_=("--wer", "0.6"))
    split.guard_part["probe"] = "10/s"
    box.study(stt=box.fake("stt"), guard=split.guard_part)
    split.begin()
    split.until(lambda: min(arm["references"] for arm in split.status()["arms"]) >= 12, split.story)
    status = split.status()
    check(status["arms"][0]["wer"]["value"] == 0 and status["arms"][1]["wer"]["value"] > 0.2, status)
    check(status["wer_difference"]["low"] > 0, status)
    check(sum(split.counted()) == 0, "reference clips were counted as requests")
    check("it hears worse" in status["words"], status)
    split.until(lambda: "arm in doubt" in split.guard.output(), split.story)
    result = box.run("split", box.file, "advance", code=9)
    check("more word errors" in result.text, result)
    split.end()


@scenario(quick=True)
def wrong_words_stop_by_themselves(box):
    """As fast, no failures, and not what was said: the test of pairs finds it without one real request."""
    split = Split(box, next_=("--wer", "0.6"))
    split.guard_part["probe"] = "10/s"
    box.study(stt=box.fake("stt"), guard=split.guard_part)
    split.begin()
    split.until(lambda: split.status()["state"] == "stopped", split.story)
    split.until(lambda: split.weights() == [100, 0], split.story)
    status = split.status()
    evidence = status["evidence"]
    check(status["verdict"] == "harm" and evidence["by_words"] and not evidence["by_errors"], status)
    check(evidence["words"] >= evidence["words_needed"] == 200 and evidence["harm"] < evidence["needed"], status)
    check("makes more word errors than now on the same clips" in status["text"], status)
    check(sum(split.counted()) == 0, "reference clips were counted as requests")
    split.until(lambda: any("split stopped, all to now: harm: next makes more word errors" in text
                            for text in split.told()), split.story)
    result = box.run("split", box.file, "advance", code=9)
    check("--anyway" in result.text, result)
    split.end()


@scenario(quick=True)
def words_that_mean_nothing(box):
    skip_unless(haproxy(), "haproxy is not installed")
    box.study(stt=box.fake("stt"))
    check("no front under guard: has a split" in box.run("split", box.file, code=2).text, "no split")
    split = Split(box)
    check("none of status, advance, abort" in box.run("split", box.file, "fly", code=2).text, "a verb")
    check("no such split (there are stt)" in box.run("split", box.file, "--service", "llm", code=2).text, "a service")
    text = box.run("split", box.file, code=0).out
    check("nothing was counted yet" in text and "undecided" in text, text)
    split.guard_part["probe"] = 0
    box.study(stt=box.fake("stt"), guard=split.guard_part)
    text = " ".join(box.run("split", box.file, code=0).out.split())
    check("no word errors are known: probe: is 0 for it" in text, text)
    with open(split.kept_path(), "w", encoding="utf-8") as file:
        file.write("{}")
    check("remove it to begin anew" in box.run("split", box.file, code=2).text, "a file of others")
    split.end()


if __name__ == "__main__":
    main(__name__)
