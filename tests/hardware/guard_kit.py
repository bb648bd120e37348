"""systemd, D-Bus and HAProxy for a machine that has none: copies of what is installed where they are packed.

They find their libraries by a path in themselves; a variable for it would be handed on to vLLM."""

import glob
import os
import shutil
import subprocess
import sys

from systemd_box import MANAGER  # guard.py has told where the scenarios are
from test_guard_watch import JOURNALD

KIT = "/opt/spica-kit"
PROGRAMS = (MANAGER, JOURNALD, "systemctl", "busctl", "journalctl", "dbus-daemon", "haproxy")
USER_UNITS = "/usr/lib/systemd/user"
OF_GLIBC = ("ld-linux-x86-64", "libc.so", "libm.so", "libdl.so", "libpthread.so", "librt.so", "libresolv.so")


def which(program):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        sys.exit(f"guard.py: {program} is not there")
    return path


def pack(folder):
    patchelf = which("patchelf")
    shutil.rmtree(folder, ignore_errors=True)
    for sub in ("lib", "bin", "systemd", "units"):
        os.makedirs(os.path.join(folder, sub))
    for path in map(which, PROGRAMS):
        shutil.copy(path, os.path.join(folder, "systemd" if path.startswith("/lib/systemd/") else "bin"))
        listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        for words in map(str.split, listed.splitlines()):
            if "=>" in words and not os.path.basename(words[2]).startswith(OF_GLIBC):
                shutil.copy(words[2], os.path.join(folder, "lib"))
    for path in glob.glob(f"{folder}/lib/*") + glob.glob(f"{folder}/bin/*") + glob.glob(f"{folder}/systemd/*"):
        os.chmod(path, 0o755)
        subprocess.run([patchelf, "--force-rpath", "--set-rpath", f"{KIT}/lib", path], check=True)
    for name in ("basic.target", "default.target", "exit.target", "paths.target", "shutdown.target",
                 "sockets.target", "timers.target", "systemd-exit.service", "app.slice", "session.slice"):
        shutil.copy(os.path.join(USER_UNITS, name), os.path.join(folder, "units"))
    shutil.copytree("/usr/share/dbus-1", os.path.join(folder, "dbus-1"))


def unpack(folder):
    shutil.rmtree(KIT, ignore_errors=True)
    for sub in ("lib", "bin"):
        shutil.copytree(os.path.join(folder, sub), os.path.join(KIT, sub))
    for sub, target in (("systemd", "/lib/systemd"), ("units", USER_UNITS), ("dbus-1", "/usr/share/dbus-1")):
        os.makedirs(target, exist_ok=True)
        for name in os.listdir(os.path.join(folder, sub)):
            source, path = os.path.join(folder, sub, name), os.path.join(target, name)
            if not os.path.exists(path):
                (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, path)
    for name in os.listdir(os.path.join(KIT, "bin")):
        if not shutil.which(name):
            os.symlink(os.path.join(KIT, "bin", name), os.path.join("/usr/local/bin", name))
    if not os.path.exists("/etc/machine-id") or os.path.getsize("/etc/machine-id") == 0:
        with open("/etc/machine-id", "w", encoding="utf-8") as file:
            file.write("0123456789abcdef0123456789abcdef\n")
