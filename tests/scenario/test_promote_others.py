"""Promotion beside what is not its own, on a real `systemd --user`: units that hang on ours, files of
units that somebody else edits, the environment that commands are given."""

import json
import os
import shutil

from harness import FAKE, check, main, scenario
from production import NEW, OLD, Production
from systemd_box import wait_until

EDITED = "\n[Service]\nEnvironment=SNEAKED=yes\n"


def front(production, how, extra=""):
    """A unit that hangs on llm, up."""
    systemd = production.systemd
    systemd.write("front.service", f"[Unit]\n{how}\nAfter=llm.service\n"
                                   f"[Service]\nExecStart=/bin/sleep 1000\n{extra}")
    systemd.start("front")


def works(production, name="front"):
    check(production.systemd.active(name), production.systemd.story())


# ---- what hangs on ours ----

@scenario(quick=True)
def what_is_bound_is_up_again(box):
    """BindsTo= stops it with every early end of llm, and nothing starts it again."""
    with Production(box) as production:
        front(production, "BindsTo=llm.service")
        production.fault("--exit-at-start", "3")
        result = production.promote(7)
        check(result["verified"], result)
        works(production)
        production.expect(OLD)
        check([c for c in result["checks"] if c["answer"] == "passed" and "front.service" in c["text"]],
              result)
        production.fault()
        production.promote(0)
        works(production)
        # What somebody stops on purpose is not ours to start.
        production.systemd.ctl("stop", "front", ok=True)
        production.rollback(0)
        check(not production.systemd.active("front"), production.systemd.story())


@scenario()
def what_requires_is_up_again(box):
    """Requires= and After=: the start of llm that fails takes it down."""
    with Production(box) as production:
        systemd = production.systemd
        systemd.service("llm", f"{FAKE} --kind llm --port {production.llm_port} --life 900s "
                               "--latency ${WAIT}",
                        extra=f"Environment=WAIT={OLD['llm']}\nTimeoutStopSec=5\n"
                              f"ExecStartPre=/bin/sh -c '[ $WAIT != {NEW['llm']} ]'")
        systemd.ctl("restart", "llm", ok=True)
        production.start("llm")
        front(production, "Requires=llm.service")
        result = production.promote(7)
        check(result["verified"], result)
        works(production)
        production.expect(OLD)


@scenario()
def what_does_not_come_back_is_told(box):
    """PartOf=: restarted along, and it fails, at its second start and all after it."""
    with Production(box) as production:
        once = box.path("once")
        production.systemd.write(
            "front.service", "[Unit]\nPartOf=llm.service\nAfter=llm.service\n[Service]\n"
            f"ExecStart=/bin/sh -c 'test ! -e {once} && touch {once} && exec sleep 1000'\n")
        production.systemd.start("front")
        result = production.promote(8)
        check("front.service" in result["why"] and not result["verified"], result)
        os.remove(once)
        production.rollback(0)
        works(production)
        production.expect(OLD)


@scenario(quick=True)
def who_ends_late_is_named(box):
    """Of two services neither is to blame; up again after the undo."""
    with Production(box) as production:
        starts = box.path("starts")
        production.systemd.write(
            "front.service", "[Unit]\nPartOf=llm.service\nAfter=llm.service\n[Service]\n"
            f"ExecStart=/bin/sh -c 'echo >> {starts}; [ $$(wc -l < {starts}) = 2 ] && exec sleep 1; "
            "exec sleep 1000'\n")
        production.systemd.start("front")
        result = production.promote(7)
        bad = [c for c in result["checks"] if c["answer"] == "failed"]
        check(bad and bad[0]["service"] is None, result)
        check("front.service" in result["why"], result)
        works(production)
        production.expect(OLD)


# A unit that does its work and ends.
ONCE = ("[Unit]\nRequires=llm.service\nAfter=llm.service\n"
        "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo >> {ran}; exec sleep 3'\n")


@scenario(quick=True)
def what_runs_once_is_not_run_again(box):
    """A backup that happens to run while the plan is made does not hang on ours for long."""
    with Production(box) as production:
        ran = box.path("ran")
        production.systemd.write("backup.service", ONCE.format(ran=ran))
        production.systemd.ctl("daemon-reload", ok=True)
        production.systemd.ctl("start", "--no-block", "backup", ok=True)
        shown = production.spica("promote", "--plan-only", "--json", code=0)
        steps = json.loads(shown.out)["plan"]["steps"]
        check(not any(s.get("dependents") for s in steps), steps)
        # Over by itself, and it is the same plan.
        wait_until(lambda: production.systemd.state("backup") == "inactive", "the backup to end")
        plan = json.loads(shown.out)["plan"]["id"]
        production.spica("promote", "--approve", plan, "--json", code=0)
        with open(ran, encoding="utf-8") as file:
            check(len(file.readlines()) == 1, "it was run again")
        production.expect(NEW)


@scenario()
def killed_while_what_hangs_is_down(box):
    with Production(box) as production:
        front(production, "BindsTo=llm.service")
        production.fault("--exit-at-start", "3")
        production.kill_at(production.begin(), lambda journal: journal["state"] == "undoing")
        production.rollback(0)
        works(production)
        production.expect(OLD)


# ---- what somebody else edits ----

def append(path, text):
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)


def declined(production, before, *says, args=(), command="promote"):
    """Both to be planned and to be approved, and nothing was restarted."""
    result = production.spica(command, *args, code=9)
    check(all(word in result.err for word in says), str(result))
    check(production.pids() == before, "a unit was restarted")


@scenario(quick=True)
def edited_before_the_plan(box):
    """A restart would bring it, and the undo as well: a person has to know."""
    with Production(box) as production:
        systemd, before = production.systemd, production.pids()
        unit = os.path.join(systemd.units, "llm.service")
        append(unit, EDITED)
        declined(production, before, unit, "not read", "--accept unit.llm", args=["--plan-only"])
        systemd.ctl("daemon-reload", ok=True)
        declined(production, before, unit, "--accept unit.llm", args=["--dry-run"])
        # Not in a new process's way, which has it.
        shown = production.spica("promote", "--dry-run", "--accept", "unit.llm", code=0)
        check("unit.llm" in shown.out and "(accepted)" in shown.out, str(shown))
        production.promote(0, "--accept", "unit.llm")
        check(production.environment("llm")["SNEAKED"] == "yes", production.environment("llm"))
        production.expect(NEW)
        production.rollback(0)
        production.spica("promote", "--plan-only", code=0)


@scenario()
def edited_of_what_hangs_on_it(box):
    with Production(box) as production:
        front(production, "PartOf=llm.service")
        before = production.pids()
        append(os.path.join(production.systemd.units, "front.service"), EDITED)
        declined(production, before, "front.service", "--accept unit.llm", args=["--plan-only"])
        works(production)


@scenario()
def files_of_variables_are_in_the_plan(box):
    """Of a unit whose drop-in we write, and beside one that we write."""
    with Production(box) as production:
        systemd, one, two = production.systemd, box.path("config/one.env"), box.path("config/two.env")
        box.write("config/one.env", "OTHER=old\n")
        box.write("config/two.env", "SECRET=a\n")
        os.chmod(two, 0o600)
        systemd.service("llm", f"{FAKE} --kind llm --port {production.llm_port} --life 900s "
                               "--latency ${WAIT}",
                        extra=f"Environment=WAIT={OLD['llm']}\nEnvironmentFile={one}\n"
                              f"EnvironmentFile=-{two}\nEnvironmentFile=-{two}.none\n")
        systemd.ctl("restart", "llm", ok=True)
        production.start("llm")
        before = production.pids()
        for path in (one, two, two + ".none"):
            plan = production.plan()
            check(json.loads(production.spica("promote", "--plan-only", "--json", code=0).out)["plan"]["id"]
                  == plan, "the same plan")
            append(path, "LATER=yes\n")
            declined(production, before, path, args=["--approve", plan])
            if not path.endswith(".none"):
                declined(production, before, "has changed", args=["--approve", plan, "--accept", "unit.llm"])
            systemd.ctl("restart", "llm", ok=True)
            production.start("llm")
            before = production.pids()
        production.promote(0)
        production.expect(NEW)


@scenario()
def edited_since_the_promotion(box):
    """The unit's own file, broken: whoever asks for a rollback can still be asked."""
    with Production(box) as production:
        production.promote(0)
        unit, before = os.path.join(production.systemd.units, "llm.service"), production.pids()
        with open(unit, encoding="utf-8") as file:
            good = file.read()
        with open(unit, "w", encoding="utf-8") as file:
            file.write(good.replace("--life 900s", "--life 900s --exit-at-start 3"))
        declined(production, before, unit, "--accept unit", command="rollback")
        production.expect(NEW)
        with open(unit, "w", encoding="utf-8") as file:
            file.write(good + EDITED)
        production.rollback(0, "--accept", "unit")
        check(production.environment("llm")["SNEAKED"] == "yes", "taken as it is")
        production.expect(OLD)


@scenario()
def a_folder_that_is_gone(box):
    """Of drop-ins, with ours of an earlier promotion in it: the undo makes it again."""
    with Production(box) as production:
        production.promote(0)
        keys = dict(production.services["llm"])
        production.write_study(llm=dict(keys, environment=dict(keys["environment"], MORE="1")))
        production.promote(0)
        shutil.rmtree(os.path.dirname(production.drop_in("llm")))
        production.rollback(0)
        production.expect(NEW)
        check("MORE" not in production.environment("llm"), production.environment("llm"))


@scenario()
def what_would_hide_ours_is_refused(box):
    """Before anything is touched: by an empty setting behind it, by a file of its name before it."""
    with Production(box) as production:
        systemd, units = production.systemd, production.systemd.units
        for path, text, says in (
                (os.path.join(units, "rag.service.d", "override.conf"), "Environment=\n", "empty"),
                (os.path.join(units + ".control", "rag.service.d", "10-spica.conf"), "Nice=5\n",
                 "has the name of")):
            production.write_study(rag=dict(production.services["rag"], environment={"MORE": "1"}))
            os.makedirs(os.path.dirname(path))
            append(path, "[Service]\n" + text)
            systemd.ctl("daemon-reload", ok=True)
            systemd.ctl("restart", "rag", ok=True)
            production.start("rag")
            refused = production.spica("promote", "--plan-only", code=2)
            check(path in refused.err and says in refused.err, str(refused))
            shutil.rmtree(os.path.dirname(path))


# ---- what commands are given ----

@scenario()
def another_docker_is_another_plan(box):
    """An approval holds for the environment that decides what a hook does, and the undo has it again."""
    log, secret = box.path("told"), "tcp://user:swordfish@one:1"
    hook = box.write("hook.sh", f"#!/bin/sh\necho $1 $DOCKER_HOST $COMPOSE_FILE >> {log}\n")
    os.chmod(hook, 0o755)
    with Production(box, general={"before": [{"run": [hook, "out"], "undo": [hook, "in"]}]}) as production:
        box.env["DOCKER_HOST"] = secret
        plan = production.plan()
        shown = production.spica("promote", "--dry-run", code=0)
        check("DOCKER_HOST" in shown.out and "swordfish" not in shown.out, str(shown))
        box.env["DOCKER_HOST"] = "tcp://elsewhere:1"
        production.spica("promote", "--approve", plan, code=9)
        check(not os.path.exists(log), "a hook was run")
        box.env["DOCKER_HOST"] = secret
        done = production.spica("promote", "--approve", plan, "--json", code=0)
        check("swordfish" not in done.text, str(done))
        box.env.update(DOCKER_HOST="tcp://elsewhere:1", COMPOSE_FILE="other.yaml")
        production.rollback(0)
        with open(log, encoding="utf-8") as file:
            told = file.read().split("\n")[:-1]
        check(told == ["out " + secret, "in " + secret], told)
        with open(box.path("sc.spica.promotion.json"), encoding="utf-8") as file:
            check("swordfish" not in file.read(), "it stays in the journal")


if __name__ == "__main__":
    main(__name__)
