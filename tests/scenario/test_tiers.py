"""The model chosen by headroom: real HAProxy, real systemd, fake servers. What a client sees is never worse
than with any of them alone: nothing fails, whatever is switched, started, stopped or killed."""

import fcntl
import hashlib
import http.client
import json
import os
import re
import time

from clock import Clock
from gpu import Card, cards, options, stranger, touch
from harness import FAKE, check, main, scenario
from production import free_ports
from systemd_box import wait_until
from tiers import CALM, MUCH, Tiers
from tls_front import certificate
from traffic import accepts

PIN = {"X-Spica-Tier": "base"}


@scenario(quick=True)
def down_in_an_overload_up_in_calm(box):
    with Tiers(box) as tiers:
        tiers.guard()
        tiers.send(CALM, tiers.for_seconds(4))
        check(tiers.served_by("base", 10), tiers.told())
        tiers.send(MUCH, lambda: tiers.served_by("tiny") and tiers.says("stt: base -> tiny: "),
                   headers=PIN, every=10)
        # Whoever asks for base by header gets it, slow as it is.
        pinned = [tier for tier, _, asked in tiers.answers.served if asked]
        check(pinned and set(pinned) == {"base"}, pinned)
        tiers.send(CALM, lambda: tiers.served_by("base") and
                   tiers.says("stt: tiny -> base: base keeps p95 "))
        check(tiers.told().count(" -> ") == 2, tiers.told())
        tiers.no_failures()
        # What it was decided on is recorded: the same choices, and others under another requirement.
        recording = box.path("sc.spica.guard.jsonl")
        again = box.run("guard", box.file, "--replay", recording, code=0).out
        check("; tiers: 2 choices, as they were then" in again.splitlines()[-1], again)
        check("tier      stt: base -> tiny: " in again and "stt: tiny -> base: " in again, again)
        tiers.front["keep"] = "p95 < 20ms"
        tiers.write()
        again = box.run("guard", box.file, "--replay", recording, code=0).out
        check(" looks unlike then" in again.splitlines()[-1] and "(then: base" in again, again)


@scenario(quick=True)
def tiers_over_tls(box):
    """Asked, warmed up, probed and switched as in clear text, though clients come in that."""
    with Tiers(box, pair=certificate(box), guard={"probe": "2/s"}) as tiers:
        tiers.more["watch"] = {"stt": {"unit": "base.service", "user": True, "port": tiers.ports["base"]}}
        tiers.write()
        tiers.guard()
        tiers.send(CALM, lambda: tiers.served_by("base") and tiers.says("tiny is warm, "))
        tiers.send(CALM, tiers.for_seconds(4))
        check("probe" not in tiers.told(), tiers.told())
        tiers.send(MUCH, lambda: tiers.served_by("tiny") and tiers.says("stt: base -> tiny: "))
        tiers.send(CALM, lambda: tiers.served_by("base") and tiers.says("stt: tiny -> base: "))
        tiers.no_failures()


@scenario()
def guard_killed_in_the_middle(box):
    """HAProxy goes on with the tier it has, and the next guard from there."""
    with Tiers(box) as tiers:
        tiers.guard()
        tiers.send(CALM, tiers.for_seconds(3))
        tiers.send(MUCH, lambda: tiers.served_by("tiny"))
        tiers.kill()
        tiers.send(MUCH, tiers.for_seconds(3))
        check(tiers.served_by("tiny", 50), tiers.answers.last(50))
        tiers.guard()
        tiers.send(MUCH, tiers.for_seconds(4))
        check(tiers.served_by("tiny", 50), tiers.told())
        tiers.send(CALM, lambda: tiers.served_by("base"))
        tiers.no_failures()


@scenario()
def started_and_warm(box):
    with Tiers(box, base={"resident": False, "memory": "10MiB"}) as tiers:
        check(not tiers.systemd.active("base"), "it runs already")
        tiers.listen()
        tiers.guard()
        wait_until(lambda: tiers.shows('spica_service_out_of_memory_total{service="stt",tier="base"} 0'), tiers.told)
        check(not tiers.shows('spica_service_up{service="stt",tier="base"} 0'), "stopped on purpose is not down")
        tiers.send(CALM, lambda: tiers.served_by("base") and tiers.says("tiny -> base"))
        told = tiers.told()
        check("starting base: its peak " in told, told)
        check(told.index("starting base") < told.index("base is warm, its first answer took ")
              < told.index("tiny -> base"), told)
        for sample in ("up", "restarts_total"):
            line = f'spica_service_{sample}{{service="stt",tier="base"}} {int(sample == "up")}'
            wait_until(lambda line=line: tiers.shows(line), lambda line=line: line + tiers.told())
        tiers.no_failures()


@scenario()
def a_tier_that_does_not_start(box):
    with Tiers(box, base={"resident": False, "memory": "10MiB"}) as tiers:
        tiers.systemd.service("base", "/bin/false")
        tiers.guard()
        tiers.send(CALM, lambda: tiers.says("base did not come up: base.service is failed"))
        check(tiers.says("not tried again for 30 s"), tiers.told())
        tiers.send(CALM, tiers.for_seconds(3))
        check(tiers.told().count("starting base") == 1, tiers.told())
        check(tiers.served_by("tiny", 10), tiers.answers.last(10))
        tiers.no_failures()


@scenario()
def a_tier_that_dies(box):
    """HAProxy leaves it by itself; the policy follows, and comes back once it has proved itself."""
    with Tiers(box) as tiers:
        tiers.guard()
        tiers.send(CALM, lambda: tiers.served_by("base"))
        tiers.systemd.stop("base")
        tiers.send(CALM, lambda: tiers.served_by("tiny") and tiers.says("base is not usable"))
        tiers.up("base")
        tiers.send(CALM, lambda: tiers.served_by("base"))
        check(tiers.says("base is warm"), tiers.told())


@scenario()
def drained_by_hand(box):
    """A person has taken a tier out: it stays out, over a guard that begins anew too, until a person says ready."""
    with Tiers(box) as tiers:
        tiers.guard()
        tiers.send(CALM, lambda: tiers.served_by("base") and tiers.says("tiny is warm"))
        box.run("proxy", box.file, "drain", "stt", "base", code=0)
        tiers.send(CALM, lambda: tiers.served_by("tiny") and tiers.says("base was drained by hand: "))
        tiers.send(CALM, tiers.for_seconds(12))  # guard's own is undone within 10 s
        check(tiers.served_by("tiny", 20), tiers.told())
        tiers.kill()
        tiers.guard()
        tiers.send(CALM, tiers.for_seconds(3))
        check("base: usable, drained by hand;" in box.run("proxy", box.file, "look", code=0).out, tiers.told())
        box.run("proxy", box.file, "ready", "stt", "base", code=0)
        tiers.send(CALM, lambda: tiers.served_by("base") and tiers.says("base is no longer drained by hand"))
        tiers.no_failures()


@scenario()
def restarted_between_two_looks(box):
    """It is active in both, and cold all the same; that is seen while HAProxy is down too."""
    with Tiers(box) as tiers:
        tiers.guard()
        tiers.send(CALM, lambda: tiers.served_by("base") and tiers.says("tiny is warm"))
        tiers.systemd.ctl("restart", "base.service")
        tiers.send(CALM, lambda: tiers.says("base was restarted (process ") and
                   tiers.says("base is warm"))
        box.run("proxy", box.file, "stop", "--within", "1s", code=0)
        tiers.systemd.ctl("restart", "tiny.service")
        wait_until(lambda: tiers.says("tiny was restarted (process ") and
                   tiers.told().count("tiny is warm") == 2, tiers.told)


@scenario()
def a_tier_that_came_up_on_the_cpu(box):
    """It must be on the GPU, and its first request says that it is not: it takes no other."""
    cards(box, Card())
    with Tiers(box, base={"resident": False, "memory": "2GiB"}, extra=options(box, "1G"),
               service={"on": "gpu"}, device="gpu0") as tiers:
        # The world's card is not seen by what is started now.
        command = tiers.command("base").split(" --gpu ", maxsplit=1)[0]
        tiers.systemd.service("base", command)
        tiers.guard()
        tiers.send(CALM, lambda: tiers.says("base did not come up: it must be on the GPU"))
        check(tiers.served_by("tiny", 5), tiers.told())
        wait_until(lambda: not tiers.systemd.active("base"), tiers.told)
        tiers.no_failures()


@scenario()
def the_only_tier_comes_back_on_the_cpu(box):
    """Slow answers are better than none: it is named and goes on until another can answer, and only then
    it is left, emptied and stopped. Before: it was stopped at once, with what was on it."""
    cards(box, Card(total_mib=8000))
    with Tiers(box, base={"resident": False, "memory": "2GiB"}, extra=options(box, "1G"),
               service={"on": "gpu"}, device="gpu0") as tiers:
        tiers.up("base")
        tiers.guard()
        tiers.send(CALM, lambda: tiers.served_by("base") and tiers.says("tiny is warm"))
        tiers.systemd.service("tiny", "/bin/false")
        tiers.systemd.stop("tiny")
        tiers.send(CALM, lambda: tiers.says("tiny is down"))
        # The world's card is not seen by what is started now. A restart itself cuts what is under way.
        tiers.systemd.service("base", tiers.command("base").split(" --gpu ", maxsplit=1)[0])
        tiers.answers.end()
        tiers.systemd.ctl("restart", "base.service")
        wait_until(lambda: accepts(tiers.ports["base"]), tiers.told)
        tiers.answers.end()
        tiers.answers.failures.clear()
        wait_until(lambda: tiers.says("not stopped before another tier can answer"), tiers.told)
        tiers.send(CALM, tiers.for_seconds(5))
        check(tiers.served_by("base") and tiers.systemd.active("base"), tiers.told())
        tiers.systemd.service("tiny", tiers.command("tiny"))
        tiers.send(CALM, lambda: tiers.served_by("tiny") and tiers.says("base has failed and is left now"))
        tiers.send(CALM, lambda: tiers.says("base is stopped, empty") and tiers.says("base is down"))
        check(not tiers.systemd.active("base"), tiers.told())
        tiers.no_failures()


@scenario()
def memory_is_needed_elsewhere(box):
    """The largest tier that need not run goes first: left, emptied, stopped. Nobody is cut off."""
    cards(box, Card(total_mib=8000))
    with Tiers(box, base={"resident": False}, front={"reserve": "1GiB"}, extra=options(box, "2G"),
               service={"on": "gpu"}, device="gpu0") as tiers:
        tiers.more = {"watch": {"stt": {"unit": "base.service", "user": True,
                                        "port": tiers.ports["base"]}}}
        tiers.write()
        tiers.up("base")
        tiers.guard()
        tiers.send(CALM, lambda: tiers.served_by("base"))
        stranger(box, "--gpu-hold", "3G")
        tiers.send(CALM, lambda: tiers.served_by("tiny") and tiers.says("base is down"))
        check(not tiers.systemd.active("base"), tiers.told())
        told = tiers.told()
        check("base -> tiny: the memory of base is needed: free " in told, told)
        check("base is stopped, empty" in told, told)
        time.sleep(2)
        check(tiers.systemd.active("tiny") and not tiers.says("starting base"), tiers.told())
        # It is watched, and nobody is called for what guard has stopped itself.
        check(": down" not in tiers.told() and "down: stt" not in tiers.told(), tiers.told())
        tiers.no_failures()


@scenario()
def a_tier_that_hangs_in_its_stop(box):
    """systemd waits for its process for as long as that takes, and nobody waits for systemd: after two minutes
    it is named, what it holds is nobody's, and once somebody kills it it is used as ever."""
    cards(box, Card(total_mib=8000))
    clock = Clock(box)
    with Tiers(box, base={"resident": False}, front={"reserve": "1GiB"}, extra=options(box, "2G"),
               service={"on": "gpu"}, device="gpu0") as tiers:
        deaf = box.write("deaf", "")
        tiers.unit("base", f"/bin/sh -c 'test -e {deaf} && more=--ignore-term; exec {tiers.command('base')} $$more'",
                   stop="infinity")
        tiers.up("base")
        tiers.listen()
        box.run("proxy", box.file, "apply", code=0)  # the machine's clock is HAProxy's
        with clock:
            tiers.guard()
        tiers.send(CALM, lambda: tiers.served_by("base") and tiers.says("tiny is warm"))
        pid = tiers.systemd.pid("base")
        other = stranger(box, "--gpu-hold", "3G")
        tiers.send(CALM, lambda: tiers.served_by("tiny") and tiers.says("base is stopped, empty"))
        # Its loop goes on: it is asked while systemd waits.
        wait_until(lambda: tiers.shows('spica_tier_power{service="stt",tier="base",power="stopping"} 1'), tiers.told)
        check(not tiers.says("does not stop"), tiers.told())
        clock.passes(121)
        tiers.send(CALM, lambda: tiers.says(": tier does not stop"))
        check(re.search(r"base does not stop: base\.service is deactivating \(stop-sigterm\) \d+ s after it was to, "
                        f"process {pid}, it holds 2,048 MiB", tiers.told()), tiers.told())
        # Nobody wants the room any more, but it is not down.
        other.kill()
        other.wait()
        clock.passes(301)  # what the other held is kept free for so long
        tiers.send(CALM, tiers.for_seconds(6))
        check(tiers.served_by("tiny", 20) and not tiers.says("starting base"), tiers.told())
        check(tiers.systemd.pid("base") == pid, tiers.systemd.story())
        clock.set(-422)  # the card's proof of who works there has stamps of the machine's
        os.unlink(deaf)
        tiers.systemd.ctl("kill", "-s", "KILL", "base.service")
        tiers.send(CALM, lambda: tiers.says("what was to stop is down") and tiers.says("starting base") and
                   tiers.served_by("base"))
        tiers.no_failures()


@scenario(quick=True)
def two_fronts_on_one_card(box):
    """Tiers of one service and a split of another, on one HAProxy and one card: each front goes its own
    way, and a tier that takes no requests is named and left when it comes back on the CPU."""
    cards(box, Card(total_mib=12000))
    with Tiers(box, extra=options(box, "1G"), service={"on": "gpu"}, device="gpu0") as tiers:
        front, now, bad = free_ports(3)
        for port, more in ((now, ()), (bad, ("--some", "0.7:http:500"))):
            box.helper(FAKE, "--kind", "llm", "--port", port, "--life", "300s", "--latency", "5ms",
                       *options(box, "1G"), *more)
            wait_until(lambda port=port: accepts(port), "an arm does not start")
        tiers.study = dict(tiers.study, services=dict(tiers.study["services"], llm=box.fake("llm", on="cpu")))
        arms = {"now": {"port": now, "weight": 50}, "next": {"port": bad, "weight": 50}}
        tiers.more = {"fronts": {"stt": tiers.front, "llm": {"port": front, "split": {"arms": arms}}},
                      "watch": {"llm": {"port": now}}}
        tiers.write()
        tiers.guard()

        def split():
            return json.loads(box.run("split", box.file, "--json", code=0).out)["splits"][0]

        def ask():
            connection = http.client.HTTPConnection("127.0.0.1", front, timeout=30)
            connection.request("POST", "/v1/chat/completions",
                               json.dumps({"messages": [{"role": "user", "content": "go on"}],
                                           "max_tokens": 2}), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            connection.close()
            return answer.headers["X-Spica-Tier"]
        tiers.send(CALM, lambda: all([ask() for _ in range(12)]) and tiers.served_by("base") and
                   split()["state"] == "stopped")
        # HAProxy is told in the same step in which that is written; what it was just choosing goes on.
        wait_until(lambda: [ask() for _ in range(4)] == ["now"] * 4, split)
        check([ask() for _ in range(12)] == ["now"] * 12, split())
        check(split()["evidence"]["by_errors"], split())
        # The world's card is not seen by what is started now.
        tiers.systemd.service("tiny", tiers.command("tiny").split(" --gpu ", maxsplit=1)[0])
        tiers.systemd.ctl("restart", "tiny.service")
        tiers.send(CALM, lambda: tiers.says("tiny did not come up: it must be on the GPU") and
                   tiers.says(": arm in doubt"))
        check(tiers.served_by("base", 5) and tiers.systemd.active("tiny"), tiers.told())
        tiers.no_failures()


@scenario()
def a_tier_that_nobody_chooses(box):
    """Without `keep:` no tier is switched, and the place of one that is not watched is told all the same."""
    cards(box, Card(total_mib=8000))
    with Tiers(box, extra=options(box, "1G"), service={"on": "gpu"}, device="gpu0") as tiers:
        del tiers.front["keep"]
        tiers.more["watch"] = {"stt": {"unit": "base.service", "user": True, "port": tiers.ports["base"]}}
        tiers.listen()
        tiers.guard()
        tiers.send(CALM, tiers.for_seconds(4))
        check(tiers.served_by("base") and not tiers.says("in doubt"), tiers.told())
        # The world's card is not seen by what is started now.
        tiers.systemd.service("tiny", tiers.command("tiny").split(" --gpu ", maxsplit=1)[0] + " --spin 1")
        tiers.systemd.ctl("restart", "tiny.service")
        wait_until(lambda: tiers.says(": arm in doubt") and
                   tiers.says("stt's tier tiny must be on the GPU and is on the CPU: "), tiers.told)
        for sample in ('spica_service_up{service="stt",tier="tiny"} 1',
                       'spica_service_placement{service="stt",tier="tiny",placement="cpu"} 1',
                       'spica_service_restarts_total{service="stt",tier="tiny"} 1',
                       'spica_service_up{service="stt"} 1'):
            wait_until(lambda sample=sample: tiers.shows(sample), lambda sample=sample: sample + tiers.told())
        check(not tiers.shows('spica_service_up{service="stt",tier="base"'), "the watched one is shown twice")
        tiers.systemd.stop("tiny")
        wait_until(lambda: tiers.shows('spica_service_up{service="stt",tier="tiny"} 0'), tiers.told)
        wait_until(lambda: tiers.says("stt's tier tiny is on gpu0 again, or down"), tiers.told)
        check(tiers.systemd.active("base") and not tiers.says("not on its device"), tiers.told())


@scenario()
def the_driver_is_lost(box):
    """Nothing that is stopped would come back: tiers stay as they are, though they fail."""
    cards(box, Card(total_mib=8000))
    with Tiers(box, base={"resident": False}, front={"reserve": "1GiB"}, extra=options(box, "2G"),
               service={"on": "gpu"}, device="gpu0") as tiers:
        tiers.up("base")
        tiers.guard()
        tiers.send(CALM, lambda: tiers.served_by("base"))
        touch(box, "lost")
        tiers.send(CALM, lambda: tiers.says("driver lost: no tier is started or stopped until that is over"))
        tiers.send(CALM, tiers.for_seconds(3))
        check(tiers.systemd.active("base") and tiers.systemd.active("tiny"), tiers.told())
        check(not tiers.says("starting ") and not tiers.says("stopping "), tiers.told())


@scenario()
def a_study_pauses_a_tier(box):
    """Nobody starts what `spica run --pause` has stopped but itself, and nobody is called meanwhile; then it
    is a tier as before."""
    with Tiers(box, base={"resident": False, "memory": "10MiB"}) as tiers:
        tiers.more["watch"] = {"stt": {"unit": "base.service", "user": True, "port": tiers.ports["base"]}}
        tiers.write()
        tiers.up("base")
        tiers.guard()
        tiers.send(CALM, lambda: tiers.served_by("base") and tiers.says("tiny is warm"))
        study = box.start("run", box.file, "--fresh", "--user", "--approve", "--pause", "base")
        tiers.send(CALM, lambda: tiers.served_by("tiny") and tiers.says(
            "the study sc has stopped base for a while: no tier is started or stopped until that is over"))
        tiers.answers.end()
        tiers.answers.failures.clear()  # its stop itself cuts what is under way
        tiers.send(CALM, lambda: study.poll() is not None)
        result = study.wait()
        check(result.code == 0 and "base.service: started again" in result.out, f"{result}\n{tiers.told()}")
        tiers.send(CALM, lambda: tiers.says("tiers are started and stopped again") and tiers.says("base is warm"))
        told = tiers.told()
        for words in ("starting base", "stopping base", "did not come up", "does not stop", "in doubt", ": down"):
            check(words not in told, f"{words}:\n{told}")
        for words in ("has stopped base for a while", "started and stopped again"):
            check(told.count(words) == 1, told)
        tiers.no_failures()
        # They are guard's again: where none is left it starts one.
        tiers.systemd.stop("base")
        tiers.systemd.stop("tiny")
        tiers.answers.end()
        tiers.send(CALM, lambda: tiers.says("starting tiny") and tiers.served_by("tiny"))


@scenario()
def a_promotion_is_under_way(box):
    """While its process holds the study's lock nothing is started between its steps; then it is, whatever the
    promotion's journal says."""
    key = hashlib.sha256(f"study {box.results}.promotion.json".encode()).hexdigest()
    folder = box.env["SPICA_LOCK_DIR"]
    os.makedirs(folder, exist_ok=True)
    with Tiers(box, base={"resident": False}) as tiers:
        with open(os.path.join(folder, f"promotion-{key[:32]}.lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            tiers.guard()
            tiers.send(CALM, lambda: tiers.says(
                "a promotion is under way: no tier is started or stopped until that is over"))
            tiers.send(CALM, tiers.for_seconds(3))
            check(not tiers.says("starting "), tiers.told())
        tiers.send(CALM, lambda: tiers.served_by("base") and tiers.says("starting "))
        tiers.no_failures()


@scenario()
def said_and_not_done(box):
    with Tiers(box) as tiers:
        tiers.guard()
        tiers.send(CALM, lambda: tiers.served_by("base"))
        tiers.kill()
        runs = "taken to run: stt.wait=2ms (the study's winner)"
        check(f'guard: watching "sc"; {runs}' in tiers.told(), tiers.told())
        tiers.guard("--dry-run")
        wait_until(lambda: tiers.says(f'guard: watching "sc", dry run; {runs}'), tiers.told)
        tiers.send(MUCH, lambda: tiers.says("would: base -> tiny"))
        check(tiers.served_by("base"), tiers.told())


if __name__ == "__main__":
    main(__name__)
