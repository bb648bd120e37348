#!/usr/bin/env python3
"""A guest with a whole Debian in which the kernel really kills a promoted service: on a machine that others
use its control of memory can't be had. qemu without hardware help, Debian's cloud kernel, a Debian of
systemd, dbus, polkitd and python, and in it spica, the fake service and the scenes of
tests/scenario/test_promote_system.py, all in one initrd; no disk, no network.

    bench/promote_guest.py --setup     makes that Debian (mmdebstrap, 1 to 3 minutes), fetches the kernel
    bench/promote_guest.py [SCENE...]  boots for each, and prints what was seen (too_little_memory)
"""

import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

import bench_lib as bench
import guard_guest

PACKAGES = "systemd,systemd-sysv,dbus,polkitd,python3"
# What a guest does not need is half of it.
WITHOUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/i18n/*", "/usr/lib/*/perl-base/*",
           "/usr/lib/*/gconv/*", "/usr/share/zoneinfo/*")
SCENES = os.path.join(bench.ROOT, "tests/scenario")
HERE = "/srv/spica"  # there, in the guest
WITHIN_S = 900
BOOT = "systemd.unit=scene.target systemd.show_status=0 systemd.unified_cgroup_hierarchy=1"
PASSWD = "deploy:x:64711:64711::/nonexistent:/usr/sbin/nologin\n"

UNIT = f"""[Unit]
After=dbus.socket multi-user.target
Requires=dbus.socket
[Service]
Type=oneshot
ExecStart=/bin/sh {HERE}/scene.sh
"""
SCRIPT = f"""export SPICA={HERE}/bin/spica FAKE_SERVICE={HERE}/bin/fake-service PYTHONDONTWRITEBYTECODE=1
exec >/dev/ttyS0 2>&1
echo "=kernel $(uname -r), systemd $(systemctl --version | head -n 1), $(cat /etc/debian_version)"
cd {HERE}/tests/scenario
python3 test_promote_system.py --inside @scene@
echo "=ended $?"
poweroff -ff
"""


def debian():
    """Path of the Debian's archive; its name holds what it is made of."""
    recipe = hashlib.sha256(repr((PACKAGES, WITHOUT)).encode()).hexdigest()[:12]
    return os.path.join(guard_guest.HOME, f"debian-{recipe}.tar")


def lacks():
    """What a guest lacks here; empty: nothing."""
    found = [name for name in guard_guest.lacks() if name != "busybox"]
    if not os.path.exists(debian()):
        found.append("its Debian (bench/promote_guest.py --setup)")
    return found


def setup():
    guard_guest.setup()
    if os.path.exists(debian()):
        return
    part = debian() + ".part"
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}",
                    *[f"--dpkgopt=path-exclude={path}" for path in WITHOUT],
                    "--format=tar", "bookworm", part], check=True, stdout=sys.stderr)
    os.rename(part, debian())


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def fill(root, scene):
    """What is not Debian's: our programs with their libraries, the scenes, and the unit that runs one."""
    programs = {"spica": bench.SPICA, "fake-service": bench.FAKE}
    for name, path in programs.items():
        os.makedirs(f"{root}{HERE}/bin", exist_ok=True)
        shutil.copy(path, f"{root}{HERE}/bin/{name}")
        subprocess.run(["strip", f"{root}{HERE}/bin/{name}"], check=False)
    for library in set().union(*map(guard_guest.libraries, programs.values())):
        target = root + "/usr" + library if library.startswith("/lib") else root + library
        if not os.path.exists(target):  # Debian's own stay, the C library first of all
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(library, target)
    for path in glob.glob(os.path.join(SCENES, "*.py")):
        os.makedirs(f"{root}{HERE}/tests/scenario", exist_ok=True)
        shutil.copy(path, f"{root}{HERE}/tests/scenario")
    os.makedirs(f"{root}{HERE}/docs")
    shutil.copy(os.path.join(bench.ROOT, "docs/PROMOTE.md"), f"{root}{HERE}/docs")
    write(f"{root}{HERE}/scene.sh", SCRIPT.replace("@scene@", scene))
    write(f"{root}/etc/systemd/system/scene.service", UNIT)
    write(f"{root}/etc/systemd/system/scene.target", "[Unit]\nRequires=multi-user.target scene.service\n")
    with open(f"{root}/etc/passwd", "a", encoding="utf-8") as file:
        file.write(PASSWD)
    if not os.path.lexists(f"{root}/init"):
        os.symlink("/lib/systemd/systemd", f"{root}/init")


def initrd(folder, scene):
    """Its path. Not compressed: without hardware help that would take longer than to read it."""
    root = os.path.join(folder, "root")
    with tarfile.open(debian()) as archive:
        members = [m for m in archive.getmembers() if not m.isdev() or m.name in ("./dev/console", "./dev/null")]
        archive.extractall(root, members)
    fill(root, scene)
    names = subprocess.run(["find", "."], cwd=root, check=True, capture_output=True).stdout
    path = os.path.join(folder, "initrd")
    with open(path, "wb") as file:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names, check=True, stdout=file)
    shutil.rmtree(root)
    return path


def look(scene):
    """{"lines": what the scene printed, "seconds": ..}, or {"problem": why}, or {"lacks": what}."""
    missing = lacks()
    if missing:
        return {"lacks": ", ".join(missing)}
    folder = tempfile.mkdtemp(prefix="spica-guest-")
    began = time.monotonic()
    try:
        text = guard_guest.boot(initrd(folder, scene), 1536, BOOT, WITHIN_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if "\n=ended 0\n" not in text:
        return {"problem": f"the guest said: {text[-6000:]}"}
    lines = text[text.index("=kernel"):text.index("\n=ended 0\n")].splitlines()
    return {"lines": lines, "seconds": time.monotonic() - began}


def main():
    if sys.argv[1:] == ["--setup"]:
        setup()
        return 0
    bench.need(bench.SPICA, bench.FAKE)
    wrong = 0
    for scene in sys.argv[1:] or ["too_little_memory"]:
        found = look(scene)
        wrong += "lines" not in found
        for line in found.get("lines", [str(found)]):
            print(f"{scene}: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
