"""Units of the system, promoted by a user without root: a real `systemd --system`, the system's bus with
its policies, polkit with the rule and the folders that docs/PROMOTE.md tells. One service runs as a third user, whose
processes he can't look into, the other as himself."""

import json
import os
import re
import shutil
import stat
import subprocess

from harness import FAKE, ROOT, Skip, check, main, scenario
from own_system import DEPLOY, DEPLOY_ID, RULES, SystemUnits, boot, inside, scene
from production import NEW, OLD, Production, tree
from systemd_box import wait_until

AS_DEPLOY = ("setpriv", f"--reuid={DEPLOY_ID}", f"--regid={DEPLOY_ID}", "--clear-groups", "--")
WRONG_MODEL = "--transcripts /srv/models/whisper-tiny.bin"


def documented(words):
    """What stands in docs/PROMOTE.md, for our units: the rule of polkit, and the line that makes a folder."""
    with open(os.path.join(ROOT, "docs/PROMOTE.md"), encoding="utf-8") as file:
        text = file.read()
    rule = re.search(r"```js\n// " + re.escape(RULES) + r"/\S+\n(.*?)```", text, re.DOTALL).group(1)
    folder = re.search(r"`(install -d [^`]*)`", text).group(1)
    for theirs, ours in words.items():
        check(theirs in rule, f"{theirs} is not in the rule:\n{rule}")
        rule, folder = rule.replace(theirs, ours), folder.replace(theirs, ours)
    return rule, folder


class Deploying(Production):
    """The units of the system, and a user who has the study; folders and rules are given later."""

    manager = SystemUnits

    def __init__(self, box, limits="", **more):
        """`limits`: further lines of llm's [Service]."""
        self.limits = limits
        super().__init__(box, system=True, **more)

    def units(self):
        systemd, faults = self.systemd, self.faults
        os.chmod(faults, 0o644)
        soon = "TimeoutStopSec=5\nUser="
        systemd.service("llm", f"{FAKE} --kind llm --port {self.llm_port} --life 900s --latency ${{WAIT}}",
                        extra=f"Environment=WAIT={OLD['llm']}\n{soon}nobody\n{self.limits}")
        systemd.service("rag", f"{FAKE} --kind llm --port {self.rag_port} --life 900s "
                               f"--latency {OLD['rag']}", extra=soon + DEPLOY)
        self.start("llm", "rag")
        self.give()

    def give(self):
        """All of the study to him; who serves may read it."""
        for top, folders, files in os.walk(self.box.folder):
            for name in [top] + [os.path.join(top, name) for name in folders + files]:
                if name == self.box.path("system"):
                    continue
                if not stat.S_ISLNK(os.lstat(name).st_mode):
                    os.chown(name, DEPLOY_ID, DEPLOY_ID)
        os.chmod(self.box.folder, 0o755)

    def folders(self, *units):
        for unit in units:
            _, line = documented({"vllm.service": f"{unit}.service"})
            words = line.split()
            check(words[-1] == os.path.dirname(self.drop_in(unit)) and DEPLOY in words, line)
            check(os.spawnvp(os.P_WAIT, words[0], words) == 0, line)

    def rule(self, *units):
        """The documented rule with these two units; none: no rule. polkit sees it when it sees it."""
        path = os.path.join(RULES, "50-spica.rules")
        if units:
            rule, _ = documented(dict(zip(("vllm.service", "whisper.service"), units)))
            with open(path, "w", encoding="utf-8") as file:
                file.write(rule)
        elif os.path.exists(path):
            os.remove(path)
        self.systemd.ctl("restart", "polkit.service", ok=True)

    def spica(self, command, *args, code=None, **more):
        self.give()  # what root has written for the next command
        return super().spica(command, *args, code=code, prefix=AS_DEPLOY, **more)

    def begin(self, *args):
        plan = self.plan(*args)
        self.give()
        return self.box.start("promote", self.box.file, *args, "--approve", plan, prefix=AS_DEPLOY)

    def refused(self, says):
        """One clear line, and nothing is touched."""
        files, before = tree(self.systemd.units), self.pids()
        result = self.spica("promote", "--approve", self.plan(), code=9)
        lines = result.err.splitlines()
        check(len(lines) == 1 and says in lines[0] and "nothing was touched" in lines[0], str(result))
        print("refused:", lines[0])
        check(tree(self.systemd.units) == files and self.pids() == before, "touched")
        check(self.journal() is None, "a journal")
        self.expect(OLD)


# ---- inside ----

@scene
def rights(box):
    both = ("llm.service", "rag.service")
    with Deploying(box) as production:
        production.rule(*both)
        production.refused("its folder")                    # the rule alone: root's folders
        production.folders("llm", "rag")
        production.rule()
        production.refused("systemd does not let you")      # folders alone
        production.rule("llm.service", "other.service")
        production.refused("restarting rag.service")
        production.rule(*both)
        files = production.contents()
        result = production.promote(0)
        seen = {(c["check"], c["service"]): c for c in result["checks"]}
        for service in ("llm", "rag"):
            for kind in ("active", "ready", "probe", "placement", "load"):
                one = seen[kind, service]
                # Whose the port is tells only the owner of its process; what can't be seen is told.
                wanted = "unknown" if (kind, service) == ("ready", "llm") else "passed"
                print("seen:", kind, service, one["answer"], one["text"])
                check(one["answer"] == wanted or (kind, service) == ("active", "llm"), one)
        check(result["approved"].startswith(DEPLOY), result["approved"])
        production.expect(NEW)
        facts = os.stat(production.drop_in("llm"))
        check(facts.st_uid == DEPLOY_ID, facts)
        production.rollback()
        production.expect(OLD, files)
        outcomes = [(r["outcome"], r["user"]) for r in production.records()]
        check([o for o, _ in outcomes] == ["promoted", "rolled back"], outcomes)
        check(all(user.split(",")[0] == DEPLOY for _, user in outcomes), outcomes)


@scene
def undone_by_itself(box):
    """A wrong path of a model, an end under load, and so often that systemd would not start it again."""
    with Deploying(box) as production:
        production.folders("llm", "rag")
        production.rule("llm.service", "rag.service")
        files = production.contents()
        for fault, says in ((WRONG_MODEL, "llm.service ended after its start"),
                            ("--at 6:die:3", "llm.service is failed")):
            production.fault(fault)
            os.chmod(production.faults, 0o644)
            result = production.promote(7)
            check(result["outcome"] == "rolled back" and says in result["why"], result)
            print("rolled back:", result["why"])
            production.expect(OLD, files)
        # The limit of starts is used up: reset-failed is what the rule's second verb is for.
        production.fault(WRONG_MODEL)
        for _ in range(3):
            production.promote(7)
            production.expect(OLD, files)
        production.fault()
        production.promote(0)
        production.expect(NEW)
        production.rollback()
        production.expect(OLD, files)


def mount_etc(mode):
    """All of it, and what the system's units are read from, which is a file system of its own here."""
    for folder in ("/etc", "/etc/systemd"):
        subprocess.run(["mount", "-o", f"remount,bind,{mode}", folder], check=True)


@scene
def read_only_etc(box):
    """From the start on, and from the middle of a promotion that fails."""
    with Deploying(box) as production:
        production.folders("llm", "rag")
        production.rule("llm.service", "rag.service")
        subprocess.run(["mount", "--rbind", "/etc", "/etc"], check=True)
        mount_etc("ro")
        production.refused("Read-only file system")
        mount_etc("rw")
        files = production.contents()
        production.fault("--latency 700ms")
        os.chmod(production.faults, 0o644)
        running = production.begin("--json")
        wait_until(lambda: running.poll() is not None or
                   (production.journal() or {}).get("state") == "verifying", "verifying")
        mount_etc("ro")
        result = running.wait()
        check(result.code == 8 and "Read-only file system" in json.loads(result.out)["why"], str(result))
        check("Read-only file system" in production.rollback(8).text, "still read-only")
        check(production.journal()["state"] == "undo failed", production.journal()["state"])
        production.expect({"llm": NEW["llm"], "rag": NEW["rag"]})
        mount_etc("rw")
        production.rollback()
        production.expect(OLD, files)


def kernel_kills():
    """The kernel's own lines."""
    done = subprocess.run(["dmesg"], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "oom-kill:" in line and "llm.service" in line]


@scene
def too_little_memory(box):
    """The old setting fits into what the unit may have, the new one does not: at its start, bit by bit
    while it is verified, and with a systemd that starts it again."""
    with open("/sys/fs/cgroup/cgroup.controllers", encoding="utf-8") as file:
        if "memory" not in file.read().split():
            raise Skip("no control of memory in this control group: bench/promote_guest.py has it in a guest")
    for more in ("", "Restart=on-failure\nRestartSec=1\n"):
        with Deploying(box, limits="MemoryMax=64M\nMemorySwapMax=0\n" + more,
                       general={"verify": {"window": "20s", "rate": "2/s"}}) as production:
            production.folders("llm", "rag")
            production.rule("llm.service", "rag.service")
            files = production.contents()
            for fault in ("--rss 200M", "--rss-ramp 200M:12s"):
                production.fault(fault)
                os.chmod(production.faults, 0o644)
                kills = len(kernel_kills())
                result = production.promote(7)
                check(result["outcome"] == "rolled back", result)
                check("killed it for want of memory" in result["why"] or
                      (more and "restarted" in result["why"]), result["why"])
                check(len(kernel_kills()) > kills, "the kernel has killed nobody")
                print("kernel:", kernel_kills()[-1])
                print(f"{fault}{', ' + more.split()[0] if more else ''}: rolled back:", result["why"])
                production.expect(OLD, files)
            production.fault()
            production.promote(0)
            production.expect(NEW)
            production.rollback()
            production.expect(OLD, files)
        production.forget()
        shutil.rmtree(box.results)


# ---- outside ----

@scenario(quick=True)
def a_user_with_the_documented_rule(box):
    boot(box, __file__, "rights")


@scenario()
def what_fails_is_undone_by_that_user(box):
    boot(box, __file__, "undone_by_itself")


@scenario()
def an_etc_that_can_not_be_written(box):
    boot(box, __file__, "read_only_etc")


# The kernel has to do its part: where control groups of version 2 do not hold memory, only a guest has it.
@scenario()
def what_the_kernel_kills_is_undone(box):
    boot(box, __file__, "too_little_memory")


if __name__ == "__main__":
    import sys
    if not inside(sys.argv[1:]):
        main(__name__)
