"""Who may promote what: a user without root and the system's units, with and without a rule of polkit.
What he may not do is found before anything is touched."""

import json
import os
import shutil
import stat

from harness import check, main, scenario, skip_unless
from production import NEW, OLD, Production

POLKIT = os.environ.get("FAKE_POLKIT", "")
DEPLOY = 65534  # nobody: whom a bus does not know by name it does not let in
AS_DEPLOY = ("setpriv", f"--reuid={DEPLOY}", f"--regid={DEPLOY}", "--clear-groups", "--")
MANAGE = "org.freedesktop.systemd1.manage-units"
RELOAD = "org.freedesktop.systemd1.reload-daemon"


class Deploying(Production):
    """The same as units of the system, and a user who has the study and the drop-ins' folders."""

    def __init__(self, box, **more):
        skip_unless(POLKIT and shutil.which("setpriv"), "no fake-polkit or setpriv")
        super().__init__(box, system=True, **more)

    def __enter__(self):
        super().__enter__()
        for unit in ("llm", "rag"):
            folder = os.path.dirname(self.drop_in(unit))
            os.mkdir(folder)
            os.chown(folder, DEPLOY, 0)
        self.give()
        return self

    def give(self):
        """All of the study to him."""
        for top, folders, files in os.walk(self.box.folder):
            for name in [top] + [os.path.join(top, name) for name in folders + files]:
                if not stat.S_ISLNK(os.lstat(name).st_mode):
                    os.chown(name, DEPLOY, DEPLOY)

    def as_deploy(self, command, *args, code=None):
        return self.box.run(command, self.box.file, *args, code=code, lines=-1, prefix=AS_DEPLOY)

    def rules(self, *lines):
        self.box.write("rules", "".join(line + "\n" for line in lines))

    def polkit(self):
        self.rules()
        popen = self.box.helper(POLKIT, self.box.path("rules"), self.box.path("asked"))
        self.systemd.wait_for_name("org.freedesktop.PolicyKit1")
        return popen

    def asked(self):
        with open(self.box.path("asked"), encoding="utf-8") as file:
            return set(file.read().splitlines())


def untouched(production, done, says):
    files, before = production.contents(), production.pids()
    result = done()
    check(says in result.err and "nothing was touched" in result.err, str(result))
    check(production.contents() == files and production.pids() == before, "touched")
    check(production.journal() is None, "a journal")


@scenario(quick=True)
def without_polkit_nothing_is_touched(box):
    with Deploying(box) as production:
        plan = json.loads(production.as_deploy("promote", "--plan-only", "--json", code=0).out)["plan"]["id"]

        def go():
            return production.as_deploy("promote", "--approve", plan, code=9)

        untouched(production, go, "systemd does not let you")
        production.expect(OLD)


@scenario()
def each_right_that_lacks_is_found_first(box):
    verbs = [f"{MANAGE} {unit}.service {verb}" for unit in ("llm", "rag") for verb in ("restart", "reset-failed")]
    with Deploying(box) as production:
        production.polkit()
        plan = json.loads(production.as_deploy("promote", "--plan-only", "--json", code=0).out)["plan"]["id"]

        def go():
            return production.as_deploy("promote", "--approve", plan, code=9)

        production.rules(*verbs)
        untouched(production, go, "read its files again")
        production.rules(RELOAD, *verbs[:2])
        untouched(production, go, "restarting rag.service")
        production.rules(RELOAD, *verbs)
        folder = os.path.dirname(production.drop_in("rag"))
        os.chmod(folder, 0o555)
        untouched(production, go, "can't write into its folder")
        os.chmod(folder, 0o755)
        # With all of them it is done, by that user, and undone.
        production.as_deploy("promote", "--approve", plan, code=0)
        production.expect(NEW)
        check(os.stat(production.drop_in("llm")).st_uid == DEPLOY, "whose file?")
        production.as_deploy("rollback", code=0)
        production.expect(OLD)
        check(production.asked() == {RELOAD, *verbs}, production.asked())


@scenario()
def a_plan_is_the_same_for_all(box):
    """Whoever makes it: what he sees is what another one may approve."""
    with Deploying(box) as production:
        for unit in ("llm", "rag"):
            os.chown(os.path.dirname(production.drop_in(unit)), 0, 0)
        for top, folders, files in os.walk(box.folder):
            for name in [top] + [os.path.join(top, name) for name in folders + files]:
                os.chown(name, 0, 0, follow_symlinks=False)
        os.chmod(box.folder, 0o755)

        def plans():
            deploy = production.as_deploy("promote", "--plan-only", "--json", code=0)
            return {production.plan(), json.loads(deploy.out)["plan"]["id"]}

        check(len(plans()) == 1, "two plans")
        production.promote(0)
        production.rollback()
        check(len(plans()) == 1, "two plans once there are records")


if __name__ == "__main__":
    main(__name__)
