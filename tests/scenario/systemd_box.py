"""A real systemd for scenarios: `systemd --user` on a bus of its own, in the scenario's private view of
processes and mounts, in a control group of its own. No root file system is needed, and nothing of the
machine's own systemd (if it has one) is touched.

    with Systemd(box) as systemd:
        systemd.service("tts", "sleep 1000", enabled=True)
        systemd.start("tts")
        box.run("run", box.file, "--pause", "tts", "--user", "--approve", code=0)

It needs root (for the mounts), systemd and dbus-daemon; where one of them lacks, Skip says which.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import time

from harness import ROOT, Skip, alive, check, descendants, processes

MANAGER = "/lib/systemd/systemd"
CLONE_NEWCGROUP = 0x02000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
MNT_DETACH = 2
WITHIN_S = 60  # for what must happen at some time


# On the system's bus anybody may ask; what he is let do is systemd's to say.
SYSTEM_BUS = """<busconfig><type>session</type><listen>systemd:</listen>
<auth>EXTERNAL</auth><policy context="default"><allow user="*"/>
<allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>
"""
SYSTEM_UNITS = "/etc/systemd/system"

# A bus that the manager starts itself: it joins no other. (Debian's own units for it are a package that
# may not be there.)
BUS = {
    "dbus.socket": "[Socket]\nListenStream=%t/bus\n",
    "dbus.service": "[Unit]\nRequires=dbus.socket\n[Service]\nExecStart={program} {config} "
                    "--address=systemd: --nofork --nopidfile --systemd-activation\n",
}


def skip_unless(condition, why):
    """In CI a systemd that can't be had is a failure."""
    check(condition or not os.environ.get("SPICA_SKIP_IS_FAILURE"), why)
    if not condition:
        raise Skip(why)


def wait_until(what, text, within=WITHIN_S):
    """Until what() is true; the deadline is only for what never happens."""
    end = time.monotonic() + within
    while True:
        if what():
            return
        check(time.monotonic() < end, f"not within {within} s: {text() if callable(text) else text}")
        time.sleep(0.02)


def mount(source, target, kind, options=None):
    """In the scenario's own view of mounts. All but the target are bytes."""
    libc = ctypes.CDLL(None, use_errno=True)
    skip_unless(libc.mount(source, target.encode(), kind, 0, options) == 0,
                f"no mount of {kind.decode()} on {target}: {os.strerror(ctypes.get_errno())}")


def _cgroup2_folder():
    with open("/proc/self/mounts", encoding="utf-8") as file:
        for line in file:
            fields = line.split()
            if fields[2] == "cgroup2":
                return fields[1]
    return None


class Systemd:
    """The manager, up between enter and exit. Units are written below the box's folder."""

    scope = "--user"

    def __init__(self, box, config="config", system=False):
        """`config`: name of the folder that the user's configuration is in. `system`: it answers on the
        system's bus as well, and its units are where a system's are, so that it stands for both."""
        self.box, self.config, self.system = box, config, system
        self.units = SYSTEM_UNITS if system else box.path(config, "systemd/user")
        self.groups = None   # descriptor of the folder that our control group is in
        self.group = f"spica-test-{os.getpid()}-{os.path.basename(box.folder)}"

    # -- up and down --

    def _own_group(self):
        """Into a control group and a control group namespace of our own."""
        libc = ctypes.CDLL(None, use_errno=True)
        folder = _cgroup2_folder()
        skip_unless(folder, "no cgroup2 mount")
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            here = [line for line in file if line.startswith("0::")][0].strip()[3:]
        self.groups = os.open(folder + here, os.O_RDONLY | os.O_DIRECTORY)
        os.mkdir(self.group, dir_fd=self.groups)
        self.back = os.open("cgroup.procs", os.O_WRONLY, dir_fd=self.groups)
        into = os.open(self.group + "/cgroup.procs", os.O_WRONLY, dir_fd=self.groups)
        os.write(into, b"0")
        os.close(into)
        skip_unless(libc.unshare(CLONE_NEWCGROUP) == 0, "no control group namespace")
        libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        # The kernel refuses a file system on top of itself; what else may be there stays below.
        libc.umount2(b"/sys/fs/cgroup", MNT_DETACH)
        mount(b"cgroup2", "/sys/fs/cgroup", b"cgroup2")

    def __enter__(self):
        skip_unless(os.geteuid() == 0, "not root: no private mounts for systemd")
        skip_unless(os.getpid() < 100, "no process ids of our own")
        for program in (MANAGER, "systemctl", "busctl", "dbus-daemon"):
            skip_unless(shutil.which(program), f"{program} is not there")
        self._own_group()
        mount(b"tmpfs", "/run", b"tmpfs")
        runtime = "/run/user/0"
        if self.system:
            mount(b"tmpfs", "/etc/systemd", b"tmpfs")
        for folder in ("/run/systemd/system", runtime, self.units):
            os.makedirs(folder, exist_ok=True)
        os.chmod(runtime, 0o711 if self.system else 0o700)
        self.box.env.update(XDG_RUNTIME_DIR=runtime, XDG_CONFIG_HOME=self.box.path(self.config),
                            DBUS_SESSION_BUS_ADDRESS=f"unix:path={runtime}/bus")
        config = "--session"
        if self.system:
            self.box.env["SYSTEMD_UNIT_PATH"] = SYSTEM_UNITS + ":"
            config = "--config-file=" + self.box.write("bus.conf", SYSTEM_BUS)
        for name, text in BUS.items():
            with open(os.path.join(self.units, name), "w", encoding="utf-8") as file:
                file.write(text.format(program=shutil.which("dbus-daemon"), config=config))
        self.manager = self._start("systemd.log", MANAGER, "--user",
                                   SYSTEMD_LOG_TARGET="console", SYSTEMD_LOG_LEVEL="info")
        wait_until(lambda: self.ctl("is-system-running") in ("running", "degraded"), self.story)
        self.ctl("start", "dbus.service", ok=True)
        wait_until(self._on_bus, self.story)
        if self.system:  # not for the manager: it would wait for a bus that it has to start
            self.box.env["DBUS_SYSTEM_BUS_ADDRESS"] = self.box.env["DBUS_SESSION_BUS_ADDRESS"]
        return self

    def wait_for_name(self, name):
        """Somebody of that name is on the bus."""
        wait_until(lambda: self._is_on_bus(name), self.story)

    def _on_bus(self):
        """The manager has found the bus that it started."""
        return self._is_on_bus("org.freedesktop.systemd1")

    def _is_on_bus(self, name):
        done = subprocess.run(["busctl", self.scope, "--list", "--acquired", "list"], env=self.box.env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                              check=False)
        return name + " " in done.stdout

    def _start(self, log, *argv, **env):
        with open(self.box.path(log), "wb") as file:
            popen = subprocess.Popen(argv, env=dict(self.box.env, **env), cwd=self.box.folder,
                                     stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        self.box.helpers.append(popen)
        return popen

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print(self.story())
        below = descendants(self.manager.pid, processes())
        self.manager.send_signal(signal.SIGTERM)
        try:
            self.manager.wait(20)
        except subprocess.TimeoutExpired:
            self.manager.kill()
            self.manager.wait()
        for pid in below | descendants(self.manager.pid, processes()):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.box.cleanups.append(self._leave)

    def _leave(self):
        """Out of the control group, and it away: from the bottom up."""
        os.write(self.back, b"0")
        for path, _, _ in list(os.walk("/sys/fs/cgroup", topdown=False))[:-1]:
            try:
                os.rmdir(path)
            except OSError:
                pass
        try:
            os.rmdir(self.group, dir_fd=self.groups)
        except OSError as reason:
            print("control group left:", reason)

    # -- units --

    def write(self, name, text):
        with open(os.path.join(self.units, name), "w", encoding="utf-8") as file:
            file.write(text)
        self.ctl("daemon-reload")

    def haproxy(self, box):
        """HAProxy's unit as it is shipped, with its folder in the box."""
        with open(os.path.join(ROOT, "share/systemd/spica-haproxy.service.in"), encoding="utf-8") as file:
            text = file.read()
        for word, value in (("folder", box.path("ha")), ("env", box.path("none")),
                            ("docdir", "/usr/share/doc/spica"), ("target", "default.target")):
            text = text.replace(f"@{word}@", value)
        self.write("spica-haproxy.service", text)

    def service(self, name, command="sleep 100000", enabled=False, extra="", unit=""):
        """Writes NAME.service; `extra` are more lines of [Service], `unit` of [Unit]."""
        self.write(f"{name}.service",
                   f"[Unit]\nDescription=the {name} of production\n{unit}\n[Service]\n"
                   f"ExecStart={command}\n{extra}\n[Install]\nWantedBy=default.target\n")
        if enabled:
            self.ctl("enable", name)

    def ctl(self, *args, ok=False):
        """What `systemctl ARGS` of this manager prints; with ok=True it must succeed."""
        done = subprocess.run(["systemctl", self.scope, "--no-pager", *args], env=self.box.env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                              check=False)
        check(not ok or done.returncode == 0, f"systemctl {args}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def start(self, *names):
        for name in names:
            self.ctl("start", name, ok=True)
            check(self.active(name), self.story())

    def stop(self, name):
        self.ctl("stop", name, ok=True)

    def state(self, name):
        return self.ctl("is-active", name)

    def active(self, name):
        return self.state(name) == "active"

    def pid(self, name):
        """Main process; changes when the unit was started again."""
        return int(self.ctl("show", "-P", "MainPID", name))

    def restorers(self):
        """Names of restorer units that are there now."""
        lines = self.ctl("list-units", "--all", "--plain", "--no-legend", "spica-restore-*").split("\n")
        return [line.split()[0] for line in lines if line.strip()]

    def story(self):
        texts = [self.ctl("list-units", "--all", "--plain", "--no-legend", "--type=service")]
        with open(self.box.path("systemd.log"), encoding="utf-8", errors="replace") as file:
            texts.append("--- systemd.log\n" + file.read()[-6000:])
        return "\n".join(texts)
