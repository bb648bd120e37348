#!/usr/bin/env python3
"""What a promotion costs, on a real `systemd --user` in a box (tests/scenario/systemd_box.py; needs root).

    bench/promote.py [--sequences N] [--jobs N] [PART...]      parts: downtime, rollback, plan, kernel, sequences

downtime   Two units, each of which takes its time to end and to start. Somebody outside asks both all the
           time. How long are they away in a promotion, and how long when only `systemctl restart` is
           called? The difference is ours.
rollback   From the failed check to the first step back, as spica says; and, seen from outside, from the
           end of a service that dies while it is verified to the journal's word that it is being undone.
plan       Of twenty services, each with a program of its own, by the clock of a whole `spica promote
           --plan-only`.
kernel     In a guest (bench/promote_guest.py, --setup once) whose unit may have 64 MiB: promotions that take
           more, at their start and bit by bit, with and without a systemd that starts them again. Each must
           be killed by the kernel, undone, and the old service serve again.
sequences  Random promotions, failures, edits, kills and rollbacks; after each, every file and unit must be
           as a model says.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import sys
import threading
import time
import traceback

from bench_lib import FAKE, ROOT, SPICA, give_up, need, number, say, workplace

os.environ.update(SPICA=SPICA, FAKE_SERVICE=FAKE)
sys.path.insert(0, os.path.join(ROOT, "tests/scenario"))
import promote_guest  # noqa: E402
import harness  # noqa: E402  (after the programs are named)
import production as scene  # noqa: E402
import test_promote  # noqa: E402
from systemd_box import Systemd, wait_until  # noqa: E402

START_S, STOP_S, ROUNDS, SERVICES = 0.4, 0.2, 7, 20
OWN_BAR_S, ROLLBACK_BAR_S, PLAN_BAR_S = 0.3, 1, 1


# ---- seen from outside ----

class Watch:
    """Connects to a port every few milliseconds; `away` is the longest time without an answer."""

    def __init__(self, port):
        self.port, self.away, self.over = port, 0.0, False
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self):
        last = time.monotonic()
        while not self.over:
            with socket.socket() as s:
                s.settimeout(1)
                good = s.connect_ex(("127.0.0.1", self.port)) == 0
            now = time.monotonic()
            if good:
                self.away = max(self.away, now - last)
                last = now
            time.sleep(0.002)

    def end(self):
        self.over = True
        self.thread.join()
        return self.away


def watched(production, what):
    """Seconds away of each unit while what() is done."""
    watches = [Watch(production.llm_port), Watch(production.rag_port)]
    time.sleep(0.05)
    what()
    time.sleep(0.05)
    return [watch.end() for watch in watches]


def slow_units(production):
    """Both take their time to end and to start, with any setting."""
    slow = ["--start-delay", f"{round(START_S * 1000)}ms", "--term-delay", f"{round(STOP_S * 1000)}ms"]
    common = ["--kind", "llm", "--life", "900s", *slow]
    systemd = production.systemd
    systemd.service("llm", " ".join([FAKE, *common, "--port", str(production.llm_port), "--latency",
                                     "${WAIT}"]), extra=f"Environment=WAIT={scene.OLD['llm']}")
    systemd.service("rag", " ".join([FAKE, *common, "--port", str(production.rag_port), "--latency",
                                     scene.OLD["rag"]]))
    for name in ("llm", "rag"):
        systemd.ctl("restart", name, ok=True)
    production.start("llm", "rag")
    production.write_study(rag=dict(production.services["rag"], exec=[
        FAKE, *common, "--port", "{port}", "--latency", scene.NEW["rag"]]))


def restart(production):
    for name, port in (("llm", production.llm_port), ("rag", production.rag_port)):
        production.systemd.ctl("restart", name, ok=True)
        wait_until(lambda p=port: production.answers(p), production.systemd.story)


def downtime(box):
    found = {"own": [], "promotion": [], "rollback": [], "said": []}
    with scene.Production(box) as production:
        slow_units(production)
        for _ in range(ROUNDS):
            found["own"].append(watched(production, lambda: restart(production)))
            plan, results = production.plan(), []
            found["promotion"].append(watched(
                production, lambda: results.append(production.promote(0, plan=plan))))
            found["said"].append(results[0]["downtime_s"])
            found["rollback"].append(watched(production, production.rollback))
    return found


def rollback(box):
    found = {"said": [], "seen": []}
    with scene.Production(box) as production:
        for option in ("--from 4:http:500", "--latency 700ms", "--exit-at-start 3", "--never-ready"):
            production.write_study(llm=dict(production.services["llm"], within="2s"))
            production.fault(option)
            found["said"].append(production.promote(7)["rollback_after_s"])
        for _ in range(ROUNDS):
            production.fault("--at 6:die:3")
            running = production.begin("--json")
            wait_until(lambda: production.journal() and production.journal()["state"] == "verifying",
                       "verifying")
            pid = production.systemd.pid("llm")
            wait_until(lambda p=pid: not harness.alive(p), "it dies")
            died = time.monotonic()
            wait_until(lambda: production.journal()["state"] in ("undoing", "undone"), "undoing")
            found["seen"].append(time.monotonic() - died)
            result = running.wait()
            harness.check(result.code == 7, str(result))
            found["said"].append(json.loads(result.out)["rollback_after_s"])
    return found


def plan(box):
    names = [f"s{i:02}" for i in range(SERVICES)]
    programs, services = {}, {}
    for name in names:
        programs[name] = os.path.join(box.bin, f"server-{name}")
        shutil.copy(FAKE, programs[name])
        knobs = {"knobs": {"wait": ["60ms", "5ms"]}} if name == names[0] else {}
        services[name] = box.fake("llm", "--latency", "{wait}" if knobs else "20ms", **knobs)
        services[name]["command"][0] = programs[name]
    ports = dict(zip(names, scene.free_ports(SERVICES)))
    study = box.study(file=False, baseline={f"{names[0]}.wait": "60ms"},
                      goal={"optimise": {f"{names[0]}.latency.p50": {"good": "1ms", "bad": "1s"}}},
                      **services)
    scene.write_study(box, study)
    box.run("run", box.file, "--quiet", code=0, lines=-1)
    scene.write_study(box, study, {name: {
        "unit": f"{name}.service", "user": True, "port": ports[name],
        "environment": {"WAIT": "{wait}" if name == names[0] else "20ms", "NAME": name}}
        for name in names})
    took = []
    with Systemd(box) as systemd:
        for name in names:
            systemd.service(name, f"{programs[name]} --kind llm --port {ports[name]} --life 900s "
                                  "--latency ${WAIT}", extra="Environment=WAIT=60ms")
        systemd.start(*names)
        for _ in range(ROUNDS):
            began = time.monotonic()
            result = box.run("promote", box.file, "--plan-only", "--json", code=0)
            took.append(time.monotonic() - began)
        steps = json.loads(result.out)["plan"]["steps"]
        harness.check(len([s for s in steps if s["kind"] == "file"]) == SERVICES, result.out)
    return {"took": took}


def sequences(box, seed, count):
    with scene.Production(box) as production:
        test_promote.sequences(production, f"bench-{seed}", count)
    return {"done": count}


# ---- each in a box of its own ----

def start(name, function, folder, *args):
    path = os.path.join(folder, name + ".json")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            harness.isolate()
            harness.become_subreaper()
            os.dup2(2, 1)  # what a scenario prints is no number
            box = harness.Box(f"bench-{name}")
            try:
                outcome = function(box, *args)
            except BaseException:  # whatever it was: it is this run's outcome
                outcome = {"problem": traceback.format_exc()[-3000:]}
            outcome["left"] = len(box.close(False))
            with open(path, "w", encoding="utf-8") as file:
                json.dump(outcome, file)
            code = 0
        finally:
            os._exit(code)
    return pid, path


def outcome_of(pid, path):
    _, status = os.waitpid(pid, 0)
    if status != 0:
        return {"problem": f"ended with {status}"}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def alone(name, function, folder):
    outcome = outcome_of(*start(name, function, folder))
    if "problem" in outcome:
        give_up(f"{name}: {outcome['problem']}")
    return outcome


def tell_downtime(folder):
    found = alone("downtime", downtime, folder)
    for kind in ("promotion", "rollback"):
        # The worse unit of each round, beside its own restart in the same round.
        over = [max(a - b for a, b in zip(ours, own))
                for ours, own in zip(found[kind], found["own"])]
        number(f"promote_{kind}_over_restart", statistics.median(over), "s", OWN_BAR_S)
        number(f"promote_{kind}_over_restart_worst", max(over), "s")
    number("promote_own_restart", statistics.median(max(own) for own in found["own"]), "s")
    number("promote_said_less_seen",
           statistics.median(said - max(seen) for said, seen in zip(found["said"], found["promotion"])),
           "s")


def tell_rollback(folder):
    found = alone("rollback", rollback, folder)
    number("promote_rollback_after_check", max(found["said"]), "s", ROLLBACK_BAR_S)
    number("promote_rollback_after_death", max(found["seen"]), "s", ROLLBACK_BAR_S)


def tell_plan(folder):
    found = alone("plan", plan, folder)
    number("promote_plan_20_services", statistics.median(found["took"]), "s", PLAN_BAR_S)
    number("promote_plan_20_services_worst", max(found["took"]), "s")


def tell_kernel():
    found = promote_guest.look("too_little_memory")
    if "lines" not in found:
        say(f"kernel: {found}")
    lines = found.get("lines", [])
    undone = [line for line in lines if line.startswith("--rss") and "rolled back: " in line]
    for line in undone:
        say(line)
    number("promote_kernel_kills_undone", len(undone) if lines else None, "promotions", 4, at_most=False)
    number("promote_kernel_guest", found.get("seconds"), "s")


def tell_sequences(folder, count, jobs):
    began = time.monotonic()
    shares = [count // jobs + (i < count % jobs) for i in range(jobs)]
    running = [start(f"sequences-{i}", sequences, folder, i, share)
               for i, share in enumerate(shares) if share]
    outcomes = [outcome_of(*job) for job in running]
    wrong = [outcome for outcome in outcomes if "problem" in outcome]
    for outcome in wrong:
        say(outcome["problem"])
    number("promote_sequences", sum(o.get("done", 0) for o in outcomes), "sequences", count, at_most=False)
    number("promote_sequences_wrong", len(wrong), "sequences", 0)
    number("promote_sequences_left", sum(o.get("left", 0) for o in outcomes), "processes", 0)
    number("promote_sequences_duration", (time.monotonic() - began) / 60, "min")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=int, default=200, help="how many (200)")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 2), help="boxes at once")
    parser.add_argument("part", nargs="*", help="only these")
    options = parser.parse_args()
    need(SPICA, FAKE)
    if os.geteuid() != 0:
        give_up("needs root: a systemd of its own in a box")
    folder = workplace("promote")
    parts = {"downtime": lambda: tell_downtime(folder), "rollback": lambda: tell_rollback(folder),
             "plan": lambda: tell_plan(folder), "kernel": tell_kernel,
             "sequences": lambda: tell_sequences(folder, options.sequences, options.jobs)}
    for name in options.part or parts:
        if name not in parts:
            give_up(f"no part {name}; there are: {', '.join(parts)}")
        parts[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
