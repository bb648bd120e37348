"""Faults, and the lack of them, with HAProxy and its traffic: what guard_faults.py injects behind fronts
(tests/scenario/fronted.py), on a real `systemd --user` in a box."""

import os
import subprocess
import time

import gpu
import test_guard_watch as scene
from fronted import Fronted, Told, haproxy  # noqa: F401  (for who injects)
from systemd_box import wait_until


def no_traffic(box, window_s):
    """Nobody asks any more, guard neither. From the last answer to the alarm, less the window, which is
    emptied by twelfths: it may be one of them short."""
    with scene.Manager(box) as systemd:
        watched = Fronted(box, systemd, {"probe": 0, "window": f"{window_s}s"})
        watched.up()
        watched.begin()
        watched.gentle(watched.traffic.upload, watched.front)
        watched.gentle(watched.traffic.stream, watched.llm_front, 20)  # so that this one is not quiet
        wait_until(lambda: watched.traffic.served.get("base", 0) > 5, watched.story)
        early = len(watched.alarms("no data", "stt"))
        watched.traffic.stop()
        began = time.time()
        wait_until(lambda: watched.alarms("no data", "stt"), watched.story, window_s + 60)
        took = watched.alarms("no data", "stt")[0]["t"] - began
        unknown = watched.value("stt.latency.p95")
        watched.end()
    return {"after": took - window_s, "early": early + (took < window_s - window_s / 12 - 1), "unknown": int(unknown is None)}


def full_disk(box, quiet_s):
    """Everything that guard and HAProxy keep is on a disk of 2 MiB, which then is full."""
    small = box.path("small")
    os.mkdir(small)
    with scene.Manager(box) as systemd:
        watched = Fronted(box, systemd, {"proxy": {"folder": os.path.join(small, "ha")}})
        watched.folder = os.path.join(small, "ha")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", small], check=True)
        record = os.path.join(small, "sc.spica")
        watched.record = lambda: record + ".guard.jsonl"
        watched.up()
        watched.begin("-o", record)
        watched.gentle(watched.traffic.upload, watched.front)
        watched.gentle(watched.traffic.stream, watched.llm_front, 200)
        wait_until(lambda: watched.traffic.answers() > 10, watched.story)
        began = time.time()
        with open(os.path.join(small, "filler"), "wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 4096):
                    pass
            except OSError:
                pass  # it is full
        event = watched.expect("disk-full", within=300)
        before = watched.traffic.answers()
        time.sleep(quiet_s)
        served = watched.traffic.answers() - before
        said = len(watched.events("disk-full"))
        others = [e for e in watched.events() if e["kind"] != "disk-full"]
        ticks_go_on = watched.guard.poll() is None
        os.unlink(os.path.join(small, "filler"))
        watched.expect("disk-writes", within=60)
        watched.end()
        failures = watched.traffic.failures
        subprocess.run(["umount", "-l", small], check=False)
    return {"took": max(event["t"] - began, 0), "said": said, "others": len(others), "failed": len(failures),
            "served": served if ticks_go_on else 0, "told": [*failures[:3], *others[:3]]}


def restarted(box, rounds):
    """Killed whole, then started by hand as guard had started it; at last guard does that."""
    down, back = [], []
    if not haproxy():
        return {"problem": "haproxy is not installed"}
    with scene.Manager(box) as systemd:
        watched = Fronted(box, systemd)
        watched.up()
        watched.begin()
        for _ in range(rounds):
            with open(f"/proc/{watched.master()}/cmdline", "rb") as file:
                argv = file.read().split(b"\0")[:-1]
            began = time.time()
            watched.kill_proxy()
            down.append(after(watched, "proxy-down", None, began))
            began = time.time()
            subprocess.run(argv, check=True, env=box.env, stdin=subprocess.DEVNULL)
            back.append(after(watched, "proxy-restarted", None, began))
        known, began = len(watched.events("proxy-restarted", None)), time.time()
        watched.kill_proxy()
        again = after(watched, "proxy-restarted", None, began, known=known)
        watched.end()
    return {"down": max(down), "back": max(back), "again": again}


def quiet(box, seconds):
    """Nothing is wrong: cards, a journal, HAProxy, two fronts, gentle requests through both."""
    gpu.cards(box)
    with scene.Manager(box) as systemd:
        scene.start_journald(box, systemd)
        watched = Fronted(box, systemd, on="gpu", stt=gpu.options(box), llm=gpu.options(box))
        watched.up()
        watched.begin()
        watched.gentle(watched.traffic.upload, watched.front)
        watched.gentle(watched.traffic.stream, watched.llm_front, 20)
        time.sleep(seconds)
        said = watched.events() + watched.alarms()
        watched.end()
        told = watched.traffic.failures + said
    return {"false": len(said), "failed": len(watched.traffic.failures),
            "answers": watched.traffic.answers(), "told": told[:5]}


def overload(box, seconds):
    """Ten senders without a pause for a server that answers one at a time, slower than the probe's
    patience: it answers all along, so it neither hangs nor fails nor is it down."""
    with scene.Manager(box) as systemd:
        watched = Fronted(box, systemd, stt=["--latency", "400ms", "--slots", "1"])
        watched.up()
        watched.begin()
        watched.traffic.add(10, watched.traffic.upload, watched.front)
        time.sleep(seconds)
        wrong = [line for line in watched.alarms() if line["rule"] in ("hangs", "fails", "down",
                                                                       "no usable server")]
        watched.end()
    return {"false": len(wrong), "answers": watched.traffic.answers(),
            "told": wrong[:3] + watched.traffic.failures[:3]}


def after(watched, kind, service, since, within=60, known=0):
    """Seconds from `since` to the first such event behind it, and behind those `known` before."""
    def found():
        return [e for e in watched.events(kind, service)[known:] if e["t"] >= since - 0.01]
    wait_until(found, watched.story, within)
    return max(found()[0]["t"] - since, 0)
