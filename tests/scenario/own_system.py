"""A machine's own systemd for scenarios: `systemd --system` with Debian's dbus and polkitd, the system's bus
and its policies, as the first process of a view of processes, mounts and control groups of its own. The
machine's files are seen, but for what a system writes: /run, /etc/systemd, polkit's rules, /etc/passwd.

    @scenario()
    def as_root(box):
        boot(box, __file__, "name_of_a_scene")       # outside

    @scene
    def name_of_a_scene(box):                         # inside, by a unit: the system's bus is at hand
        with SystemUnits(box) as systemd:
            systemd.start("llm")

A scene is run by `FILE --inside NAME`, and knows nothing of how its system came to be: bench/promote_guest.py
has the same run in a guest. It needs root, systemd, dbus and polkitd; where one lacks, Skip says which.
"""

import os
import shutil
import signal
import subprocess
import sys

from harness import FAKE, SPICA, Skip, _child, check
from systemd_box import MANAGER, SYSTEM_UNITS, Systemd, skip_unless, wait_until

POLKITD = "/usr/lib/polkit-1/polkitd"
LIBRARY = "/usr/lib/systemd/system"
RULES = "/etc/polkit-1/rules.d"
DEPLOY, DEPLOY_ID = "deploy", 64711
PASSWD = f"{DEPLOY}:x:{DEPLOY_ID}:{DEPLOY_ID}::/nonexistent:/usr/sbin/nologin\n"
DONE_WITHIN_S = 300

# Of the system's own units: without what mounts, watches devices or writes logs.
UNITS = ("dbus.socket", "dbus.service", "polkit.service", "sysinit.target", "basic.target",
         "sockets.target", "paths.target", "timers.target", "slices.target", "multi-user.target",
         "shutdown.target", "umount.target", "final.target", "exit.target", "systemd-exit.service")

# What is written here stays here: its mounts go with the last process. The first is systemd.
BEGIN = """set -e
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount --bind /sys /sys
mount -o remount,bind,ro /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/dbus
mount -t tmpfs -o mode=755 tmpfs /etc/systemd
mkdir /etc/systemd/system
cp @folder@/*.service @folder@/*.target /etc/systemd/system
mount -t tmpfs -o mode=755 tmpfs @rules@
mount --bind @folder@/library @library@
mount --bind @folder@/passwd /etc/passwd
mount --bind @folder@/console /dev/console
[ ! -e /etc/machine-id ] || mount --bind @folder@/machine-id /etc/machine-id
[ ! -d /var/lib/systemd ] || mount -t tmpfs tmpfs /var/lib/systemd
exec env -i container=spica-test PATH="$PATH" @manager@ --system --log-target=console --show-status=no \\
  </dev/null >@folder@/console 2>&1
"""

SCENE_UNIT = """[Unit]
Requires=dbus.socket
After=dbus.socket
[Service]
Type=oneshot
ExecStart={python} {file} --inside {name}
StandardOutput=append:{folder}/out
StandardError=append:{folder}/out
ExecStopPost=/bin/sh -c 'echo "$$EXIT_CODE $$EXIT_STATUS" >{folder}/ended.new; mv {folder}/ended.new {folder}/ended'
{environment}
"""
GOAL = "[Unit]\nRequires=spica-scene.service\nAllowIsolate=yes\n"
HANDED_ON = ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "SPICA_TEST_KEEP",
             "SPICA_SKIP_IS_FAILURE")

SCENES = {}


def scene(function):
    SCENES[function.__name__] = function
    return function


# ---- outside ----

def _prepare(folder, file, name):
    os.makedirs(os.path.join(folder, "library"))
    for unit in UNITS:
        path = os.path.join(LIBRARY, unit)
        if os.path.exists(path):
            shutil.copy(path, os.path.join(folder, "library"))
    with open("/etc/passwd", encoding="utf-8") as passwd:
        people = passwd.read() + PASSWD
    given = dict({key: os.environ[key] for key in HANDED_ON if key in os.environ},
                 SPICA=SPICA, FAKE_SERVICE=FAKE, PYTHONDONTWRITEBYTECODE="1")
    environment = "\n".join(f'Environment="{key}={value}"' for key, value in given.items())
    begin = BEGIN
    for word, value in (("folder", folder), ("rules", RULES), ("library", LIBRARY), ("manager", MANAGER)):
        begin = begin.replace(f"@{word}@", value)
    texts = {"passwd": people, "console": "", "machine-id": "0123456789abcdef0123456789abcdef\n",
             "default.target": GOAL, "begin": begin,
             "spica-scene.service": SCENE_UNIT.format(python=sys.executable, file=file, name=name,
                                                      folder=folder, environment=environment)}
    for path, text in texts.items():
        with open(os.path.join(folder, path), "w", encoding="utf-8") as out:
            out.write(text)


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def boot(box, file, name):
    """Runs the scene of that file in a system of its own, and fails as it does."""
    skip_unless(os.geteuid() == 0, "not root: no system of our own")
    for program in (MANAGER, POLKITD, "systemctl", "busctl", "dbus-daemon", "setpriv", "unshare"):
        skip_unless(shutil.which(program), f"{program} is not there")
    skip_unless(os.path.isdir(RULES), f"no {RULES}: polkitd is not installed whole")
    folder = box.path("system")
    _prepare(folder, os.path.abspath(file), name)
    group = Systemd(box)  # for its control group alone
    group._own_group()
    popen = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts",
                              "--cgroup", "/bin/sh", os.path.join(folder, "begin")],
                             stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: _read(os.path.join(folder, "ended")) or popen.poll() is not None,
                   lambda: "the scene has no end:\n" + _read(os.path.join(folder, "out"))[-6000:] +
                   "\n--- console\n" + _read(os.path.join(folder, "console"))[-3000:], DONE_WITHIN_S)
    finally:
        popen.send_signal(signal.SIGKILL)  # its child with it, and that is all of the system
        popen.wait()
        box.cleanups.append(group._leave)
    ended, out = _read(os.path.join(folder, "ended")).split(), _read(os.path.join(folder, "out"))
    if ended == ["exited", "77"]:
        raise Skip(out.strip().rsplit("skipped: ", 1)[-1])
    check(ended == ["exited", "0"], f"the scene ended with {ended}:\n{out[-8000:]}\n--- console\n"
          + _read(os.path.join(folder, "console"))[-3000:])
    print(out)


# ---- inside ----

def inside(module_arguments):
    """For a file's end: True where it was asked to run a scene, and has."""
    if module_arguments[:1] != ["--inside"]:
        return False
    sys.exit(_child(SCENES[module_arguments[1]], False))


class SystemUnits(Systemd):
    """The system's own manager, which was there before us and stays."""

    scope = "--system"

    def __init__(self, box, config="config", system=True):
        super().__init__(box, config, system)
        self.units = SYSTEM_UNITS
        self.names = set()

    def __enter__(self):
        wait_until(lambda: self._on_bus(), self.story)
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print(self.story())
        for name in self.names:
            self.ctl("stop", name)

    def write(self, name, text):
        self.names.add(name)
        super().write(name, text)

    def story(self):
        return self.ctl("list-units", "--all", "--plain", "--no-legend", "--type=service")
