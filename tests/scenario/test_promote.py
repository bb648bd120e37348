"""From a winner into production and back, on a real `systemd --user`: what goes well, what disappoints
and is undone, who may not be touched, kills at every step, and random sequences against a model."""

import json
import os
import pty
import random
import shutil
import signal
import subprocess
import time

from gpu import cards, gpu_fake, options, world
from harness import FAKE, SPICA, check, main, scenario
from production import NEW, OLD, Production, free_ports, tree
from systemd_box import wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
# For what is only spoken of in a text: everything that systemd, shells and YAML give a meaning to.
ODD = "a \"b\" 'c' %n %% $HOME ${HOME} $$ \\n back\\slash ; # [x] =y {z} grüße ☃"
IN_STUDY = ODD.replace("{", "{{")


def mount(box, folder, options_text):
    """A tmpfs there, in this scenario's own view; away at the end."""
    os.makedirs(folder, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options_text, "tmpfs", folder],
                          capture_output=True, text=True, check=False)
    check(done.returncode == 0, done.stderr)
    box.cleanups.append(lambda: unmount(folder))


def unmount(folder):
    subprocess.run(["umount", "-l", folder], capture_output=True, check=False)


def fill(folder):
    """Every last byte of a small file system."""
    path = os.path.join(folder, "full")
    with open(path, "ab", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    return path


def answers_as_planned(result, *kinds):
    seen = {(c["check"], c["answer"]) for c in result["checks"]}
    check(all((kind, "passed") in seen for kind in kinds), result["checks"])


# ---- it goes well ----

@scenario(quick=True)
def two_units_are_promoted_and_rolled_back(box):
    with Production(box) as production:
        files, before = production.contents(), production.pids()
        plan = production.plan()
        check(plan == production.plan(), "the same state, the same plan")
        result = production.promote(0, plan=plan)
        check(result["outcome"] == "promoted" and result["plan"]["id"] == plan, result)
        answers_as_planned(result, "active", "ready", "probe", "placement", "load")
        production.expect(NEW)
        now = production.pids()
        check(all(now[name] != before[name] for name in now), (before, now))
        # Once it is so, nothing is to be done, and nothing is touched.
        again = production.spica("promote", "--json", code=0)
        check(json.loads(again.out)["outcome"] == "already so", again)
        check(production.pids() == now, "restarted for nothing")
        production.rollback()
        production.expect(OLD, files)
        check("no promotion to undo" in production.rollback(2).err, "undone already")
        outcomes = [record["outcome"] for record in production.records()]
        check(outcomes == ["promoted", "rolled back"], outcomes)


@scenario()
def a_plan_touches_nothing(box):
    with Production(box) as production:
        def everything():
            """But for what a command's start and sqlite's reading leave."""
            found = tree(box.folder)
            return {path: facts for path, facts in found.items()
                    if not path.startswith((box.path("tmp"), box.path("lock"))) and
                    not path.endswith(("-shm", "-wal", "/sc.spica"))}

        files, before = everything(), production.pids()
        for args in (["--dry-run"], ["--plan-only"], ["--plan-only", "--json"], ["--json", "--dry-run"]):
            production.spica("promote", *args, code=0)
        production.spica("promote", code=9)
        production.spica("promote", "--approve", "0123456789abcdef", code=9)
        production.spica("rollback", code=2)
        production.spica("rollback", "--dry-run", code=2)
        production.spica("history", code=0)
        after = everything()
        check(after == files, f"touched: {set(after.items()) ^ set(files.items())}")
        check(production.pids() == before, "a unit was restarted")
        production.promote(0)
        files, before = everything(), production.pids()
        production.spica("rollback", "--dry-run", code=0)
        check(everything() == files and production.pids() == before, "touched")


@scenario()
def texts_arrive_as_they_are(box):
    """Quotes, specifiers, dollars, backslashes, in variables and words; a unit of a person who uses
    them too; all below folders with blanks and umlauts, one of them a copy of the program."""
    odd = ["--print", ODD, "--print", "", "--print", "tab\there", "--print", "-"]
    program = os.path.join(box.path("Prüf stand"), "Dienst 100%")
    os.mkdir(os.path.dirname(program))
    shutil.copy(FAKE, program)
    llm_port, rag_port = free_ports(2)
    production = Production(box, config="Konfig für ☃")
    production.llm_port, production.rag_port = llm_port, rag_port
    production.write_study(
        llm={"unit": "llm.service", "user": True, "port": llm_port, "within": "20s",
             "environment": {"WAIT": "{wait}", "ODD": IN_STUDY,
                             "EMPTY": "", "GONE": None, "LEFT": "a=b  c"}},
        rag={"unit": "rag.service", "user": True, "port": rag_port, "within": "20s",
             "exec": [program, "--kind", "llm", "--port", "{port}", "--life", "900s",
                      "--latency", NEW["rag"], *[IN_STUDY if word == ODD else word for word in odd]]})
    with production:
        systemd = production.systemd
        systemd.service(
            "llm", f"\"{program}\" --kind llm \\\n  --port {llm_port} \\\n# a comment between\n"
            "  --life 900s --print '%n of %u, 100%%' --print \"it's $$HOME\" --latency ${WAIT}".replace(
                "100%\"", "100%%\""),
            extra=f"Environment=WAIT={OLD['llm']} \"GONE=was there\" 'ODD=old \"x\"'")
        systemd.service("rag", f"'{program.replace('%', '%%')}' --kind llm --port {rag_port} "
                               f"--life 900s --latency {OLD['rag']} --print \"a\\tb\"")
        for name in ("llm", "rag"):
            systemd.ctl("restart", name, ok=True)
        production.start("llm", "rag")
        files, lines = production.contents(), {n: production.command_line(n) for n in ("llm", "rag")}
        check("it's $HOME" in lines["llm"] and "llm.service of root, 100%" in lines["llm"], lines)
        production.promote(0)
        production.expect(NEW)
        variables = production.environment("llm")
        check(variables["ODD"] == ODD and variables["EMPTY"] == "" and
              "GONE" not in variables and variables["LEFT"] == "a=b  c", variables)
        line = production.command_line("rag")
        check(line[-8:] == odd and line[0] == program, line)
        # The unit's own words are still its own.
        words = [w for w in lines["llm"] if w != OLD["llm"]]
        check([w for w in production.command_line("llm") if w != NEW["llm"]] == words, words)
        production.rollback()
        production.expect(OLD, files)
        check({n: production.command_line(n) for n in ("llm", "rag")} == lines, lines)
        check(production.environment("llm")["GONE"] == "was there", "back")


@scenario()
def an_instance_of_a_template(box):
    with Production(box) as production:
        systemd = production.systemd
        for name in ("llm", "rag"):
            systemd.stop(name)
        other, = free_ports(1)
        systemd.write("serve@.service",
                      f"[Service]\nEnvironment=WAIT={OLD['llm']}\n"
                      f"ExecStart={FAKE} --kind llm --port %i --life 900s --latency ${{WAIT}}\n")
        mine, theirs = f"serve@{production.llm_port}.service", f"serve@{other}.service"
        systemd.start(mine, theirs)
        wait_until(lambda: production.answers(production.llm_port), systemd.story)
        pid = systemd.pid(theirs)
        production.write_study(rag=None, llm=dict(production.services["llm"], unit=mine))
        files = production.contents()
        production.promote(0)
        check(production.environment(mine)["WAIT"] == NEW["llm"], "the instance")
        check(systemd.pid(theirs) == pid and production.environment(theirs)["WAIT"] == OLD["llm"],
              "another instance is none of it")
        production.rollback()
        check(production.contents() == files, "files")
        check(production.environment(mine)["WAIT"] == OLD["llm"], "the instance")
        # The template itself is no unit.
        production.write_study(llm=dict(production.services["llm"], unit="serve@.service"))
        production.spica("promote", "--plan-only", code=2)


@scenario()
def a_file_of_variables(box):
    with Production(box) as production:
        systemd, path = production.systemd, box.path("config/llm.env")
        text = f"# kept by hand\nWAIT={OLD['llm']}\n; more\nexport=no\nKEEP=\"a b\"\n"
        box.write("config/llm.env", text)
        os.chmod(path, 0o640)
        systemd.service("llm", f"{FAKE} --kind llm --port {production.llm_port} --life 900s "
                               "--latency ${WAIT}", extra=f"EnvironmentFile={path}")
        systemd.ctl("restart", "llm", ok=True)
        production.start("llm")
        production.write_study(llm={"env_file": path, "unit": "llm.service", "user": True,
                                    "port": production.llm_port, "within": "20s",
                                    "environment": {"WAIT": "{wait}", "MORE": IN_STUDY}})
        files = production.contents()
        production.promote(0)
        production.expect(NEW)
        variables = production.environment("llm")
        check(variables["KEEP"] == "a b" and variables["MORE"] == ODD, variables)
        with open(path, encoding="utf-8") as file:
            now = file.read()
        check("# kept by hand\n" in now and "KEEP=\"a b\"\n" in now, now)
        check(os.stat(path).st_mode & 0o777 == 0o640, "its mode")
        production.rollback()
        production.expect(OLD, files)
        with open(path, encoding="utf-8") as file:
            check(file.read() == text, "as it was")
        # What decides is what the process was started with, and that is looked at.
        plan = production.plan()
        other = os.path.join(systemd.units, "llm.service.d")
        os.mkdir(other)
        with open(os.path.join(other, "later.conf"), "w", encoding="utf-8") as file:
            file.write("[Service]\nUnsetEnvironment=MORE\n")
        result = production.promote(7, plan=plan)
        check("MORE" in result["why"] or "later.conf" in result["why"], result["why"])
        production.expect(OLD)


@scenario()
def an_alias_is_its_unit(box):
    with Production(box) as production:
        units = production.systemd.units
        os.symlink(os.path.join(units, "llm.service"), os.path.join(units, "voice.service"))
        production.systemd.ctl("daemon-reload", ok=True)
        production.write_study(llm=dict(production.services["llm"], unit="voice.service"))
        files = production.contents()
        production.promote(0)
        check(os.path.exists(production.drop_in("llm")), "beside the unit's own name")
        production.expect(NEW)
        production.rollback()
        production.expect(OLD, files)
        # Named twice, by each of its names.
        production.write_study(rag=dict(production.services["rag"], unit="llm.service"))
        check("would both write" in production.spica("promote", "--plan-only", code=2).err, "two of one")


@scenario()
def a_process_older_than_its_files(box):
    """All is written and read by systemd, and nobody has restarted the units: that is not "already so"."""
    with Production(box) as production:
        production.promote(0)
        kept = {}
        for unit in ("llm", "rag"):
            with open(production.drop_in(unit), encoding="utf-8") as file:
                kept[unit] = file.read()
        check(json.loads(production.spica("promote", "--plan-only", "--json", code=0).out)["outcome"] ==
              "already so", "it is")
        production.rollback()
        for unit, text in kept.items():
            os.mkdir(os.path.dirname(production.drop_in(unit)))
            with open(production.drop_in(unit), "w", encoding="utf-8") as file:
                file.write(text)
        production.systemd.ctl("daemon-reload", ok=True)
        check(production.running() == OLD, production.running())
        result = production.promote(0)
        check([s["kind"] for s in result["plan"]["steps"]] == ["reload", "restart", "restart"], result["plan"])
        production.expect(NEW)
        production.rollback()


@scenario(quick=True)
def in_the_order_of_the_units(box):
    """systemd starts the one after the other that memory alone would have changed first."""
    with Production(box) as production:
        def restarts():
            steps = json.loads(production.spica("promote", "--plan-only", "--json", code=0).out)["plan"]["steps"]
            return [(s["unit"], s["why"]) for s in steps if s["kind"] == "restart"]
        first, second = [unit for unit, _ in restarts()]
        check({first, second} == {"llm.service", "rag.service"}, restarts())
        folder = os.path.join(production.systemd.units, f"{first}.d")
        os.mkdir(folder)
        with open(os.path.join(folder, "05-order.conf"), "w", encoding="utf-8") as file:
            file.write(f"[Unit]\nAfter={second}\n")
        production.systemd.ctl("daemon-reload", ok=True)
        production.systemd.ctl("restart", first, ok=True)
        production.start(first)
        files = production.contents()
        check([unit for unit, _ in restarts()] == [second, first], restarts())
        check(f"after {second}" in restarts()[1][1], restarts())
        production.promote(0)
        production.expect(NEW)
        production.rollback()
        production.expect(OLD, files)


@scenario()
def a_unit_that_is_down_stays_down(box):
    with Production(box) as production:
        systemd = production.systemd
        systemd.stop("rag")
        files = production.contents()
        shown = production.spica("promote", "--dry-run", code=0)
        check("it is down and stays down" in shown.out, str(shown))
        production.promote(0)
        check(systemd.state("rag") == "inactive" and production.environment("llm")["WAIT"] == NEW["llm"],
              systemd.story())
        # Started later, by whomever, it has the new setting; the rollback leaves it up, with the old one.
        production.start("rag")
        production.expect(NEW)
        production.rollback()
        check(production.contents() == files and production.environment("llm")["WAIT"] == OLD["llm"],
              production.contents())
        systemd.ctl("restart", "rag", ok=True)
        production.start("rag")
        production.expect(OLD, files)


# ---- it disappoints ----

def undone(production, files, *says, code=7):
    result = production.promote(code)
    check(any(word in result["why"] for word in says), (says, result["why"], result["checks"]))
    production.expect(OLD, files)
    return result


@scenario(quick=True)
def what_does_not_start_is_undone(box):
    """A wrong path of a model; a program that ends at once."""
    with Production(box) as production:
        files = production.contents()
        production.fault("--transcripts /srv/models/whisper-tiny.bin")
        result = undone(production, files, "llm.service ended after its start")
        check(result["outcome"] == "rolled back" and result["downtime_s"] is not None, result)
        production.fault("--exit-at-start 3")
        undone(production, files, "llm.service ended after its start")
        # The cure, and it goes.
        production.fault()
        production.promote(0)
        production.expect(NEW)


@scenario()
def what_is_worse_than_measured_is_undone(box):
    with Production(box) as production:
        files = production.contents()
        for options_line, says in (("--latency 700ms", ["llm.latency.p50"]),
                                   ("--from 4:http:500", ["errors"]),
                                   ("--loading 60s\n--lie-ready", ["llm"]),
                                   ("--ready-then-die 1s", ["llm"]),
                                   ("--at 9:die:3", ["llm.service"])):
            production.fault(options_line)
            undone(production, files, *says)
        records = production.records()
        check({r["outcome"] for r in records} == {"rolled back"}, records)


@scenario()
def one_that_is_never_ready_is_undone(box):
    with Production(box) as production:
        files = production.contents()
        production.write_study(llm=dict(production.services["llm"], within="2s"))
        production.fault("--never-ready")
        undone(production, files, "not ready in time")


@scenario()
def one_that_restarts_by_itself_is_undone(box):
    with Production(box) as production:
        systemd = production.systemd
        systemd.service("llm", f"{FAKE} --kind llm --port {production.llm_port} --life 900s --latency "
                               "${WAIT}", extra=f"Environment=WAIT={OLD['llm']}\nRestart=always\n"
                                                "RestartSec=0\nStartLimitBurst=100")
        systemd.ctl("restart", "llm", ok=True)
        production.start("llm")
        files = production.contents()
        production.fault("--at 9:die:3")
        undone(production, files, "llm.service")
        production.fault("--exit-at-start 3")
        undone(production, files, "llm.service ended after its start")


@scenario()
def on_the_cpu_instead_of_the_card(box):
    cards(box)
    fast = [str(o) for o in options(box, "2G")]
    production = Production(
        box, device="gpu0",
        llm=box.fake("llm", *fast, "--latency", "{wait}", on="gpu", knobs={"wait": [OLD["llm"],
                                                                                   NEW["llm"]]}),
        rag=gpu_fake(box, "llm"), services={"rag": None})
    with production:
        systemd = production.systemd
        systemd.service("llm", f"{FAKE} --kind llm --port {production.llm_port} --life 900s "
                               f"{' '.join(fast)} --latency ${{WAIT}}",
                        extra=f"Environment=WAIT={OLD['llm']}\nEnvironment=FAKE_NVML_WORLD={world(box)}")
        systemd.ctl("restart", "llm", ok=True)
        production.start("llm")
        files = production.contents()
        production.fault("--gpu-cpu-build")
        result = production.promote(7)
        check("llm: cpu_fallback, asked for gpu0" in result["why"], result["why"])
        check(any(c["check"] == "placement" and c["answer"] == "failed" for c in result["checks"]),
              result["checks"])
        check(production.contents() == files and systemd.active("llm") and
              production.environment("llm")["WAIT"] == OLD["llm"], systemd.story())
        production.fault()
        result = production.promote(0)
        answers_as_planned(result, "active", "ready", "probe", "placement", "load")


@scenario()
def commands_and_hooks(box):
    log = box.path("told")
    tell = box.write("tell.py", "#!/usr/bin/env python3\nimport os, sys\n"
                                f"with open({log!r}, 'a') as file:\n    print(*sys.argv[1:], file=file)\n"
                                "sys.exit(os.path.exists(os.path.join(os.path.dirname(sys.argv[0]),"
                                " 'fail-' + sys.argv[1])))\n")
    os.chmod(tell, 0o755)

    def told():
        with open(log, encoding="utf-8") as file:
            return file.read().split("\n")[:-1]

    production = Production(
        box, general={"before": [[tell, "before", "$(touch x); %n"]], "after": [[tell, "after"]]},
        services={"rag": {"command": {"apply": [tell, "apply", NEW["rag"], "a b"],
                                      "verify": [tell, "verify"], "rollback": [tell, "rollback"]},
                          "within": "20s"}})
    with production:
        files = production.contents()
        # The service is the script's here, and stays what it is.
        for fails, then in (("verify", ["before", "apply", "verify", "rollback"]),
                            ("apply", ["before", "apply", "rollback"]),
                            ("after", ["before", "apply", "verify", "after", "rollback"]),
                            ("before", ["before"])):
            box.write("told", "")
            box.write("fail-" + fails, "")
            result = production.promote(7)
            check(tell in result["why"] or "verify" in result["why"], result["why"])
            check([line.split()[0] for line in told()] == then, (fails, told()))
            check(production.contents() == files, "files")
            check(production.running() == OLD, production.running())
            os.remove(box.path("fail-" + fails))
        box.write("told", "")
        production.promote(0)
        check(told() == ["before $(touch x); %n", f"apply {NEW['rag']} a b", "verify", "after"], told())
        check(not os.path.exists(box.path("x")), "a shell was at work")
        check(production.running()["llm"] == NEW["llm"], production.running())
        production.rollback()
        check(told()[-1] == "rollback" and production.running() == OLD, told())
        # A hook that has a way back goes it.
        production.general["before"] = [{"run": [tell, "out"], "undo": [tell, "in-again"]}]
        production.write_study()
        box.write("told", "")
        box.write("fail-verify", "")
        production.promote(7)
        os.remove(box.path("fail-verify"))
        check([line.split()[0] for line in told()] == ["out", "apply", "verify", "rollback", "in-again"], told())
        # A hook that has changed since the approval is another hook.
        plan = production.plan()
        with open(tell, "a", encoding="utf-8") as file:
            file.write("# edited\n")
        production.spica("promote", "--approve", plan, code=9)


# ---- who may not be touched ----

def refused(production, before, files, code, *says, plan=None, args=()):
    if plan:
        args = [*args, "--approve", plan]
    result = production.spica("promote", *args, code=code)
    check(any(word in result.text for word in says), str(result))
    check(production.pids() == before, "a unit was restarted")
    check(production.contents() == files, "a file was touched")


@scenario()
def what_was_edited_since_the_plan(box):
    with Production(box) as production:
        systemd, before = production.systemd, production.pids()
        unit = os.path.join(systemd.units, "llm.service")
        # Without a reload: systemd does not know of it yet.
        plan = production.plan()
        with open(unit, "a", encoding="utf-8") as file:
            file.write("# by hand\n")
        refused(production, before, production.contents(), 9, "has changed", plan=plan)
        # A further drop-in; one that says the same as we would is refused for that.
        accept = ("--accept", "unit.llm")
        plan = production.plan(*accept)
        folder = os.path.join(systemd.units, "rag.service.d")
        os.mkdir(folder)
        with open(os.path.join(folder, "override.conf"), "w", encoding="utf-8") as file:
            file.write("[Service]\nNice=5\n")
        systemd.ctl("daemon-reload")
        refused(production, before, production.contents(), 9, "has changed", plan=plan, args=accept)
        with open(os.path.join(folder, "override.conf"), "w", encoding="utf-8") as file:
            file.write("[Service]\nExecStart=\nExecStart=/bin/sleep 1000\n")
        systemd.ctl("daemon-reload")
        refused(production, before, production.contents(), 2, "override.conf sets ExecStart")
        shutil.rmtree(folder)
        systemd.ctl("daemon-reload")
        # One that was stopped by somebody.
        plan = production.plan(*accept)
        systemd.stop("rag")
        production.spica("promote", "--approve", plan, *accept, code=9)
        check(not systemd.active("rag") and production.systemd.pid("llm") == before["llm"], "touched")


@scenario()
def edited_while_somebody_thinks(box):
    """Between what he was shown and his yes."""
    with Production(box) as production:
        files, before = production.contents(), production.pids()
        ours, its = pty.openpty()
        popen = subprocess.Popen([SPICA, "promote", box.file], stdin=its, stdout=its, stderr=its,
                                 env=box.env, cwd=box.folder, start_new_session=True)
        os.close(its)
        printed, asked = b"", False
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:
                break
            printed += piece
            if b"[y/N]" in printed and not asked:
                asked = True
                with open(os.path.join(production.systemd.units, "rag.service"), "a",
                          encoding="utf-8") as file:
                    file.write("# by hand\n")
                os.write(ours, b"y\n")
        os.close(ours)
        check(popen.wait(60) == 9 and b"has changed since the plan" in printed, printed.decode())
        check(production.pids() == before, "a unit was restarted")
        now = production.contents()
        changed = {path for path in set(now) | set(files) if now.get(path) != files.get(path)}
        check([os.path.basename(path) for path in changed] == ["rag.service"], changed)


@scenario()
def edited_since_the_promotion(box):
    """A rollback that somebody asks for does not take another's work away."""
    with Production(box) as production:
        files = production.contents()
        production.promote(0)
        path = production.drop_in("llm")
        with open(path, encoding="utf-8") as file:
            ours = file.read()
        with open(path, "a", encoding="utf-8") as file:
            file.write("Nice=5\n")
        now, before = production.contents(), production.pids()
        result = production.rollback(9)
        check(path in result.err and production.contents() == now, str(result))
        check(production.pids() == before, "a unit was restarted")
        with open(path, "w", encoding="utf-8") as file:
            file.write(ours)
        production.rollback()
        production.expect(OLD, files)


@scenario()
def unsafe_places_are_refused(box):
    with Production(box) as production:
        units, before = production.systemd.units, production.pids()
        folder = os.path.join(units, "llm.service.d")
        elsewhere = box.path("elsewhere")
        os.mkdir(elsewhere)

        def no(*says):
            refused(production, before, production.contents(), 2, *says, args=["--plan-only"])
            check(os.listdir(elsewhere) == [], "written through a link")

        os.symlink(elsewhere, folder)
        no("is a symlink")
        os.remove(folder)
        os.mkdir(folder)
        os.symlink(os.path.join(elsewhere, "x"), os.path.join(folder, "10-spica.conf"))
        no("is a symlink")
        os.remove(os.path.join(folder, "10-spica.conf"))
        with open(os.path.join(folder, "10-spica.conf"), "w", encoding="utf-8") as file:
            file.write("[Service]\n")
        os.link(os.path.join(folder, "10-spica.conf"), box.path("second-name"))
        no("has 2 names")
        os.remove(os.path.join(folder, "10-spica.conf"))
        for mode in (0o777, 0o775, 0o1777):
            os.chmod(folder, mode)
            no("may be written by others")
        os.chmod(folder, 0o755)
        os.chown(folder, 12345, 0)
        no("belongs to another user")
        os.chown(folder, 0, 0)
        os.mkfifo(os.path.join(folder, "10-spica.conf"))
        no("is not a regular file")
        os.remove(os.path.join(folder, "10-spica.conf"))
        os.mkdir(os.path.join(folder, "10-spica.conf"))
        no("is not a regular file")
        os.rmdir(os.path.join(folder, "10-spica.conf"))
        os.chmod(units, 0o777)
        no("may be written by others")
        os.chmod(units, 0o755)
        # Units that are none.
        for unit, says in (("lml.service", "did you mean"), ("../llm.service", "unit"),
                           ("llm.socket", "service"), ("llm.service; rm -rf /", "unit")):
            production.write_study(llm=dict(production.services["llm"], unit=unit))
            no(says)
        production.write_study(llm=dict(production.services["llm"], unit="llm.service"))
        os.rmdir(folder)
        production.promote(0)


@scenario()
def two_at_once(box):
    with Production(box) as production:
        plan = production.plan()
        # Another study with the same units.
        os.mkdir(box.path("other"))
        shutil.copytree(box.results, box.path("other/sc.spica"))
        shutil.copy(box.file, box.path("other/study.yaml"))
        shutil.copy(box.path("prompts.jsonl"), box.path("other/prompts.jsonl"))
        production.fault("--start-delay 3s")
        running = box.start("promote", box.file, "--approve", plan)
        wait_until(lambda: running.poll() is not None or
                   (production.journal() or {}).get("step", 0) >= 3, "under way")
        second = production.spica("promote", "--approve", plan, code=4)
        check("promotion" in second.err, str(second))
        check("promotion" in production.rollback(4).err, "a rollback beside it")
        where = dict(cwd=box.path("other"))
        shown = box.run("promote", "study.yaml", "--plan-only", "--json", **where)
        if shown.code == 0:
            other = json.loads(shown.out)["plan"]["id"]
            third = box.run("promote", "study.yaml", "--approve", other, code=4, lines=-1, **where)
            check("is being changed by the promotion of" in third.err, str(third))
        else:
            check(shown.code == 4, str(shown))
        check(running.poll() is None, "all of that beside the first")
        check(running.wait().code == 0, running.output())
        production.expect(NEW)


@scenario()
def secrets_stay_secret(box):
    secret, token = "hunter2-swordfish", "hf_abcdefghijKLMNOP1234567890"
    with Production(box) as production:
        keys = dict(production.services["llm"])
        keys["environment"] = dict(keys["environment"], PLAIN_NAME={"secret": secret}, HF_TOKEN=token)
        production.write_study(llm=keys)
        files = production.contents()
        shown = [production.spica("promote", "--dry-run", code=0).text,
                 production.spica("promote", "--plan-only", "--json", code=0).text]
        result = production.promote(0)
        production.expect(NEW)
        variables = production.environment("llm")
        check(variables["PLAIN_NAME"] == secret and variables["HF_TOKEN"] == token, variables)
        check(os.stat(production.drop_in("llm")).st_mode & 0o777 == 0o600, "may be read by all")
        shown += [json.dumps(result), production.spica("history", "--json", code=0).text,
                  production.spica("history", code=0).text,
                  production.spica("rollback", "--dry-run", code=0).text,
                  production.spica("rollback", "--dry-run", "--json", code=0).text]
        production.fault("--exit-at-start 3")
        shown += [production.rollback().text, json.dumps(production.promote(7))]
        production.expect(OLD, files)
        shown += [running.output() + open(running._err, encoding="utf-8").read() for running in box.runs]
        for top, _, names in os.walk(box.folder):
            for name in names:
                path = os.path.join(top, name)
                if path == box.file or not os.path.isfile(path):
                    continue
                with open(path, "rb") as file:
                    text = file.read().decode(errors="replace")
                if path == box.path("sc.spica.promotion.json"):  # all is undone: it holds no files
                    check(os.stat(path).st_mode & 0o777 == 0o600, "the journal may be read by all")
                shown.append(f"{path}: {text}")
        for text in shown:
            for word in (secret, token):
                at = text.find(word)
                check(at < 0, f"shown: {text[max(0, at - 300):at + 60]}")
        check(any("<secret " in text for text in shown), "as a digest")


@scenario()
def a_mark_that_is_dropped(box):
    """Production has the old value still: it stays hidden, in the plan, its record and what comes after."""
    secret, later = "hunter2-swordfish", "hunter3-blowfish"
    with Production(box) as production:
        plain = dict(production.services["llm"])

        def study(**more):
            production.write_study(llm=dict(plain, environment=dict(plain["environment"], **more)))

        def shown(*changed):
            texts = [production.spica("promote", "--dry-run", code=0).text, json.dumps(production.promote(0)),
                     production.spica("history", "--json", code=0).text]
            for text in texts:
                for word in (secret, later):
                    at = text.find(word)
                    check(at < 0, f"shown: {text[max(0, at - 300):at + 60]}")
            check(all(part in texts[0] for part in changed), texts[0])

        study(PLAIN_NAME={"secret": secret})
        shown("+Environment=PLAIN_NAME=<secret ")
        study()
        shown("-Environment=PLAIN_NAME=<secret ")
        study(PLAIN_NAME={"secret": secret})
        shown()
        study(PLAIN_NAME=later)
        shown("-Environment=PLAIN_NAME=<secret ", "+Environment=PLAIN_NAME=<secret ")
        check(production.environment("llm")["PLAIN_NAME"] == later, production.environment("llm"))
        # By another study, which has no journal: the file is closed, so it holds a secret.
        study(PLAIN_NAME={"secret": secret}, OTHER="five")
        shown()
        os.remove(box.path("sc.spica.promotion.json"))
        study(OTHER="six")
        shown("-Environment=PLAIN_NAME=<secret ", "-Environment=OTHER=five", "+Environment=OTHER=six")
        study()
        shown("-Environment=OTHER=six")


@scenario()
def nobody_else_tells_secrets(box):
    """What a hook and a probe say holds a secret: neither shown, nor kept."""
    secret, token = "hunter2-swordfish", "hf_abcdefghijKLMNOP1234567890"
    speak = box.write("speak", f"#!/bin/sh\n[ ! -e {box.path('works')} ] || exit 0\n"
                               f"echo login as svc with {secret}, PLAIN_NAME={secret} HF_TOKEN={token} failed\nexit 3\n")
    os.chmod(speak, 0o755)
    keys = {"run": [speak], "undo": [speak]}
    with Production(box, general={"after": [keys]}) as production:
        llm = dict(production.services["llm"])
        llm["environment"] = dict(llm["environment"], PLAIN_NAME={"secret": secret}, HF_TOKEN=token)
        production.write_study(llm=llm)
        shown = [json.dumps(production.promote(8)), json.dumps(production.journal()["why"])]
        check("login as svc with <secret " in shown[0] and "exit status 3" in shown[0], shown[0])
        shown += [production.rollback(8).text, json.dumps(production.journal()["why"])]
        box.write("works", "")
        shown.append(production.rollback().text)
        # A verification whose text has it: the command's own.
        production.general["after"] = []
        production.write_study(rag={"command": {"apply": ["true"], "verify": [speak], "rollback": ["true"]},
                                    "within": "20s"})
        os.remove(box.path("works"))
        plan = production.plan()
        done = production.spica("promote", "--approve", plan, code=7)
        check("login as svc with" in done.out and "<secret " in done.out, done)
        shown += [done.text, json.dumps(production.promote(7)),
                  json.dumps(production.journal()), production.spica("history", "--json", code=0).text]
        for text in shown:
            for word in (secret, token):
                at = text.find(word)
                check(at < 0, f"shown: {text[max(0, at - 300):at + 60]}")


# ---- the disk ----

@scenario()
def a_full_disk(box):
    with Production(box) as production:
        folder = os.path.join(production.systemd.units, "llm.service.d")
        mount(box, folder, "size=16k,mode=755")
        full = fill(folder)
        files = production.contents()
        result = production.promote(7)
        check("No space left" in result["why"], result["why"])
        production.expect(OLD, files)
        # It fills up while the new setting is verified and fails: the old one can't be written.
        os.remove(full)
        production.fault("--latency 700ms")
        with open(os.path.join(folder, "10-spica.conf"), "w", encoding="utf-8") as file:
            file.write("[Service]\n# " + "x" * 5000 + "\n")
        production.systemd.ctl("daemon-reload")
        files = production.contents()
        running = production.begin("--json")
        wait_until(lambda: running.poll() is not None or
                   (production.journal() or {}).get("state") == "verifying", "verifying")
        full = fill(folder)
        result = running.wait()
        check(result.code == 8 and "No space left" in json.loads(result.out)["why"], str(result))
        check(production.journal()["state"] == "undo failed", production.journal()["state"])
        check("No space left" in production.rollback(8).text, "still full")
        refused = production.spica("promote", code=9).err
        check("spica rollback" in refused and "--accept undo" in refused, refused)
        check("10-spica.conf put back" in refused, "what would be given up: " + refused)
        os.remove(full)
        # Somebody has put it right by hand, and wants no rollback of that any more.
        production.fault()
        production.systemd.ctl("restart", "llm", ok=True)
        production.start("llm")
        shown = production.spica("promote", "--accept", "undo", "--dry-run", code=0)
        check("undo" in shown.out and "given up" in shown.out, str(shown))
        production.promote(0, "--accept", "undo")
        production.expect(NEW)
        kept = [name for name in os.listdir(box.folder) if ".given-up-" in name]
        check(len(kept) == 1 and os.stat(box.path(kept[0])).st_mode & 0o777 == 0o600, kept)
        production.rollback()
        production.expect({"llm": NEW["llm"], "rag": OLD["rag"]})


@scenario()
def a_read_only_folder(box):
    with Production(box) as production:
        folder = os.path.join(production.systemd.units, "llm.service.d")
        mount(box, folder, "size=64k,mode=755")
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        files = production.contents()
        result = production.promote(9)
        check("Read-only file system" in result and "nothing was touched" in result, result)
        production.expect(OLD, files)
        unmount(folder)
        os.rmdir(folder)
        # The folder above it: the drop-in's own can't even be made.
        units = production.systemd.units
        subprocess.run(["mount", "--bind", units, units], check=True)
        box.cleanups.append(lambda: unmount(units))
        subprocess.run(["mount", "-o", "remount,ro,bind", units], check=True)
        files = production.contents()
        result = production.promote(9)
        check("Read-only file system" in result and "nothing was touched" in result, result)
        production.expect(OLD, files)
        unmount(units)
        production.promote(0)
        production.expect(NEW)


@scenario()
def no_room_for_the_journal(box):
    with Production(box) as production:
        before, files = production.pids(), production.contents()
        out = box.path("small")
        mount(box, out, "size=4m,mode=755")
        shutil.copytree(box.results, os.path.join(out, "sc.spica"))
        args = ["--out", os.path.join(out, "sc.spica")]
        plan = production.plan(*args)
        full = fill(out)
        result = production.spica("promote", *args, "--approve", plan, code=1)
        check("No space left" in result.err and "nothing was touched" in result.err, str(result))
        check(production.pids() == before and production.contents() == files, "touched")
        os.remove(full)
        # It fills up in the middle, and nothing can be recorded or closed: production is put back all the same.
        production.fault("--latency 700ms")
        running = box.start("promote", box.file, *args, "--approve", plan, "--json")
        path = os.path.join(out, "sc.spica.promotion.json")

        def verifying():
            with open(path, encoding="utf-8") as file:
                return json.load(file)["state"] == "verifying"
        wait_until(lambda: running.poll() is not None or os.path.exists(path) and verifying(), "verifying")
        full = fill(out)
        result = running.wait()
        why = json.loads(result.out)["why"]  # the journal says that it is still open: that is left to do
        check(result.code == 8 and "not recorded" in why and "journal can't be closed" in why, str(result))
        production.expect(OLD, files)
        os.remove(full)
        result = production.spica("rollback", *args, code=0)
        production.expect(OLD, files)
        production.fault()
        production.spica("promote", *args, "--approve", production.plan(*args), code=0)
        production.expect(NEW)


# ---- kills ----

def after_a_kill(production, files, new_files):
    """Old or new after what comes next, never a mix."""
    journal = production.journal()
    state = journal["state"] if journal else "none"
    if state == "done":
        production.expect(NEW, new_files)
    elif state in ("none", "undone"):
        production.expect(OLD, files)
    else:
        before = production.contents()
        result = production.spica("promote", code=9)
        check("spica rollback" in result.err and production.contents() == before, str(result))
    if state not in ("none", "undone"):
        result = production.rollback()
        check("Rolled back" in result.out, str(result))
    production.expect(OLD, files)
    return state


@scenario(quick=True)
def killed_while_it_is_applied(box):
    """In the middle of each kind of step, of the verification, and of the undo."""
    with Production(box) as production:
        files = production.contents()
        production.promote(0)
        new_files = production.contents()
        production.rollback()
        for step, begun in ((0, True), (2, True), (3, True), (4, True), (5, False)):
            running = production.begin()
            killed = production.kill_at(running, lambda j, s=step, b=begun: j["state"] != "undone" and (
                (j["step"], j["step_begun"]) == (s, b) or j["step"] > s))
            check(killed, running.output())
            after_a_kill(production, files, new_files)


@scenario(long=True)
def killed_at_each_step(box):
    with Production(box) as production:
        files = production.contents()
        production.promote(0)
        new_files, steps = production.contents(), len(production.journal()["steps"])
        production.rollback()
        seen = set()
        moments = [lambda j, s=step, b=begun: j["state"] == "verifying" or j["state"] == "applying" and (
            j["step"] > s or (j["step"], j["step_begun"]) == (s, b))
                   for step in range(steps) for begun in (False, True)]
        for moment in moments + [lambda j, s=state: j["state"] == s for state in ("verifying", "done")]:
            running = production.begin()
            production.kill_at(running, moment)
            seen.add(after_a_kill(production, files, new_files))
        check({"applying", "verifying", "done"} <= seen, seen)


@scenario(long=True)
def rollback_killed_at_each_step(box):
    with Production(box) as production:
        files = production.contents()
        for step in range(6):
            for begun in (True, False):
                if (production.journal() or {}).get("state") != "done":
                    production.promote(0)
                production.expect(NEW)
                running = box.start("rollback", box.file)
                production.kill_at(running, lambda j, s=step, b=begun: j["state"] == "undoing" and (
                    (j["step"], j["step_begun"]) == (s, b) or j["step"] < s))
                if production.journal()["state"] == "done":
                    continue
                if production.journal()["state"] != "undone":
                    production.rollback()
                production.expect(OLD, files)


@scenario()
def edited_after_a_kill(box):
    """Undoing what was begun is more urgent than asking; what somebody wrote meanwhile is kept."""
    with Production(box) as production:
        files = production.contents()
        check(production.kill_at(production.begin(), lambda j: j["step"] >= 4), "killed")
        path = production.drop_in("llm") if os.path.exists(production.drop_in("llm")) else \
            production.drop_in("rag")
        with open(path, "a", encoding="utf-8") as file:
            file.write("Nice=7\n")
        with open(path, "rb") as file:
            theirs = file.read()
        result = production.rollback()
        check(path + ".spica-kept" in result.out, str(result))
        with open(path + ".spica-kept", "rb") as file:
            check(file.read() == theirs, "not as it was")
        check(not os.path.exists(path), "put back")
        os.remove(path + ".spica-kept")
        os.rmdir(os.path.dirname(path))
        production.expect(OLD, files)


@scenario()
def stopped_by_the_user(box):
    with Production(box) as production:
        files = production.contents()
        for state in ("applying", "verifying"):
            production.fault("--start-delay 1s")
            running = production.begin()
            wait_until(lambda: running.poll() is not None or
                       ((production.journal() or {}).get("state") == state and
                        production.journal()["step"] >= 4), state)
            # Again and again: whatever the undo is doing just then goes on.
            while running.poll() is None:
                running.signal(signal.SIGINT)
                time.sleep(0.003)
            result = running.wait()
            check(result.code == 7 and "Rolled back" in result.out, str(result))
            production.expect(OLD, files)


# ---- random sequences ----

class Model:
    """What production must be: the setting, what a rollback gives, and the files of each setting. Whoever
    hangs on llm is up in both."""

    def __init__(self, production):
        self.production = production
        self.now, self.back = "old", None
        self.files = {"old": production.contents()}

    def settle(self):
        """As the model says, to the byte."""
        setting = OLD if self.now == "old" else NEW
        self.production.expect(setting, self.files.get(self.now))
        check(self.production.systemd.active("front"), self.production.systemd.story())
        self.files.setdefault(self.now, self.production.contents())

    def moment(self, chance):
        """A moment of an applying, by its journal, and how much later."""
        step, later = chance.randint(0, 6), chance.choice((0, 0, chance.uniform(0, 0.3)))

        def reached(journal):
            if journal["state"] not in ("applying", "verifying", "undoing", "done"):
                return False
            if journal["state"] in ("applying",) and journal["step"] < step:
                return False
            time.sleep(later)
            return True
        return reached

    # Each is one operation; the model follows what the journal says has been reached.

    def promote(self, chance):
        production = self.production
        production.fault()
        if self.now == "new":
            result = production.spica("promote", "--json", code=0)
            check(json.loads(result.out)["outcome"] == "already so", str(result))
            return "already so"
        production.promote(0)
        self.now, self.back = "new", "old"
        return "promoted"

    def disappoint(self, chance):
        production = self.production
        if self.now == "new":
            return "skipped"
        production.fault(chance.choice(("--exit-at-start 3", "--from 2:http:500", "--at 2:die:3")))
        production.promote(7)
        self.back = None
        return "rolled back"

    def kill(self, chance):
        production = self.production
        if self.now == "new":
            return "skipped"
        production.fault(*chance.choice(((), (), ("--start-delay 300ms",), ("--from 2:http:500",))))
        running = production.begin()
        production.kill_at(running, self.moment(chance))
        return "killed: " + self.recover(chance)

    def recover(self, chance):
        """After a kill: the journal says which of both, and what a person does next gives it."""
        production = self.production
        state = production.journal()["state"] if production.journal() else "undone"
        if state == "done":
            self.now, self.back = "new", "old"
            return state
        if state not in ("undone", "undo failed"):
            check(production.spica("promote", code=9).err, "refused")
            while True:
                running = self.production.box.start("rollback", self.production.box.file)
                if chance.random() < 0.3:
                    time.sleep(chance.uniform(0, 0.4))
                    running.signal(signal.SIGKILL)
                result = running.wait()
                if result.code == 0:
                    break
                check(result.code == -signal.SIGKILL or
                      (result.code == 2 and production.journal()["state"] == "undone"), str(result))
                if production.journal()["state"] == "undone":
                    break
        self.now, self.back = "old", None
        return state

    def rollback(self, chance):
        production = self.production
        production.rollback(0 if self.back else 2)
        if self.back:
            self.now, self.back = self.back, None
        return "undone"

    def kill_rollback(self, chance):
        production = self.production
        if not self.back:
            return "skipped"
        running = production.box.start("rollback", production.box.file)
        time.sleep(chance.uniform(0, 0.5))
        running.signal(signal.SIGKILL)
        running.popen.wait()
        if production.journal()["state"] == "done":
            return "killed before it began"
        self.recover(chance)
        return "killed"

    def edit(self, chance):
        """Somebody edits a file after the plan was made, or after the promotion, and takes it back."""
        production = self.production
        if self.now == "new":
            path = production.drop_in(chance.choice(("llm", "rag")))
            command, code = ["rollback", production.box.file], 9 if self.back else 2
        else:
            path = os.path.join(production.systemd.units, chance.choice(("llm", "rag")) + ".service")
            command, code = ["promote", production.box.file, "--approve", production.plan()], 9
        with open(path, "rb") as file:
            text = file.read()
        with open(path, "ab") as file:
            file.write(b"# by hand\n")
        before = production.contents()
        production.box.run(*command, code=code)
        check(production.contents() == before, "touched")
        with open(path, "wb") as file:
            file.write(text)
        if self.now == "old":  # by its times it is edited until it is started again
            name = os.path.basename(path)[:-len(".service")]
            production.systemd.ctl("daemon-reload", ok=True)
            production.systemd.ctl("restart", name, "front", ok=True)
            production.start(name)
        return "declined"


OPERATIONS = ("promote", "promote", "disappoint", "kill", "kill", "kill", "rollback", "rollback",
              "kill_rollback", "edit")


def sequences(production, seed, count):
    """`count` random sequences of one to three operations, one after the other."""
    production.systemd.write("front.service", "[Unit]\nBindsTo=llm.service\nAfter=llm.service\n"
                                              "[Service]\nExecStart=/bin/sleep 1000\n")
    production.systemd.start("front")
    model = Model(production)
    for number in range(count):
        chance = random.Random(f"{seed}-{number}")
        told = []
        try:
            for _ in range(chance.randint(1, 3)):
                operation = chance.choice(OPERATIONS)
                told.append(f"{operation} from {model.now}")
                told[-1] += ": " + getattr(model, operation)(chance)
                model.settle()
        except AssertionError:
            print(f"seed {seed}, sequence {number}: {'; '.join(told)}")
            raise
    return model


@scenario(long=True)
def random_sequences_1(box):
    with Production(box) as production:
        sequences(production, 1, 20)


@scenario(long=True)
def random_sequences_2(box):
    with Production(box) as production:
        sequences(production, 2, 20)


@scenario(long=True)
def random_sequences_3(box):
    with Production(box) as production:
        sequences(production, 3, 20)


if __name__ == "__main__":
    main(__name__)
