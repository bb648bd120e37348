"""Production's units, stopped for a study and started again whatever ends it: with a real systemd."""

import json
import os
import random
import signal
import subprocess
import time

from gpu import cards, files, gpu_fake, world
from harness import FAKE, answer, check, environment_of, main, processes, scenario
from systemd_box import Systemd, wait_until


def small(box, **parts):
    """A study of a few seconds."""
    box.study(llm=box.fake("llm", "--latency", "{latency}", knobs={"latency": ["5ms", "20ms"]}),
              **parts)


def journal(box, name="sc.spica"):
    with open(box.path(name + ".paused.json"), encoding="utf-8") as file:
        return json.load(file)


def events(box):
    return [row["kind"] for row in box.rows("SELECT kind FROM event ORDER BY id")]


def pause(box, *units, **more):
    return box.start("run", box.file, "--user", "--approve", "--pause", ",".join(units), **more)


def until(running, moment, text):
    """Until moment() is true, which must be while the command runs."""
    wait_until(lambda: moment() or running.poll() is not None, text)
    if running.poll() is not None:
        raise AssertionError(f"ended before {text}:\n{running.wait()}")


def until_down(systemd, name, running):
    until(running, lambda: systemd.state(name) == "inactive", f"{name} is down")


@scenario(quick=True)
def they_are_down_meanwhile_and_up_at_the_end(box):
    small(box)
    with Systemd(box) as systemd:
        systemd.service("stt", enabled=True)
        systemd.service("tts", extra="Restart=always\nRestartSec=0")
        systemd.service("idle")
        systemd.service("other")
        systemd.start("stt", "tts", "other")
        before = {name: systemd.pid(name) for name in ("stt", "tts", "other")}
        running = box.start("run", box.file, "--user", "-y", "--pause", "stt,tts.service", "--pause",
                            "idle")
        until_down(systemd, "stt", running)
        until_down(systemd, "tts", running)
        check(len(systemd.restorers()) == 1, systemd.story())
        check(systemd.pid("other") == before["other"], "not named, not touched")
        result = running.wait()
        check(result.code == 0 and not result.err, str(result))
        for name in ("stt", "tts"):
            check(systemd.active(name) and systemd.pid(name) != before[name], systemd.story())
            check(f"{name}.service: started again" in result.out, str(result))
        check(systemd.pid("other") == before["other"], "not named, not touched")
        check(systemd.state("idle") == "inactive", "what was down stays down")
        check("idle.service (the idle of production): not active (inactive), so it is left as it is"
              in result.out, str(result))
        check("stt.service (the stt of production): active, running; enabled at boot" in result.out,
              str(result))
        check("not enabled, by: spica restore" in result.out, str(result))
        check(journal(box)["done"] is True, journal(box))
        check(events(box).count("paused") == 1 and events(box).count("restored") == 1, events(box))
        wait_until(lambda: not systemd.restorers(), systemd.story)
        # Again at once, and then there is nothing to do.
        box.run("run", box.file, "--user", "-y", "--pause", "stt", code=0)
        check(systemd.active("stt"), systemd.story())
        check("nothing is paused" in box.run("restore", box.file, code=0).out, "restored already")



# ---- plans that change nothing ----

def unchanged(box, systemd, names, before):
    for name in names:
        check(systemd.active(name) and systemd.pid(name) == before[name], systemd.story())
    check(not systemd.restorers(), systemd.story())
    check(not os.path.exists(box.path("sc.spica.paused.json")), "no journal")


@scenario()
def a_plan_without_approval_touches_nothing(box):
    small(box)
    with Systemd(box) as systemd:
        systemd.service("stt")
        systemd.start("stt")
        before = {"stt": systemd.pid("stt")}
        result = box.run("run", box.file, "--user", "--pause", "stt", code=9)
        check("stt.service" in result.out and "--approve" in result.err, str(result))
        unchanged(box, systemd, ["stt"], before)
        for text in (b"n\n", b"\n", b"yesterday\n", b"\x04"):
            code, out = answer(box, text, "run", box.file, "--user", "--pause", "stt")
            check(code == 9 and "declined; nothing was changed" in out, f"{code}: {out}")
            unchanged(box, systemd, ["stt"], before)
        check(not os.path.exists(box.results), "no study either")
        code, out = answer(box, b"y\n", "run", box.file, "--user", "--pause", "stt")
        check(code == 0 and "stt.service: started again" in out, f"{code}: {out}")
        check(systemd.active("stt") and systemd.pid("stt") != before["stt"], systemd.story())


@scenario()
def a_unit_that_cannot_be_paused_is_refused(box):
    small(box)
    with Systemd(box) as systemd:
        for name, more in (("stt-server", {}), ("base", {}), ("top", {"unit": "Requires=base.service"}),
                           ("proud", {"unit": "RefuseManualStop=yes"})):
            systemd.service(name, **more)
            systemd.start(name)
        systemd.ctl("start", "base", "top")
        subprocess.run(["systemd-run", "--user", "--unit", "adhoc", "sleep", "1000"], env=box.env,
                       capture_output=True, check=True, timeout=60)
        names = ["stt-server", "base", "top", "proud", "adhoc"]
        before = {name: systemd.pid(name) for name in names}
        for units, says in (("stt-sevrer", "no user unit stt-sevrer.service; did you mean "
                                           "stt-server.service?"),
                            ("nothing-like-it", "no user unit nothing-like-it.service"),
                            ("stt-server,nothing-like-it", "nothing-like-it"),
                            ("base", "systemd would stop top.service with it, which is not named"),
                            ("proud", "refuses to be stopped"),
                            ("adhoc", "made on the fly"),
                            ("app.slice", "only services"),
                            (" , ", "no unit is named"),
                            ("../../etc/passwd", "no user unit"),
                            ("a" * 300, "too long")):
            result = box.run("run", box.file, "--user", "--approve", "--pause", units, code=2)
            check(says in result.err, str(result))
        check("goes with --pause" in box.run("run", box.file, "--approve", code=2).err, "alone")
        unchanged(box, systemd, names, before)
        # Both named is fine.
        box.run("run", box.file, "--user", "--approve", "--pause", "base,top", code=0)
        check(systemd.active("base") and systemd.active("top"), systemd.story())


@scenario()
def a_study_that_cannot_run_stops_nothing(box):
    small(box)
    with Systemd(box) as systemd:
        systemd.service("stt")
        systemd.start("stt")
        before = {"stt": systemd.pid("stt")}
        os.rename(box.path("prompts.jsonl"), box.path("elsewhere"))
        box.run("run", box.file, "--user", "--approve", "--pause", "stt", code=2)
        unchanged(box, systemd, ["stt"], before)
        os.rename(box.path("elsewhere"), box.path("prompts.jsonl"))
        # A device that another study holds.
        first = box.start("run", box.file)
        until(first, measuring, "a trial")
        result = box.run("run", box.file, "--out", "other.spica", "--user", "--approve", "--pause",
                         "stt", code=4)
        check("is busy" in result.err, str(result))
        unchanged(box, systemd, ["stt"], before)
        check(first.wait().code == 0, "the first")


@scenario()
def a_unit_that_is_down_stays_down(box):
    small(box)
    with Systemd(box) as systemd:
        systemd.service("stt")
        result = box.run("run", box.file, "--user", "--pause", "stt", code=0)
        check("not active (inactive), so it is left as it is" in result.out, str(result))
        check("None of them runs" in result.out, str(result))
        check(systemd.state("stt") == "inactive" and not systemd.restorers(), systemd.story())


@scenario()
def what_starts_it_again_is_named(box):
    small(box)
    with Systemd(box) as systemd:
        systemd.service("stt")
        systemd.write("stt.socket", f"[Socket]\nListenStream={box.path('stt.sock')}\n")
        systemd.ctl("start", "stt.socket", ok=True)
        systemd.start("stt")
        result = box.run("run", box.file, "--user", "--pause", "stt", code=9)
        check("stt.socket starts it when asked to" in result.out, str(result))
        result = box.run("run", box.file, "--user", "--approve", "--pause", "stt,stt.socket", code=0)
        check("starts it when asked" not in result.out, str(result))
        check(systemd.active("stt") and systemd.active("stt.socket"), systemd.story())


@scenario()
def a_unit_that_holds_the_card_makes_room(box):
    card = cards(box)
    box.study(llm=gpu_fake(box, "llm", memory="60G"), device="gpu0")
    with Systemd(box) as systemd:
        systemd.service("vllm", command=f"{FAKE} --gpu {world(box)} --gpu-hold 40G --life 300s "
                                        "--port 0")
        systemd.start("vllm")
        wait_until(lambda: files(box), "it holds its memory")
        result = box.run("run", box.file, "--user", "--pause", "vllm", code=9)
        check("holds 40,960 MiB on gpu0" in result.out, str(result))
        result = box.run("run", box.file, "--user", "--approve", "--pause", "vllm", code=0)
        check(set(box.verdicts()) == {"ok"}, f"{card.uuid}\n{result}")
        check(systemd.active("vllm"), systemd.story())


# ---- kills ----

def measuring():
    """A service of the study is up."""
    return any(b"SPICA_SERVICE=sc/llm" in environment_of(pid) for pid in processes())


def kill_when(running, moment, text):
    until(running, moment, text)
    running.signal(signal.SIGKILL)
    running.popen.wait()


def all_back(box, systemd, *names, name="sc.spica"):
    wait_until(lambda: all(systemd.active(unit) for unit in names), systemd.story)
    wait_until(lambda: not systemd.restorers(), systemd.story)
    check(journal(box, name)["done"] is True, journal(box, name))
    check(not measuring(), "no service of the study is left")


@scenario(quick=True)
def killed_in_the_middle_of_a_trial(box):
    small(box)
    with Systemd(box) as systemd:
        for name in ("stt", "tts"):
            systemd.service(name)
            systemd.start(name)
        systemd.service("idle")
        for _ in range(2):
            running = pause(box, "stt", "tts", "idle")
            kill_when(running, measuring, "a trial")
            all_back(box, systemd, "stt", "tts")
            check(systemd.state("idle") == "inactive", "what was down stays down")
        box.run("run", box.file, code=0)
        check("restored" in events(box), events(box))


@scenario()
def killed_while_stopping_and_while_starting(box):
    small(box)
    with Systemd(box) as systemd:
        systemd.service("quick")
        systemd.service("slow", extra="ExecStop=/bin/sleep 2\nExecStartPre=/bin/sleep 2")
        systemd.service("last")
        systemd.start("quick", "slow", "last")
        names = ("quick", "slow", "last")
        running = pause(box, *names)
        kill_when(running, lambda: systemd.state("slow") == "deactivating", "stopping")
        all_back(box, systemd, *names)
        running = pause(box, *names)
        until(running, measuring, "a trial")
        kill_when(running, lambda: systemd.state("slow") == "activating", "starting")
        all_back(box, systemd, *names)


@scenario()
def killed_at_any_moment(box):
    small(box)
    with Systemd(box) as systemd:
        for name in ("stt", "tts"):
            systemd.service(name, extra="ExecStop=/bin/sleep 0.05")
            systemd.start(name)
        chance = random.Random(7)
        for _ in range(8):
            running = pause(box, "stt", "tts")
            time.sleep(chance.uniform(0, 0.6))
            running.signal(signal.SIGKILL)
            running.popen.wait()
            wait_until(lambda: not systemd.restorers(), systemd.story)
            check(systemd.active("stt") and systemd.active("tts"), systemd.story())
        running = pause(box, "stt", "tts")
        check(running.wait().code == 0, running.output())
        check(systemd.active("stt") and systemd.active("tts"), systemd.story())


@scenario()
def the_restorer_is_killed_as_well(box):
    small(box)
    with Systemd(box) as systemd:
        systemd.service("stt")
        systemd.start("stt")
        # systemd starts a killed restorer again, before and after spica is.
        running = pause(box, "stt")
        until(running, measuring, "a trial")
        unit = systemd.restorers()[0]
        first = systemd.pid(unit)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: systemd.pid(unit) not in (0, first), systemd.story)
        os.kill(systemd.pid(unit), signal.SIGKILL)
        kill_when(running, lambda: True, "a trial")
        all_back(box, systemd, "stt")
        # Nobody is left: the next command does it.
        for command in ("restore", "run"):
            running = pause(box, "stt")
            until(running, measuring, "a trial")
            refused = box.run("restore", box.file, code=4)
            check("still runs" in refused.err, str(refused))
            systemd.stop(systemd.restorers()[0])
            kill_when(running, lambda: True, "a trial")
            wait_until(lambda: not measuring(), "the keeper has ended it")
            check(systemd.state("stt") == "inactive", systemd.story())
            result = box.run(command, box.file, code=0)
            check("stt.service: started again" in result.out, str(result))
            check(systemd.active("stt") and journal(box)["done"], systemd.story())


# ---- trouble ----

@scenario()
def stopped_by_the_user(box):
    small(box)
    with Systemd(box) as systemd:
        systemd.service("stt")
        systemd.service("slow", extra="ExecStop=/bin/sleep 2")
        systemd.start("stt", "slow")
        running = pause(box, "stt")
        until(running, measuring, "a trial")
        running.signal(signal.SIGINT)
        check(running.wait().code == 5 and systemd.active("stt"), systemd.story())
        running = pause(box, "stt", "slow")
        until(running, lambda: systemd.state("slow") == "deactivating", "stopping")
        running.signal(signal.SIGINT)
        result = running.wait()
        check(result.code == 5 and "stopped while stopping slow.service" in result.err, str(result))
        all_back(box, systemd, "stt", "slow")


@scenario()
def a_stop_that_fails(box):
    small(box)
    with Systemd(box) as systemd:
        systemd.service("stt")
        systemd.service("stubborn", extra="ExecStop=/bin/sleep 3")
        systemd.start("stt", "stubborn")
        running = pause(box, "stt", "stubborn")
        until(running, lambda: systemd.state("stubborn") == "deactivating", "stopping")
        systemd.ctl("start", "stubborn")  # somebody wants it up: the stop is cancelled
        result = running.wait()
        check(result.code == 1 and 'stopping stubborn.service: systemd says "canceled"' in result.err,
              str(result))
        check(box.trials() == [], "no trial began")
        all_back(box, systemd, "stt", "stubborn")


@scenario()
def a_unit_that_does_not_start_again(box):
    small(box)
    with Systemd(box) as systemd:
        systemd.service("stt")
        systemd.service("tts")
        systemd.start("stt", "tts")
        running = pause(box, "stt", "tts")
        until_down(systemd, "tts", running)
        systemd.service("stt", command="/bin/false")
        result = running.wait()
        check(result.code == 1 and "not started again: stt.service" in result.err, str(result))
        check("stt.service: NOT STARTED" in result.out, str(result))
        check("spica restore" in result.err and "Winner" in result.out, str(result))
        check(systemd.active("tts"), "the other one is up")
        check("restore_failed" in events(box) and journal(box)["done"] is False, events(box))
        wait_until(lambda: not systemd.restorers(), systemd.story)
        check("stt.service" in box.run("restore", box.results, code=1).err, "still broken")
        check("stt.service" in box.run("run", box.file, code=1).err, "a run would measure nothing")
        systemd.service("stt")
        result = box.run("restore", box.file, code=0)
        check("tts.service: runs already, left alone" in result.out, str(result))
        check(systemd.active("stt") and journal(box)["done"], systemd.story())


@scenario()
def a_unit_that_somebody_started_meanwhile(box):
    small(box)
    with Systemd(box) as systemd:
        systemd.service("stt")
        systemd.start("stt")
        running = pause(box, "stt")
        until_down(systemd, "stt", running)
        systemd.start("stt")
        theirs = systemd.pid("stt")
        result = running.wait()
        check(result.code == 0 and "stt.service: runs already, left alone" in result.out, str(result))
        check(systemd.pid("stt") == theirs, systemd.story())


@scenario()
def a_fresh_study_finds_its_journal(box):
    small(box)
    with Systemd(box) as systemd:
        systemd.service("stt")
        systemd.start("stt")
        # Nothing in the name may mean anything to systemd.
        out = "it's $HOME %n \\x41"
        box.run("run", box.file, "-o", out, code=0)
        running = box.start("run", box.file, "-o", out, "--fresh", "--user", "-y", "--pause", "stt")
        kill_when(running, measuring, "a trial")
        all_back(box, systemd, "stt", name=out)
        box.write("sc.spica.paused.json", "{}")
        result = box.run("run", box.file, code=2)
        check("not a journal" in result.err, str(result))


@scenario()
def without_systemd_it_says_so(box):
    small(box)
    result = box.run("run", box.file, "--user", "--approve", "--pause", "stt", code=2,
                     env={"DBUS_SESSION_BUS_ADDRESS": "unix:path=" + box.path("nobody"),
                          "XDG_RUNTIME_DIR": box.path("nowhere")})
    check("no systemd answers for user units" in result.err, str(result))


if __name__ == "__main__":
    main(__name__)
